"""Models that show a mistake of an export, and their export to either runtime."""

import numpy as np
import tensorflow as tf

from sdbnn_larq import convert

MODULES = {"lce": "larq_compute_engine", "openvino": "openvino"}
SUFFIXES = {"lce": ".tflite", "openvino": ".xml"}


def export(target: str, model: tf.keras.Model, folder, **kwargs):
    return getattr(convert, f"to_{target}")(model, folder / f"model{SUFFIXES[target]}", **kwargs)


def randomised(model: tf.keras.Model) -> tf.keras.Model:
    """Gives every weight a value that a mistake in its use would show."""
    draw = np.random.default_rng(1)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if "variance" in weight.name or "gamma" in weight.name:
            weight.assign(draw.uniform(0.5, 2.0, shape))
        elif len(shape) < 4 or "alpha" in weight.name:
            weight.assign(draw.normal(0.0, 0.3, shape))
        else:
            weight.assign(draw.normal(0.0, 0.1, shape))
    return model


def users_model(*body: tf.keras.layers.Layer) -> tf.keras.Model:
    return randomised(tf.keras.Sequential([tf.keras.Input((10, 10, 8)), *body]))


BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "magnitude_aware_sign", "kernel_constraint": "weight_clip"}
