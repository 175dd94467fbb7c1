"""Self-distribution whose shifts are exactly 0."""

import numpy as np
import tensorflow as tf

from sdbnn_larq import layers, quantizers


def images(model, count=4):
    shape = [n or 8 for n in model.input_shape[1:]]
    return np.random.RandomState(0).standard_normal((count, *shape)).astype(np.float32)


def parts(model, kind):
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def vanish(model):
    """Makes every shift exactly 0: σ of what is negative enough. A dynamic shift has no bias, so two hidden units take
    a mean's product with a vector and with its opposite. One of them is positive, and its kernel very negative."""
    for wsd in parts(model, quantizers.WeightSelfDistribution):
        wsd.alpha.assign(tf.fill(wsd.alpha.shape, -200.0))
    for asd in parts(model, layers.ActivationSelfDistribution):
        if asd.mode == "static":
            asd.shift.beta.assign(tf.fill(asd.shift.beta.shape, -200.0))
            continue
        squeeze, excite = asd.shift.weights
        vector = np.random.RandomState(1).standard_normal(squeeze.shape[0])
        squeeze.assign(np.stack([vector, -vector, *np.zeros((squeeze.shape[1] - 2, len(vector)))], -1))
        excite.assign(tf.fill(excite.shape, -1e30))
