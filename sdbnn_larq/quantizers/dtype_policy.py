"""Keras's dtype policies, under which signs must not be taken of rounded values."""

import tensorflow as tf


def refuse_half_precision(layer: tf.keras.layers.Layer) -> None:
    """Refuses a layer or quantizer that would round activations or weights to 16 bits before their sign is taken.

    Keras's `mixed_bfloat16` and `mixed_float16` round activations, kernels and shifts alike, so that signs turn.

    # Arguments
        layer: with its policy set.

    # Raises
        ValueError: if it computes in float16 or bfloat16.
    """
    if tf.as_dtype(layer.compute_dtype).size < 4:
        raise ValueError(
            f"{type(layer).__name__} must compute in float32 or float64: 16 bits would turn signs. For mixed precision "
            'call `sdbnn_larq.layers.set_precision(model, "mixed")`. '
            f"Received: dtype policy {layer.dtype_policy.name!r}."
        )
