"""Weight Self-Distribution: a learned shift of each output channel's weights before their sign is taken."""

import functools
import math
from collections.abc import Callable, Sequence

import larq as lq
import tensorflow as tf
from larq.quantizers import _BaseQuantizer

from sdbnn_larq.quantizers.dtype_policy import refuse_half_precision


def weight_self_distribution(
    kernel: tf.Tensor, alpha: tf.Tensor, scale: float, channel_axes: Sequence[int] = (-1,)
) -> tf.Tensor:
    """`kernel + sigmoid(alpha) * scale * stop_gradient(mean of the kernel per output channel)`.

    # Arguments
        kernel: latent weights, any rank.
        alpha: logit of the shift's share, one for each output channel: the kernel's shape with every other axis 1.
        scale: factor of the shift, 0.01 in the authors' code.
        channel_axes: the negative axes of `kernel` that number its output channels.

    # Returns
        The shifted latent weights, shaped as `kernel`.
    """
    rank = kernel.shape.rank
    axes = [axis for axis in range(rank) if axis - rank not in channel_axes]
    mean = tf.stop_gradient(tf.reduce_mean(kernel, axis=axes, keepdims=True))
    return kernel + tf.sigmoid(alpha) * (scale * mean)


@lq.utils.register_alias("wsd_sign")
@lq.utils.register_keras_custom_object
class WeightSelfDistribution(_BaseQuantizer):
    r"""Instantiates a serializable kernel quantizer with Weight Self-Distribution (WSD).

    \\[
    q(w) = \textrm{sign}\left(w + \sigma(\alpha) \cdot s \cdot \bar{w}\right)
    \\]

    where \\(\bar{w}\\) is the mean of an output channel's weights, treated as a constant by the gradient, and
    \\(\alpha\\) is trained, one for each output channel, initially 0. The pseudo-gradient is that of `quantizer`.
    At inference the whole expression is a constant ±1 kernel.

    !!! example
        ```python
        lq.layers.QuantConv2D(64, 3, input_quantizer="ede_sign", kernel_quantizer="wsd_sign")
        ```

    # Arguments
        quantizer: the sign quantizer applied to the shifted weights: a Larq identifier, function or quantizer.
        scale: the factor \\(s\\).
        channel_axes: the negative axes of the kernel that number its output channels. If `None`, Larq's depthwise
            and separable layers set `(-2, -1)` for their depthwise kernel, and its transposed convolutions `(-2,)`,
            when they are built; any other layer's are `(-1,)`.
        metrics: `["flip_ratio"]` to count, step by step, the signs that change. If `None`, the metrics of
            `lq.context.metrics_scope`.

    # Raises
        ValueError: if `quantizer` is not a 1-bit quantizer, if `scale` is negative, if an axis is not negative or not
            one of the kernel's, if a kernel does not fit the α that was built, or under a dtype policy of 16 bits.

    # References
        - [Self-Distribution Binary Neural Networks](https://arxiv.org/abs/2103.02394)
    """

    precision = 1

    def __init__(
        self,
        quantizer: str | Callable[[tf.Tensor], tf.Tensor] = "ede_sign",
        scale: float = 0.01,
        channel_axes: Sequence[int] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        refuse_half_precision(self)
        self.quantizer = lq.quantizers.get(quantizer)  # what Larq's metrics count, they count here
        if self.quantizer is None or getattr(self.quantizer, "precision", 1) != 1:
            raise ValueError(f"`quantizer` must be a 1-bit quantizer. Received: quantizer={quantizer!r}.")
        if channel_axes is not None and not (channel_axes and all(axis < 0 for axis in channel_axes)):
            raise ValueError(f"`channel_axes` must be negative integers. Received: channel_axes={channel_axes!r}.")
        if not 0 <= scale < math.inf:
            raise ValueError(f"`scale` must be 0 or more and finite. Received: scale={scale!r}.")
        self.scale = scale
        self.channel_axes: tuple[int, ...] | None = None if channel_axes is None else tuple(channel_axes)

    def build(self, input_shape):
        if not all(-len(input_shape) <= axis for axis in self.channel_axes or ()):
            raise ValueError(
                f"`channel_axes` must be axes of the kernel, of shape {tuple(input_shape)}. "
                f"Received: channel_axes={self.channel_axes}."
            )
        with tf.name_scope(f"{self.name}/"):  # unique in a model, as HDF5 wants
            self.alpha = self.add_weight(
                name="alpha_bias",  # `lq.models.summary` counts no MACs for a bias
                shape=self._alpha_shape(input_shape),
                initializer="zeros",
            )
        super().build(input_shape)

    def _alpha_shape(self, kernel_shape) -> tuple[int, ...]:
        rank = len(kernel_shape)
        return tuple(n if axis - rank in (self.channel_axes or (-1,)) else 1 for axis, n in enumerate(kernel_shape))

    def call(self, inputs):
        if tuple(self.alpha.shape) != self._alpha_shape(inputs.shape):
            raise ValueError(
                f"A kernel of shape {tuple(inputs.shape)} must match α of shape {tuple(self.alpha.shape)}: "
                "give each layer a WeightSelfDistribution of its own."
            )
        return super().call(self.quantizer(self.shifted(inputs)))

    def shifted(self, kernel: tf.Tensor) -> tf.Tensor:
        """The weights whose sign is taken."""
        return weight_self_distribution(kernel, self.alpha, self.scale, self.channel_axes or (-1,))

    @property
    def non_trainable_weights(self):
        # Larq's quantizers have none: their metric's variables are no weights. Here α is one while it is frozen.
        counted = {id(variable) for metric in self._metrics for variable in metric.variables}
        return [w for w in tf.keras.layers.Layer.non_trainable_weights.fget(self) if id(w) not in counted]

    def get_config(self):
        return {
            **super().get_config(),
            "quantizer": lq.quantizers.serialize(self.quantizer),
            "scale": self.scale,
            "channel_axes": self.channel_axes,
        }


def _set_channel_axes(layer_class: type[tf.keras.layers.Layer], quantizer_name: str, axes: tuple[int, ...]) -> None:
    """Makes a layer class tell its `WeightSelfDistribution` where its kernel has the output channels.

    A quantizer sees nothing but the kernel, and a depthwise or a transposed one looks like any other.
    """
    build = layer_class.build

    @functools.wraps(build)
    def build_with_channel_axes(self, input_shape):
        quantizer = getattr(self, quantizer_name)
        if isinstance(quantizer, WeightSelfDistribution) and quantizer.channel_axes is None:
            quantizer.channel_axes = axes
        build(self, input_shape)

    layer_class.build = build_with_channel_axes


for _layer in (lq.layers.QuantDepthwiseConv2D, lq.layers.QuantSeparableConv1D, lq.layers.QuantSeparableConv2D):
    _set_channel_axes(_layer, "depthwise_quantizer", (-2, -1))
for _layer in (lq.layers.QuantConv2DTranspose, lq.layers.QuantConv3DTranspose):
    _set_channel_axes(_layer, "kernel_quantizer", (-2,))
