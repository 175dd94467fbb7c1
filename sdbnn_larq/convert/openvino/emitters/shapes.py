"""Layers that pool, pad, cut or arrange."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import tensorflow as tf

from sdbnn_larq.convert.openvino.emitters.padding import check_channels_last, pads_of
from sdbnn_larq.convert.openvino.emitters.registry import constant, emits, rank, unsupported
from sdbnn_larq.layers import SymmetricMaxPool2D


@emits(tf.keras.layers.MaxPool2D, SymmetricMaxPool2D)
def max_pool(layer, x):
    pads = pads_of(layer, x, layer.pool_size, layer.strides)
    return ov.opset1.max_pool(x, list(layer.strides), *pads, list(layer.pool_size), "floor")


@emits(tf.keras.layers.AveragePooling2D)
def average_pool(layer, x):
    pads = pads_of(layer, x, layer.pool_size, layer.strides)
    return ov.opset1.avg_pool(x, list(layer.strides), *pads, list(layer.pool_size), True, "floor")


@emits(tf.keras.layers.GlobalAveragePooling2D)
def global_average_pool(layer, x):
    check_channels_last(layer)
    return ops.reduce_mean(x, ops.constant([2, 3]), layer.keepdims)


@emits(tf.keras.layers.GlobalMaxPooling2D)
def global_max_pool(layer, x):
    check_channels_last(layer)
    return ops.reduce_max(x, ops.constant([2, 3]), layer.keepdims)


@emits(tf.keras.layers.ZeroPadding2D)
def zero_padding(layer, x):
    (begin_0, end_0), (begin_1, end_1) = layer.padding
    if layer.data_format == "channels_last":  # rows and columns
        begin, end = [0, 0, begin_0, begin_1], [0, 0, end_0, end_1]
    else:  # the last two axes of NHWC: columns and channels
        begin, end = [0, begin_1, 0, begin_0], [0, end_1, 0, end_0]
    return ops.pad(x, begin, end, "constant", constant(0.0))


@emits(tf.keras.layers.Concatenate)
def concatenate(layer, *inputs):
    if not (axis := layer.axis % rank(inputs[0])):
        raise unsupported(layer, " of batches")
    return ops.concat(list(inputs), (0, 2, 3, 1)[axis] if rank(inputs[0]) == 4 else axis)


@emits(tf.keras.layers.Flatten)
def flatten(layer, x):
    check_channels_last(layer)
    return ops.reshape(_channels_last(x), ops.constant([0, -1]), True)


@emits(tf.keras.layers.Reshape)
def reshape(layer, x):
    shape = layer.compute_output_shape((None, *_keras_shape(x)))[1:]
    if len(shape) == 1:
        return ops.reshape(_channels_last(x), ops.constant([0, *shape]), True)
    if len(shape) != 3:
        raise unsupported(layer, f" with target_shape={layer.target_shape}")
    if tuple(shape[:2]) == (1, 1):  # then there is nothing to transpose
        return ops.reshape(_channels_last(x), ops.constant([0, shape[2], 1, 1]), True)
    return ops.transpose(ops.reshape(_channels_last(x), ops.constant([0, *shape]), True), ops.constant([0, 3, 1, 2]))


def _channels_last(x: ov.Node) -> ov.Node:
    return ops.transpose(x, ops.constant([0, 2, 3, 1])) if rank(x) == 4 else x


def _keras_shape(x: ov.Node) -> list[int]:
    """Of one of a batch's members."""
    sizes = [x.get_output_partial_shape(0)[axis].get_length() for axis in range(1, rank(x))]
    return list(np.roll(sizes, -1)) if len(sizes) == 3 else sizes
