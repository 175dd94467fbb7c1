"""Each case in a Python of its own, because it is about what comes first."""

import os
import subprocess
import sys

import pytest

IS_KERAS_2 = """
import tensorflow as tf
from tensorflow.keras import layers
from tensorflow.keras.optimizers.schedules import CosineDecay
import larq as lq
model = tf.keras.Sequential([layers.Input((4,)), lq.layers.QuantDense(2, kernel_quantizer="wsd_sign")])
assert isinstance(model, tf.keras.Model) and model(tf.zeros((1, 4))).shape == (1, 2)
assert layers.Dense is tf.keras.layers.Dense
assert layers.Dense.__module__.startswith("tf_keras."), layers.Dense.__module__
"""


def run(code):
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("imports", ["import sdbnn_larq", "import tensorflow; import sdbnn_larq"])
@pytest.mark.slow
def test_keras_2_in_either_order(imports):
    done = run(imports + IS_KERAS_2)
    assert done.returncode == 0, done.stderr


def test_keras_3_in_use():
    done = run(
        """
import os
import tensorflow as tf
tf.keras.Model
try:
    import sdbnn_larq
except ImportError as error:
    print(error)
from tensorflow.keras import layers
assert "TF_USE_LEGACY_KERAS" not in os.environ
assert layers.Dense.__module__.startswith("keras."), layers.Dense.__module__
"""
    )
    assert done.returncode == 0, done.stderr
    assert "`tf.keras` is already in use as Keras 3" in done.stdout
    assert "Put `import sdbnn_larq` before" in done.stdout
    assert "TF_USE_LEGACY_KERAS=1" in done.stdout


@pytest.mark.slow
def test_heavy_modules_load_when_used():
    """Apart from what the dependencies load themselves."""
    done = run(
        """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tensorflow, larq, larq_zoo
before = set(sys.modules)
import sdbnn_larq
print(*sorted({"sklearn", "keras_tuner", "matplotlib", "click", "PIL"} & (set(sys.modules) - before)))
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
