"""Layers that compute each number by itself, or from those at the same place."""

from functools import partial, reduce

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import tensorflow as tf
from tf_keras.src.engine.keras_tensor import KerasTensor
from tf_keras.src.layers.core.tf_op_layer import TFOpLambda

from sdbnn_larq.convert.openvino.emitters.registry import (
    EMITTERS,
    Emit,
    constant,
    emits,
    of_channels,
    rank,
    unsupported,
)
from sdbnn_larq.layers import ActivationSelfDistribution, HardTanh
from sdbnn_larq.preprocessing import mean_and_scale
from sdbnn_larq.weights import ImagePreprocessing


def normalized(pixels: ov.Node, preprocessing: ImagePreprocessing) -> ov.Node:
    """Pixels, channels last, as `sdbnn_larq.preprocessing.normalize` makes them the network's input."""
    mean, scale = mean_and_scale(preprocessing)
    centred = ops.subtract(ops.convert(pixels, "f32"), constant(mean))
    # OpenVINO would make (x - m)·s into x·s - m·s, whose last bit may be another. A clip that clips nothing is between.
    centred = ops.clamp(centred, float(-1 - mean.max()), float(256 - mean.min()))
    return ops.multiply(centred, constant(scale))


@emits(tf.keras.layers.BatchNormalization)
def batch_normalization(layer, x):
    if list(layer.axis) != [rank(x) - 1]:
        raise unsupported(layer, f" over axis {list(layer.axis)}")
    mean, variance = (weight.numpy().astype(np.float64) for weight in (layer.moving_mean, layer.moving_variance))
    scale = (1.0 if layer.gamma is None else layer.gamma.numpy()) / np.sqrt(variance + layer.epsilon)
    offset = (0.0 if layer.beta is None else layer.beta.numpy()) - mean * scale
    return ops.add(ops.multiply(x, constant(of_channels(scale, x))), constant(of_channels(offset, x)))


@emits(ActivationSelfDistribution)
def activation_self_distribution(layer, x):
    if layer.mode == "static":
        shift = np.minimum(tf.sigmoid(layer.shift.beta), layer.LARGEST_SHIFT)
        return ops.add(x, constant(of_channels(shift, x)))
    squeeze, excite = (weight.numpy() for weight in layer.shift.weights)
    if rank(x) == 2:
        hidden = ops.relu(ops.matmul(x, constant(squeeze), False, False, name=f"{layer.name}/squeeze"))
        shift = ops.matmul(hidden, constant(excite), False, False, name=f"{layer.name}/excite")
        return ops.add(x, ops.clamp(ops.sigmoid(shift), 0.0, layer.LARGEST_SHIFT))

    def dense(x, kernel, name):
        oihw = constant(kernel.T[:, :, None, None])
        return ops.convolution(x, oihw, [1, 1], [0, 0], [0, 0], [1, 1], name=f"{layer.name}/{name}")

    hidden = ops.relu(dense(ops.reduce_mean(x, ops.constant([2, 3]), True), squeeze, "squeeze"))
    shift = ops.sigmoid(dense(hidden, excite, "excite"))
    return ops.add(x, ops.clamp(shift, 0.0, layer.LARGEST_SHIFT))


_ACTIVATIONS = {
    "linear": lambda x: x,
    "elu": lambda x: ops.elu(x, 1.0),
    "gelu": lambda x: ops.gelu(x, "erf"),
    "hard_sigmoid": lambda x: ops.clamp(ops.add(ops.multiply(x, constant(0.2)), constant(0.5)), 0.0, 1.0),
    "hard_tanh": lambda x: ops.clamp(x, -1.0, 1.0),
    "relu": ops.relu,
    "relu6": lambda x: ops.clamp(x, 0.0, 6.0),
    "sigmoid": ops.sigmoid,
    "softmax": lambda x: ops.softmax(x, 1),
    "swish": ops.swish,
    "tanh": ops.tanh,
}


@emits(tf.keras.layers.Activation)
def activation(layer, x):
    if type(layer.activation) in EMITTERS:  # a layer, which Keras takes as well
        return EMITTERS[type(layer.activation)](layer.activation, x)
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    if name not in _ACTIVATIONS:
        raise unsupported(layer, f" with activation={name!r}")
    return _ACTIVATIONS[name](x)


