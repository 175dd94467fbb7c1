"""What a model's last layers ask of the loss and of the batch."""

import tensorflow as tf


def gives_logits(model: tf.keras.Model) -> bool:
    """Whether a model's output is known to be that of a layer without activation."""
    node = getattr(getattr(model, "output", None), "node", None)
    last = getattr(node, "layer", None)
    if isinstance(last, tf.keras.Model):
        return gives_logits(last)
    return getattr(last, "activation", None) is tf.keras.activations.linear


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
