"""Sees what a model's layers are given while the model runs, whatever the model is made of."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def watched(
    layers: Iterable[tf.keras.layers.Layer], see: Callable[[tf.keras.layers.Layer, Any, Any], None]
) -> Iterator[None]:
    """Calls `see(layer, inputs, outputs)` after each call that this thread makes of one of the layers.

    Other threads may use the model meanwhile; nothing of them is seen.
    """
    thread = threading.get_ident()

    @tf.autograph.experimental.do_not_convert
    def show(layer: tf.keras.layers.Layer, inputs: Any, outputs: Any) -> None:
        if threading.get_ident() == thread:
            see(layer, inputs, outputs)

    # Put into the object's dictionary past Keras, which would track it as a part of the layer.
    with _ONE_AT_A_TIME:
        before = [(vars(layer), vars(layer).get("call")) for layer in layers]
        try:
            for layer in layers:
                vars(layer)["call"] = _shown(layer, layer.call, show)
            yield
        finally:
            for attributes, call in before:
                attributes.pop("call", None)
                if call is not None:
                    attributes["call"] = call


def _shown(layer: tf.keras.layers.Layer, call: Callable, show: Callable) -> Callable:
    @functools.wraps(call)
    def call_and_show(inputs, *args, **kwargs):
        outputs = call(inputs, *args, **kwargs)
        show(layer, inputs, outputs)
        return outputs

    return call_and_show