@emits(tf.keras.layers.Softmax)
def softmax(layer, x):
    if layer.axis not in (-1, rank(x) - 1):
        raise unsupported(layer, f" over axis {layer.axis}")
    return ops.softmax(x, 1)


@emits(tf.keras.layers.LeakyReLU)
def leaky_relu(layer, x):
    return ops.prelu(x, constant([layer.alpha]))


@emits(tf.keras.layers.ELU)
def elu(layer, x):
    return ops.elu(x, float(layer.alpha))


@emits(HardTanh)
def hard_tanh(layer, x):
    return ops.clamp(x, -1.0, 1.0)


@emits(tf.keras.layers.PReLU)
def prelu(layer, x):
    alpha = layer.alpha.numpy()
    if all(n == 1 for n in alpha.shape[:-1]):
        return ops.prelu(x, constant(alpha.ravel()))
    slope = alpha.transpose(2, 0, 1)[None] if alpha.ndim == 3 else alpha[None]
    return ops.subtract(ops.relu(x), ops.multiply(ops.relu(ops.negative(x)), constant(slope)))


@emits(tf.keras.layers.ReLU)
def relu(layer, x):
    if layer.negative_slope or layer.threshold:
        raise unsupported(layer, " with a slope or a threshold")
    return ops.relu(x) if layer.max_value is None else ops.clamp(x, 0.0, float(layer.max_value))


@emits(
    tf.keras.layers.ActivityRegularization,
    tf.keras.layers.AlphaDropout,
    tf.keras.layers.Dropout,
    tf.keras.layers.GaussianDropout,
    tf.keras.layers.GaussianNoise,
    tf.keras.layers.SpatialDropout2D,
)
def identity(layer, x):
    return x


def _merged(operation, layer, *inputs) -> ov.Node:
    if len({rank(x) for x in inputs}) > 1:
        raise unsupported(layer, f" of inputs of the ranks {[rank(x) for x in inputs]}")
    return reduce(operation, inputs)


_MERGES = {
    tf.keras.layers.Add: ops.add,
    tf.keras.layers.Maximum: ops.maximum,
    tf.keras.layers.Minimum: ops.minimum,
    tf.keras.layers.Multiply: ops.multiply,
    tf.keras.layers.Subtract: ops.subtract,
}
for merge, operation in _MERGES.items():
    emits(merge)(partial(_merged, operation))


@emits(tf.keras.layers.Average)
def average(layer, *inputs):
    return ops.divide(_merged(ops.add, layer, *inputs), constant(len(inputs)))


# TensorFlow's functions that a model may call on Keras tensors, as in `x + residual`.
_FUNCTIONS: dict[str, Emit] = {
    "__operators__.add": partial(_merged, ops.add),
    "math.add": partial(_merged, ops.add),
    "math.multiply": partial(_merged, ops.multiply),
    "math.subtract": partial(_merged, ops.subtract),
    "nn.relu": lambda _, x: ops.relu(x),
    "math.sigmoid": lambda _, x: ops.sigmoid(x),
}


@emits(TFOpLambda)
def function(layer, *inputs):
    for node in layer.inbound_nodes:
        keywords = [value for key, value in node.call_kwargs.items() if key != "name" and value is not None]
        arguments = [*node.call_args, *keywords]
        if layer.symbol not in _FUNCTIONS or not all(isinstance(x, KerasTensor) for x in arguments):
            raise unsupported(layer, f", tf.{layer.symbol} of {len(arguments)} arguments")
    return _FUNCTIONS[layer.symbol](layer, *inputs)


def _numbers(layer, value, x: ov.Node) -> np.ndarray:
    """One number, or one for each channel."""
    value = np.asarray(value, np.float32)
    if value.size > 1 and value.size != value.shape[-1]:
        raise unsupported(layer, f" with numbers of shape {value.shape}")
    return of_channels(value, x)


@emits(tf.keras.layers.Rescaling)
def rescaling(layer, x):
    scale, offset = (_numbers(layer, value, x) for value in (layer.scale, layer.offset))
    return ops.add(ops.multiply(x, constant(scale)), constant(offset))


@emits(tf.keras.layers.Normalization)
def normalization(layer, x):
    if layer.invert:
        raise unsupported(layer, " with invert=True")
    mean, deviation = (_numbers(layer, value, x) for value in (layer.mean, np.sqrt(layer.variance)))
    return ops.divide(ops.subtract(x, constant(mean)), constant(np.maximum(deviation, tf.keras.backend.epsilon())))
