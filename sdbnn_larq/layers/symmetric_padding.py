"""Convolution and pooling with PyTorch's symmetric zero padding, exact at stride 2.

TensorFlow's SAME pads an even size by (0, 1) at stride 2, PyTorch pads by (1, 1). Padding the input explicitly would
make them agree, but Larq Compute Engine leaves such a convolution in float, or gives wrong numbers without a warning.
What both understand: enlarge the input at the bottom and right until SAME itself is symmetric, and crop the surplus
output. While a model trains, the input is padded explicitly, as the gradient of the crop is slow.
"""

import larq as lq
import tensorflow as tf

from sdbnn_larq.layers.filter_gradient import convolution_of_many_channels
from sdbnn_larq.quantizers.dtype_policy import refuse_half_precision


def _surplus(x: tf.Tensor, window: tuple[int, int], strides: tuple[int, int]) -> list:
    """Rows and columns to add so that size ≡ 1 modulo the stride, where SAME pads both sides alike.

    A window of one pixel needs no padding.
    """
    sizes = [n if n is not None else tf.shape(x)[axis] for axis, n in zip((1, 2), x.shape[1:3])]
    return [(1 - n) % stride if k > 1 else 0 for n, k, stride in zip(sizes, window, strides)]


def _enlarge(x: tf.Tensor, surplus: list) -> tf.Tensor:
    return tf.pad(x, [[0, 0], [0, surplus[0]], [0, surplus[1]], [0, 0]])


def _crop(y: tf.Tensor, surplus: list) -> tf.Tensor:
    """Takes off the one row and column of outputs that a surplus brought."""
    last = [
        tf.shape(y)[axis] - tf.cast(n > 0, tf.int32) if tf.is_tensor(n) else (-1 if n else None)
        for axis, n in zip((1, 2), surplus)
    ]
    return y[:, : last[0], : last[1]]


def _is_static(surplus: list) -> bool:
    return not any(tf.is_tensor(n) for n in surplus)


def _check(layer, kernel_size, dilation_rate=(1, 1)) -> None:
    if layer.padding != "same":
        raise ValueError(f'`padding` must be "same": it is always symmetric. Received: padding={layer.padding!r}.')
    if any(n not in (1, 3) for n in kernel_size) or any(n != 1 for n in dilation_rate):
        raise ValueError(
            f"{type(layer).__name__} must have a window of 1 or 3 pixels without dilation. "
            f"Received: {tuple(kernel_size)}, dilation {tuple(dilation_rate)}."
        )
    if layer.data_format != "channels_last":
        raise ValueError(f'`data_format` must be "channels_last". Received: data_format={layer.data_format!r}.')


@lq.utils.register_keras_custom_object
class SymmetricQuantConv2D(lq.layers.QuantConv2D):
    r"""`lq.layers.QuantConv2D` with PyTorch's padding: (k − 1) / 2 zeros on every side, at any stride.

    The zeros are added after the input quantizer, so that padding contributes nothing to a ±1 convolution.

    !!! example
        ```python
        SymmetricQuantConv2D(64, 3, strides=2, input_quantizer="ede_sign", kernel_quantizer="wsd_sign", use_bias=False)
        ```

    # Arguments
        filters: number of output channels.
        kernel_size: 1 or 3.
        strides: one integer or two.
        padding: `"same"`, the only one.
        **kwargs: any other argument of `lq.layers.QuantConv2D`; `pad_values` must be 0 and `dilation_rate` 1.

    # Input shape
        `(batch, height, width, channels)`

    # Output shape
        `(batch, ceil(height / stride), ceil(width / stride), filters)`

    # Raises
        ValueError: for another kernel size, padding, padding value or data format, for a dilation, or with a quantizer
            under a dtype policy of 16 bits.
    """

    def __init__(self, filters, kernel_size, strides=(1, 1), padding="same", **kwargs):
        super().__init__(filters, kernel_size, strides=strides, padding=padding, **kwargs)
        _check(self, self.kernel_size, self.dilation_rate)
        if self.input_quantizer or self.kernel_quantizer:
            refuse_half_precision(self)
        if tf.is_tensor(self.pad_values) or self.pad_values != 0:
            raise ValueError(f"`pad_values` must be 0. Received: pad_values={self.pad_values}.")

    def call(self, inputs, training=None):
        surplus = _surplus(inputs, self.kernel_size, self.strides)
        if _is_static(surplus) and (training is True or not any(surplus)):
            return super().call(inputs)
        return _crop(super().call(_enlarge(inputs, surplus)), surplus)

    def convolution_op(self, inputs, kernel):
        surplus = _surplus(inputs, self.kernel_size, self.strides)
        if _is_static(surplus) and any(surplus):  # only in training: see `call`
            pads = [[(k - 1) // 2] * 2 for k in self.kernel_size]
            return tf.nn.conv2d(tf.pad(inputs, [[0, 0], *pads, [0, 0]]), kernel, self.strides, "VALID")
        if inputs.dtype == tf.bfloat16 and self.kernel_size == (3, 3) and self.strides == (1, 1) and self.groups == 1:
            rows, columns, channels = inputs.shape[1:]
            if channels >= 256 and rows and columns and rows * columns <= 64:
                return convolution_of_many_channels(inputs, tf.convert_to_tensor(kernel))
        return super().convolution_op(inputs, kernel)


@lq.utils.register_keras_custom_object
class SymmetricMaxPool2D(tf.keras.layers.MaxPool2D):
    r"""`tf.keras.layers.MaxPool2D` with PyTorch's padding: (k − 1) / 2 on every side, ignored by the maximum.

    # Arguments
        pool_size: 1 or 3.
        strides: one integer or two; `pool_size` if `None`.
        padding: `"same"`, the only one.
        **kwargs: any other argument of `tf.keras.layers.MaxPool2D`.

    # Input shape
        `(batch, height, width, channels)`

    # Output shape
        `(batch, ceil(height / stride), ceil(width / stride), channels)`

    # Raises
        ValueError: for another pool size, padding or data format.
    """

    def __init__(self, pool_size=(3, 3), strides=None, padding="same", **kwargs):
        super().__init__(pool_size, strides, padding, **kwargs)
        _check(self, self.pool_size)

    def call(self, inputs):
        surplus = _surplus(inputs, self.pool_size, self.strides)
        return _crop(super().call(_enlarge(inputs, surplus)), surplus)
