"""What NumPy counts of a network's own values, to compare the figures of its signs with."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from sdbnn_larq.layers import ActivationSelfDistribution, SymmetricQuantConv2D
from sdbnn_larq.quantizers import WeightSelfDistribution

IMAGES = np.random.default_rng(0).normal(size=(23, 9, 8, 3)).astype(np.float32)
BOTH = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}


def sign(x):
    return np.where(np.asarray(x) >= 0, 1, -1)


def entropy(share):
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    return np.nan_to_num(bits).mean()


def difference(signs):
    """Of all pairs, one by one."""
    flat = signs.reshape(len(signs), -1)
    return np.mean([(flat[i] != flat[j]).mean() for i in range(len(flat)) for j in range(i)])


def check(signs, values, fires=None):
    """Compares with values `(images, ..., channels)`."""
    values = np.asarray(values)
    fires = values >= 0 if fires is None else fires
    share = fires.reshape(-1, values.shape[-1]).mean(axis=0)
    np.testing.assert_allclose(signs.share, share)
    np.testing.assert_allclose([signs.entropy, signs.spread], [entropy(share), share.std()], atol=1e-9)
    assert signs.difference == pytest.approx(difference(fires))
    histogram = signs.histogram
    np.testing.assert_array_equal(histogram.counts, np.histogram(values, histogram.edges)[0])
    assert histogram.counts.sum() == values.size
    np.testing.assert_allclose([histogram.mean, histogram.std], [values.mean(), values.std()], rtol=1e-5, atol=1e-6)


def wsd_model(pad_values=1.0):
    image = tf.keras.Input((9, 8, 3))
    x = ActivationSelfDistribution(1, name="asd")(image)
    x = SymmetricQuantConv2D(
        5, 3, 2, input_quantizer="ste_sign", kernel_quantizer=WeightSelfDistribution(scale=3.0), activation="relu",
        bias_initializer="ones", name="conv",
    )(x)  # fmt: skip
    x = tf.keras.layers.BatchNormalization(name="bn")(x)
    x = lq.layers.QuantConv2D(4, 3, padding="same", pad_values=pad_values, **BOTH, name="one_padded")(x)
    x = tf.keras.layers.Flatten()(x)
    x = lq.layers.QuantDense(7, **BOTH, name="dense")(x)
    model = tf.keras.Model(image, x)
    draw = np.random.default_rng(1)
    for weight in model.weights:
        if "kernel" in weight.name or "alpha" in weight.name:
            weight.assign(draw.normal(0.3, 1, weight.shape))
    return model


def values_before(model, name):
    return np.asarray(tf.keras.Model(model.input, model.get_layer(name).input)(IMAGES))


def convolution(x, kernel, stride):
    """±1 inputs in a frame of zeros, window by window."""
    x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    rows, columns = (-(-(n - 2) // stride) for n in x.shape[1:3])
    y = np.zeros((len(x), rows, columns, kernel.shape[-1]), int)
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + 3, j * stride : j * stride + 3]
            y[:, i, j] = np.tensordot(window, kernel, 3)
    return y


def without_rounding(report):
    """A report's figures but for sums of floats, which the order of adding rounds."""
    found = report.to_dict()
    for layer in found["layers"]:
        for place in ("activations", "weights", "sums"):
            for signs in ("signs", "without_shift"):
                histogram = layer.get(place, {}).get(signs, {}).get("histogram")
                if histogram:
                    histogram["mean"] = round(histogram["mean"], 5)
                    histogram["std"] = round(histogram["std"], 5)
    return found
