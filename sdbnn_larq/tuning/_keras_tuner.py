"""Keras Tuner on Keras 2: it takes whichever Keras is importable as `keras`, and that would be Keras 3."""

import sys

import tf_keras

before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "keras"}
for name in before:
    del sys.modules[name]
sys.modules["keras"] = tf_keras
try:
    import keras_tuner
    from keras_tuner.src import config
finally:
    for name in [name for name in sys.modules if name.split(".")[0] == "keras"]:
        del sys.modules[name]
    sys.modules.update(before)

config.DEBUG = False  # it prints the traceback of every failed trial

__all__ = ["keras_tuner"]
