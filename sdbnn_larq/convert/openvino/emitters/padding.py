"""TensorFlow's and PyTorch's padding as numbers of pixels."""

import openvino as ov

from sdbnn_larq.convert.openvino.emitters.registry import unsupported
from sdbnn_larq.layers import SymmetricMaxPool2D, SymmetricQuantConv2D


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's SAME: as even as it can be, the odd pixel at the end."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def check_channels_last(layer) -> None:
    if layer.data_format != "channels_last":
        raise unsupported(layer, f" with data_format={layer.data_format!r}")


def pads_of(layer, x: ov.Node, kernel, strides, dilations=(1, 1)) -> tuple[list[int], list[int]]:
    """Pixels before and after the rows and the columns of a convolution's or a pooling layer's input."""
    check_channels_last(layer)
    if isinstance(layer, (SymmetricQuantConv2D, SymmetricMaxPool2D)):
        pads = [((k - 1) // 2, (k - 1) // 2) for k in kernel]
    elif layer.padding == "same":
        sizes = [x.get_output_partial_shape(0)[axis].get_length() for axis in (2, 3)]
        pads = [same_padding(*each) for each in zip(sizes, kernel, strides, dilations)]
    else:
        pads = [(0, 0), (0, 0)]
    return [begin for begin, _ in pads], [end for _, end in pads]
