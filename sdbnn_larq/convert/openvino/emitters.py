"""The OpenVINO operations of each Keras layer. Images are NCHW inside the graph, as OpenVINO's convolutions want them.

Each function takes a layer and its inputs' OpenVINO nodes and returns the node of its output.
"""

from collections.abc import Callable
from functools import reduce

import larq as lq
import numpy as np
import openvino as ov
import openvino.opset13 as ops
import tensorflow as tf

from sdbnn_larq.layers import ActivationSelfDistribution, HardTanh, SymmetricMaxPool2D, SymmetricQuantConv2D
from sdbnn_larq.layers.binary import kernel_of, scale_of, takes_sign
from sdbnn_larq.preprocessing import mean_and_scale
from sdbnn_larq.weights import ImagePreprocessing

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


def normalized(pixels: ov.Node, preprocessing: ImagePreprocessing) -> ov.Node:
    """Pixels, channels last, as `sdbnn_larq.preprocessing.normalize` makes them the network's input."""
    mean, scale = mean_and_scale(preprocessing)
    centred = ops.subtract(ops.convert(pixels, "f32"), constant(mean))
    # OpenVINO would make (x - m)·s into x·s - m·s, whose last bit may be another. A clip that clips nothing is between.
    centred = ops.clamp(centred, float(-1 - mean.max()), float(256 - mean.min()))
    return ops.multiply(centred, constant(scale))


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's SAME: as even as it can be, the odd pixel at the end."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _pads(layer, x, kernel, strides, dilations=(1, 1)) -> tuple[list[int], list[int]]:
    if layer.data_format != "channels_last":
        raise unsupported(layer, f" with data_format={layer.data_format!r}")
    if isinstance(layer, (SymmetricQuantConv2D, SymmetricMaxPool2D)):
        pads = [((k - 1) // 2, (k - 1) // 2) for k in kernel]
    elif layer.padding == "same":
        sizes = [x.get_output_partial_shape(0)[axis].get_length() for axis in (2, 3)]
        pads = [same_padding(*each) for each in zip(sizes, kernel, strides, dilations)]
    else:
        pads = [(0, 0), (0, 0)]
    return [begin for begin, _ in pads], [end for _, end in pads]


# Shared by all layers, for a smaller file. FakeQuantize gives 0 at x <= threshold, and sign(0) is +1.
_JUST_BELOW_ZERO, _BIT_0, _BIT_1 = (constant([[[[value]]]]) for value in (-1.2e-38, 0.0, 1.0))


def _sign_bits(x: ov.Node) -> ov.Node:
    """The sign as 0 and 1, in the form that OpenVINO fuses with a 1-bit convolution."""
    threshold = _JUST_BELOW_ZERO
    if x.get_type_name() == "Add":
        before, shift = (x.input_value(i).get_node() for i in (0, 1))
        if shift.get_type_name() == "Constant" and before.get_type_name() != "Transpose":  # see `_convolution`
            # a + s >= 0 in floats just where a >= -s: a constant shift moves the threshold and costs nothing.
            x, threshold = before, constant(np.nextafter(-shift.data, np.float32(-np.inf)))
    return ops.fake_quantize(x, threshold, threshold, _BIT_0, _BIT_1, 2)


def _sign(x: ov.Node) -> ov.Node:
    return ops.select(ops.greater_equal(x, constant(0.0)), constant(1.0), constant(-1.0))


def one_bit(kernel: np.ndarray) -> ov.Node:
    """A ±1 OIHW kernel as 1-bit weights, little-endian in each byte."""
    packed = np.packbits(kernel.ravel() > 0, bitorder="little")
    tensor = ov.Tensor(ov.Type.u1, ov.Shape(kernel.shape))
    tensor.data.ravel()[:] = packed
    return ov.op.Constant(tensor)


def _float_kernel(layer, kernel: np.ndarray) -> ov.Node:
    """A kernel for a float multiplication; ±1 takes a byte, not four."""
    if getattr(layer, "kernel_quantizer", None) is not None and np.isin(kernel, (-1.0, 1.0)).all():
        return ops.convert(ops.constant(kernel.astype(np.int8)), "f32")
    return constant(kernel)


def _convolution(layer, x, kernel: np.ndarray, strides, pads, dilations) -> ov.Node:
    """A convolution with an HWIO kernel, 1-bit where inputs and weights are."""
    oihw = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    binary_input, scale = takes_sign(layer), scale_of(kernel)
    if getattr(layer, "input_quantizer", None) is not None and not binary_input:
        raise unsupported(layer, f" with input_quantizer={layer.input_quantizer!r}")
    if not binary_input:
        return ops.convolution(x, _float_kernel(layer, oihw), strides, *pads, dilations)
    if layer.kernel_quantizer is None or scale is None:
        return ops.convolution(_sign(x), _float_kernel(layer, oihw), strides, *pads, dilations)
    if x.get_type_name() == "Transpose":  # OpenVINO crashes
        raise unsupported(layer, " with 1-bit inputs, directly behind the model's input")
    if kernel.shape[2] % 8:  # OpenVINO computes nonsense
        raise unsupported(layer, f" with {kernel.shape[2]} 1-bit input channels, not a multiple of 8")
    y = ov.opset1.binary_convolution(
        _sign_bits(x), one_bit(oihw), strides, *pads, dilations, "xnor-popcount", pad_value=0.0
    )
    return y if (scale == 1).all() else ops.multiply(y, constant(scale.reshape(1, -1, 1, 1)))


def _finish(layer, y: ov.Node) -> ov.Node:
    """Bias and activation."""
    if layer.use_bias:
        shape = (1, -1, 1, 1) if y.get_output_partial_shape(0).rank.get_length() == 4 else (1, -1)
        y = ops.add(y, constant(layer.bias.numpy().reshape(shape)))
    return activation(layer, y)


@emits(tf.keras.layers.Conv2D, lq.layers.QuantConv2D, SymmetricQuantConv2D)
def conv2d(layer, x):
    if layer.groups != 1:
        raise unsupported(layer, f" with groups={layer.groups}")
    pads = _pads(layer, x, layer.kernel_size, layer.strides, layer.dilation_rate)
    if value := getattr(layer, "pad_values", 0.0):
        begin, end = ([0, 0, *pad] for pad in pads)
        x = ops.pad(x, begin, end, "constant", constant(value))  # before the sign, which keeps ±1
        if takes_sign(layer) and value not in (-1.0, 1.0):
            raise unsupported(layer, f" with pad_values={value}")
        pads = [0, 0], [0, 0]
    y = _convolution(layer, x, kernel_of(layer), list(layer.strides), pads, list(layer.dilation_rate))
    return _finish(layer, y)


@emits(tf.keras.layers.Dense, lq.layers.QuantDense)
def dense(layer, x):
    if x.get_output_partial_shape(0).rank.get_length() != 2:
        raise unsupported(layer, " on an input that is not flat")
    if getattr(layer, "input_quantizer", None) is None:
        product = ops.matmul(x, _float_kernel(layer, kernel_of(layer)), False, False, name=f"{layer.name}/MatMul")
        return _finish(layer, product)
    x = ops.unsqueeze(x, ops.constant([2, 3]))
    y = _convolution(layer, x, kernel_of(layer)[None, None], [1, 1], ([0, 0], [0, 0]), [1, 1])
    return _finish(layer, ops.squeeze(y, ops.constant([2, 3])))


@emits(tf.keras.layers.BatchNormalization)
def batch_normalization(layer, x):
    rank = x.get_output_partial_shape(0).rank.get_length()
    if list(layer.axis) != [rank - 1]:
        raise unsupported(layer, f" over axis {list(layer.axis)}")
    mean, variance = (weight.numpy().astype(np.float64) for weight in (layer.moving_mean, layer.moving_variance))
    scale = (1.0 if layer.gamma is None else layer.gamma.numpy()) / np.sqrt(variance + layer.epsilon)
    offset = (0.0 if layer.beta is None else layer.beta.numpy()) - mean * scale
    shape = (1, -1, *[1] * (rank - 2))
    return ops.add(ops.multiply(x, constant(scale.reshape(shape))), constant(offset.reshape(shape)))


@emits(ActivationSelfDistribution)
def activation_self_distribution(layer, x):
    rank = x.get_output_partial_shape(0).rank.get_length()
    spatial = ops.constant(list(range(2, rank)))
    if layer.mode == "static":
        shift = np.minimum(tf.sigmoid(layer.shift.beta), layer.LARGEST_SHIFT).reshape(1, -1, *[1] * (rank - 2))
        return ops.add(x, constant(shift))
    squeeze, excite = (weight.numpy() for weight in layer.shift.weights)
    if rank == 2:
        shift = ops.matmul(ops.relu(ops.matmul(x, constant(squeeze), False, False)), constant(excite), False, False)
        return ops.add(x, ops.clamp(ops.sigmoid(shift), 0.0, layer.LARGEST_SHIFT))

    def dense(x, kernel, name):
        oihw = constant(kernel.T[:, :, None, None])
        return ops.convolution(x, oihw, [1, 1], [0, 0], [0, 0], [1, 1], name=f"{layer.name}/{name}")

    hidden = ops.relu(dense(ops.reduce_mean(x, spatial, True), squeeze, "squeeze"))
    shift = ops.sigmoid(dense(hidden, excite, "excite"))
    return ops.add(x, ops.clamp(shift, 0.0, layer.LARGEST_SHIFT))


_ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": ops.relu,
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "softmax": lambda x: ops.softmax(x, 1),
    "hard_tanh": lambda x: ops.clamp(x, -1.0, 1.0),
}


@emits(tf.keras.layers.Activation)
def activation(layer, x):
    name = getattr(layer.activation, "__name__", str(layer.activation))
    if name not in _ACTIVATIONS:
        raise unsupported(layer, f" with activation={name!r}")
    return _ACTIVATIONS[name](x)


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


@emits(tf.keras.layers.Add)
def add(layer, *inputs):
    return reduce(ops.add, inputs)


@emits(tf.keras.layers.ZeroPadding2D)
def zero_padding(layer, x):
    (begin_0, end_0), (begin_1, end_1) = layer.padding
    if layer.data_format == "channels_last":  # rows and columns
        begin, end = [0, 0, begin_0, begin_1], [0, 0, end_0, end_1]
    else:  # the last two axes of NHWC: columns and channels
        begin, end = [0, begin_1, 0, begin_0], [0, end_1, 0, end_0]
    return ops.pad(x, begin, end, "constant", constant(0.0))


@emits(tf.keras.layers.MaxPool2D, SymmetricMaxPool2D)
def max_pool(layer, x):
    pads = _pads(layer, x, layer.pool_size, layer.strides)
    return ov.opset1.max_pool(x, list(layer.strides), *pads, list(layer.pool_size), "floor")


@emits(tf.keras.layers.AveragePooling2D)
def average_pool(layer, x):
    pads = _pads(layer, x, layer.pool_size, layer.strides)
    return ov.opset1.avg_pool(x, list(layer.strides), *pads, list(layer.pool_size), True, "floor")


@emits(tf.keras.layers.GlobalAveragePooling2D)
def global_average_pool(layer, x):
    return ops.reduce_mean(x, ops.constant([2, 3]), layer.keepdims)


@emits(tf.keras.layers.GlobalMaxPooling2D)
def global_max_pool(layer, x):
    return ops.reduce_max(x, ops.constant([2, 3]), layer.keepdims)


def _of_channels(layer, value, x: ov.Node) -> np.ndarray:
    """A number, or one for each channel, in a shape that is multiplied with a node."""
    value = np.asarray(value, np.float32)
    rank = x.get_output_partial_shape(0).rank.get_length()
    if value.size > 1 and value.size != value.shape[-1]:
        raise unsupported(layer, f" with numbers of shape {value.shape}")
    return value.reshape(1, -1, *[1] * (rank - 2))


@emits(tf.keras.layers.Rescaling)
def rescaling(layer, x):
    scale, offset = (_of_channels(layer, value, x) for value in (layer.scale, layer.offset))
    return ops.add(ops.multiply(x, constant(scale)), constant(offset))


@emits(tf.keras.layers.Normalization)
def normalization(layer, x):
    if layer.invert:
        raise unsupported(layer, " with invert=True")
    mean, deviation = (_of_channels(layer, value, x) for value in (layer.mean, np.sqrt(layer.variance)))
    return ops.divide(ops.subtract(x, constant(mean)), constant(np.maximum(deviation, tf.keras.backend.epsilon())))


@emits(tf.keras.layers.Flatten)
def flatten(layer, x):
    if x.get_output_partial_shape(0).rank.get_length() == 4:
        x = ops.transpose(x, ops.constant([0, 2, 3, 1]))
    return ops.reshape(x, ops.constant([0, -1]), True)
