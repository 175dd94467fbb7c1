"""Which function emits which Keras layer, and what all of them need."""

from collections.abc import Callable

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import tensorflow as tf

Emit = Callable[..., ov.Node]
EMITTERS: dict[type, Emit] = {}


def emits(*layers: type) -> Callable[[Emit], Emit]:
    """Registers a function for these Keras layer classes, not for their subclasses."""

    def register(emit: Emit) -> Emit:
        EMITTERS.update(dict.fromkeys(layers, emit))
        return emit

    return register


def unsupported(layer: tf.keras.layers.Layer, what: str) -> ValueError:
    return ValueError(
        f"`model` must be made of what this export supports. Received: layer {layer.name!r} "
        f"({type(layer).__name__}){what}."
    )


def constant(value) -> ov.Node:
    return ops.constant(np.asarray(value, np.float32))


def rank(x: ov.Node) -> int:
    return x.get_output_partial_shape(0).rank.get_length()


def of_channels(value: np.ndarray, x: ov.Node) -> np.ndarray:
    """One number for each channel, in a shape that can be added to a node or multiplied with it."""
    return np.reshape(value, (1, -1, *[1] * (rank(x) - 2)))
