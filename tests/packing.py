"""Small networks with weights that no training left, for the tests of packed files."""

import larq as lq
import numpy as np
import tensorflow as tf

from sdbnn_larq.weights import named_weights


def randomize(model: tf.keras.Model, seed: int = 0) -> tf.keras.Model:
    """Draws all weights, also those that start at a constant."""
    r = np.random.RandomState(seed)
    for name, weight in named_weights(model).items():
        value = r.uniform(0.5, 1.5, weight.shape) if "variance" in name else r.standard_normal(weight.shape)
        weight.assign(value)
    return model


def small_model(name: str = "small") -> tf.keras.Model:
    return tf.keras.Sequential(
        [
            lq.layers.QuantConv2D(5, 3, kernel_quantizer="wsd_sign", input_shape=(6, 6, 3)),
            tf.keras.layers.BatchNormalization(),
            lq.layers.QuantSeparableConv2D(
                4,
                3,
                input_quantizer="ste_sign",
                depthwise_quantizer="wsd_sign",
                pointwise_quantizer="ste_sign",
            ),
            tf.keras.layers.Flatten(),
            lq.layers.QuantDense(3, kernel_quantizer="wsd_sign"),
        ],
        name=name,
    )


def images(model: tf.keras.Model) -> np.ndarray:
    return np.random.RandomState(1).standard_normal((4, *model.input_shape[1:])).astype(np.float32)


def values(model: tf.keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for weight in named_weights(model).values()]


def assert_equal(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)
