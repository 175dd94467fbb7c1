"""Layers that multiply with a kernel, 1-bit ones among them."""

import larq as lq
import numpy as np
import openvino as ov
import openvino.opset13 as ops
import tensorflow as tf

from sdbnn_larq.convert.openvino.emitters.elementwise import activation
from sdbnn_larq.convert.openvino.emitters.padding import pads_of
from sdbnn_larq.convert.openvino.emitters.registry import constant, emits, of_channels, rank, unsupported
from sdbnn_larq.layers import SymmetricQuantConv2D
from sdbnn_larq.layers.binary import kernel_of, scale_of, takes_sign

# Shared by all layers, for a smaller file. FakeQuantize gives 0 at x <= threshold, and sign(0) is +1.
_JUST_BELOW_ZERO, _BIT_0, _BIT_1 = (constant([[[[value]]]]) for value in (-1.2e-38, 0.0, 1.0))


def _sign_bits(x: ov.Node) -> ov.Node:
    """The sign as 0 and 1, in the form that OpenVINO fuses with a 1-bit convolution."""
    threshold = _JUST_BELOW_ZERO
    if x.get_type_name() == "Add":
        before, shift = (x.input_value(i).get_node() for i in (0, 1))
        if shift.get_type_name() == "Constant" and before.get_type_name() != "Transpose":  # see `convolution`
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


def _float_kernel(quantizer, kernel: np.ndarray) -> ov.Node:
    """A kernel for a float multiplication; ±1 takes a byte, not four."""
    if quantizer is not None and np.isin(kernel, (-1.0, 1.0)).all():
        return ops.convert(ops.constant(kernel.astype(np.int8)), "f32")
    return constant(kernel)


def _binary_input(layer) -> bool:
    """Whether a layer takes the sign of its input; refuses those that quantize it otherwise."""
    binary = takes_sign(layer)
    if getattr(layer, "input_quantizer", None) is not None and not binary:
        raise unsupported(layer, f" with input_quantizer={layer.input_quantizer!r}")
    return binary


# What OpenVINO may move a transpose past, and so to a sign.
_POINTWISE = ("Add", "Clamp", "Divide", "Elu", "Gelu", "Multiply", "Relu", "Sigmoid", "Subtract", "Tanh")


def _behind_transpose(x: ov.Node) -> bool:
    """Whether a node is a transpose, or computes each of its numbers in the same way."""
    while x.get_type_name() in _POINTWISE:
        sources = [value.get_node() for value in x.input_values()]
        constants = [node for node in sources if node.get_type_name() == "Constant"]
        if len(sources) - len(constants) != 1 or any(node.data.size > 1 for node in constants):
            return False
        (x,) = (node for node in sources if node.get_type_name() != "Constant")
    return x.get_type_name() == "Transpose"


def convolution(layer, x, kernel: np.ndarray, strides, pads, dilations) -> ov.Node:
    """A convolution with an HWIO kernel, 1-bit where inputs and weights are."""
    oihw = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    binary_input, scale = _binary_input(layer), scale_of(kernel)
    quantizer = getattr(layer, "kernel_quantizer", None)
    if not binary_input:
        return ops.convolution(x, _float_kernel(quantizer, oihw), strides, *pads, dilations)
    if quantizer is None or scale is None:
        return ops.convolution(_sign(x), _float_kernel(quantizer, oihw), strides, *pads, dilations)
    if _behind_transpose(x):  # OpenVINO crashes
        raise unsupported(layer, " with 1-bit inputs, too directly behind the model's input or a Reshape")
    if kernel.shape[2] % 8:  # OpenVINO computes nonsense
        raise unsupported(layer, f" with {kernel.shape[2]} 1-bit input channels, not a multiple of 8")
    y = ov.opset1.binary_convolution(
        _sign_bits(x), one_bit(oihw), strides, *pads, dilations, "xnor-popcount", pad_value=0.0
    )
    return y if (scale == 1).all() else ops.multiply(y, constant(of_channels(scale, y)))


def _finish(layer, y: ov.Node) -> ov.Node:
    """Bias and activation."""
    return activation(layer, ops.add(y, constant(of_channels(layer.bias.numpy(), y))) if layer.use_bias else y)


def _padded(layer, x: ov.Node) -> tuple[ov.Node, tuple[list[int], list[int]]]:
    """The input of a convolution, and how it is to be padded with zeros."""
    pads = pads_of(layer, x, layer.kernel_size, layer.strides, layer.dilation_rate)
    if not (value := getattr(layer, "pad_values", 0.0)):
        return x, pads
    if takes_sign(layer) and value not in (-1.0, 1.0):
        raise unsupported(layer, f" with pad_values={value}")
    begin, end = ([0, 0, *pad] for pad in pads)
    return ops.pad(x, begin, end, "constant", constant(value)), ([0, 0], [0, 0])  # before the sign, which keeps ±1


@emits(tf.keras.layers.Conv2D, lq.layers.QuantConv2D, SymmetricQuantConv2D)
def conv2d(layer, x):
    if layer.groups != 1:
        raise unsupported(layer, f" with groups={layer.groups}")
    x, pads = _padded(layer, x)
    return _finish(layer, convolution(layer, x, kernel_of(layer), list(layer.strides), pads, list(layer.dilation_rate)))


def _depthwise(layer, x: ov.Node) -> ov.Node:
    """Each channel with kernels of its own. OpenVINO has no 1-bit form of it."""
    x, pads = _padded(layer, x)
    kernel = kernel_of(layer, "depthwise_kernel").transpose(2, 3, 0, 1)[:, :, None]
    quantized = _float_kernel(getattr(layer, "depthwise_quantizer", None), np.ascontiguousarray(kernel))
    x = _sign(x) if _binary_input(layer) else x
    return ops.group_convolution(x, quantized, list(layer.strides), *pads, list(layer.dilation_rate))


@emits(tf.keras.layers.DepthwiseConv2D, lq.layers.QuantDepthwiseConv2D)
def depthwise_conv2d(layer, x):
    return _finish(layer, _depthwise(layer, x))


@emits(tf.keras.layers.SeparableConv2D, lq.layers.QuantSeparableConv2D)
def separable_conv2d(layer, x):
    pointwise = np.ascontiguousarray(kernel_of(layer, "pointwise_kernel").transpose(3, 2, 0, 1))
    quantized = _float_kernel(getattr(layer, "pointwise_quantizer", None), pointwise)
    y = ops.convolution(_depthwise(layer, x), quantized, [1, 1], [0, 0], [0, 0], [1, 1])
    return _finish(layer, y)


@emits(tf.keras.layers.Dense, lq.layers.QuantDense)
def dense(layer, x):
    if rank(x) != 2:
        raise unsupported(layer, " on an input that is not flat")
    if getattr(layer, "input_quantizer", None) is None:
        kernel = _float_kernel(getattr(layer, "kernel_quantizer", None), kernel_of(layer))
        return _finish(layer, ops.matmul(x, kernel, False, False))
    x = ops.unsqueeze(x, ops.constant([2, 3]))
    y = convolution(layer, x, kernel_of(layer)[None, None], [1, 1], ([0, 0], [0, 0]), [1, 1])
    return _finish(layer, ops.squeeze(y, ops.constant([2, 3])))
