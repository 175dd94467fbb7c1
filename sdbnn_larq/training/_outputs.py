"""What a model's last layers ask of the loss and of the batch."""

from typing import Any

import tensorflow as tf

SOFTMAXES = (tf.keras.activations.softmax, tf.nn.softmax)
KEEPING = (tf.keras.layers.Reshape, tf.keras.layers.Flatten, tf.keras.layers.Dropout)


def gives_logits(model: tf.keras.Model) -> bool:
    """Whether a model's output is known to be that of a layer without activation."""
    if not hasattr(getattr(model, "output", None), "node"):
        return False
    last = deciding_call(model).layer
    if isinstance(last, tf.keras.Model):
        return gives_logits(last)
    return getattr(last, "activation", None) is tf.keras.activations.linear


def ends_in_softmax(model: tf.keras.Model) -> bool:
    """Whether a functional model gives probabilities, and not logits.

    # Raises
        ValueError: if it gives neither.
    """
    last = deciding_call(model).layer
    if isinstance(last, tf.keras.Model):
        return ends_in_softmax(last)
    activation = getattr(last, "activation", tf.keras.activations.linear)
    if is_softmax(last) or activation in SOFTMAXES:
        return True
    if activation is tf.keras.activations.linear:
        return False
    raise ValueError(
        f"A model must end in a softmax or in logits. Received: {model.name}, whose last layer {last.name} has the "
        f"activation {getattr(activation, '__name__', activation)}."
    )


def is_softmax(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer is a softmax and nothing else."""
    return (
        isinstance(layer, tf.keras.layers.Softmax)
        or (isinstance(layer, tf.keras.layers.Activation) and layer.activation in SOFTMAXES)
        or getattr(layer, "symbol", None) == "nn.softmax"  # the function, on the output of a layer
    )


def deciding_call(model: tf.keras.Model) -> Any:
    """The call, a node of Keras's, of the last layer that does more than cast, reshape, or drop in training."""
    node = model.output.node
    while _keeps_values(node.layer) and len(node.keras_inputs) == 1:
        node = node.keras_inputs[0].node
    return node


def _keeps_values(layer: tf.keras.layers.Layer) -> bool:
    linear = isinstance(layer, tf.keras.layers.Activation) and layer.activation is tf.keras.activations.linear
    return linear or isinstance(layer, KEEPING) or getattr(layer, "symbol", None) == "cast"


def check_batch_size(model: tf.keras.Model, batch_size: int) -> None:
    """Refuses a batch of one where a batch normalisation has features without places to normalise: all become 0.

    # Arguments
        batch_size: of one device.
    """
    if batch_size > 1:
        return
    for layer in model.submodules:
        if isinstance(layer, tf.keras.layers.BatchNormalization) and layer.trainable and _is_flat(layer):
            raise ValueError(
                f"`batch_size` must be at least 2 on each device for {model.name}, whose {layer.name} normalises "
                "features over the batch alone. Received: 1."
            )


def _is_flat(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer takes features `(batch, n)`."""
    return getattr(layer.input_spec, "ndim", None) == 2
