"""Activation Self-Distribution: a shift of each channel, computed from the activations themselves."""

import larq as lq
import numpy as np
import tensorflow as tf

from sdbnn_larq._counts import is_count
from sdbnn_larq._initializers import TORCH_DEFAULT
from sdbnn_larq.quantizers.dtype_policy import refuse_half_precision


@lq.utils.register_keras_custom_object
class _StaticShift(tf.keras.layers.Layer):
    """σ(β) for each channel, whatever the input."""

    def build(self, input_shape):
        self.beta = self.add_weight(name="beta", shape=input_shape[-1:], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs):
        return tf.sigmoid(self.beta)


def _mean(x: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Over everything but batch and channels.

    # Arguments
        x: `(batch, ..., channels)`.
        mask: boolean, the shape of `x` up to some axis; `False` leaves a step out. 0 where it leaves out all.
    """
    axes = list(range(1, x.shape.rank - 1))
    if mask is None:
        return tf.reduce_mean(x, axes)
    missing_axes = x.shape.rank - len(mask.shape)
    steps = tf.reshape(mask, tf.concat([tf.shape(mask), [1] * missing_axes], 0))
    steps = tf.cast(tf.broadcast_to(steps, tf.shape(x)), x.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(steps * x, axes), tf.reduce_sum(steps, axes))


@lq.utils.register_keras_custom_object
class ActivationSelfDistribution(tf.keras.Model):
    r"""Shifts activations before their sign is taken, by an amount the activations decide (ASD).

    \\[
    y = a + \sigma\left(W_2\,\textrm{relu}(W_1\,\bar{a})\right)
    \\]

    where \\(\bar{a}\\) is the mean of `a` over everything but batch and channels, without the steps that a Keras mask
    leaves out. `mode="static"` learns one shift for each channel instead, \\(y = a + \sigma(\beta)\\), which costs
    nothing at inference. \\(\sigma\\) is below 1, but `float32` rounds it to 1 for large inputs; either shift is
    therefore at most `LARGEST_SHIFT`, the largest `float32` below 1.

    It is a small Keras model so that `lq.models.summary` counts its dense layers' parameters and MACs as they are.

    !!! example
        ```python
        x = ActivationSelfDistribution(reduction=16)(x)
        x = lq.layers.QuantConv2D(64, 3, input_quantizer="ede_sign", kernel_quantizer="wsd_sign")(x)
        ```

    # Arguments
        reduction: channels for each hidden unit; there is at least one hidden unit. 16 for CIFAR-10 and 8 for ImageNet
            in the paper. Unused by `mode="static"`.
        mode: `"dynamic"` or `"static"`.
        kernel_initializer: of both dense kernels; PyTorch's default, as the authors' layer has it.

    # Input shape
        `(batch, ..., channels)`, floating point, rank 2 or more, channels known.

    # Output shape
        As the input's.

    # Raises
        ValueError: if an argument is none of the above, under a dtype policy of 16 bits, or for an input of another
            shape.

    # References
        - [Self-Distribution Binary Neural Networks](https://arxiv.org/abs/2103.02394)
    """

    # As σ < 1, -1 plus a shift is negative. Rounded, σ is 1 from some input on, where runtimes differ in the last bit,
    # and -1 + 1 has the other sign.
    LARGEST_SHIFT = float(np.nextafter(np.float32(1), np.float32(0)))

    def __init__(self, reduction: int = 16, mode: str = "dynamic", kernel_initializer=TORCH_DEFAULT, **kwargs):
        super().__init__(**kwargs)
        refuse_half_precision(self)
        if mode not in ("dynamic", "static"):
            raise ValueError(f'`mode` must be "dynamic" or "static". Received: mode={mode!r}.')
        if not is_count(reduction):
            raise ValueError(f"`reduction` must be an integer of at least 1. Received: reduction={reduction!r}.")
        self.reduction = reduction
        self.mode = mode
        self.kernel_initializer = tf.keras.initializers.get(kernel_initializer)
        self.supports_masking = True
        self._trainable_parts: tuple[bool, ...] = ()  # as saved, for `build` to set

    def build(self, input_shape):
        input_shape = tf.TensorShape(input_shape)
        if input_shape.rank is None or input_shape.rank < 2 or input_shape[-1] is None:
            raise ValueError(
                "ActivationSelfDistribution must have an input of shape (batch, ..., channels) with known channels. "
                f"Received: shape {input_shape}."
            )
        channels = input_shape[-1]
        if self.mode == "static":
            self.shift = _StaticShift(name=f"{self.name}_shift", trainable=self.trainable, dtype=self.dtype_policy)
            self.shift.build(input_shape)
        else:
            # A functional model, because `lq.models.summary` reads the MACs off symbolic outputs.
            self.shift = tf.keras.Sequential(
                [
                    tf.keras.Input((channels,), dtype=self.compute_dtype),
                    self._dense(max(1, channels // self.reduction), "relu", "squeeze"),
                    self._dense(channels, "sigmoid", "excite"),
                ],
                name=f"{self.name}_shift",
            )
            self.shift.trainable = self.trainable
        for part, trainable in zip(self._parts(), self._trainable_parts):
            part.trainable = trainable
        self._build_input_shape = input_shape
        self.built = True

    def _dense(self, units: int, activation: str, name: str) -> tf.keras.layers.Dense:
        return tf.keras.layers.Dense(
            units,
            activation,
            use_bias=False,
            kernel_initializer=self._new_initializer(),
            dtype=self.dtype_policy,
            name=f"{self.name}_{name}",
        )

    def _new_initializer(self):
        """A copy each: an unseeded initializer used twice draws the same values twice. A function has no state."""
        if not isinstance(self.kernel_initializer, tf.keras.initializers.Initializer):
            return self.kernel_initializer
        return type(self.kernel_initializer).from_config(self.kernel_initializer.get_config())

    def _parts(self) -> list[tf.keras.layers.Layer]:
        """The layers inside, each before those that it contains."""
        return list(self._flatten_layers(include_self=False))

    def call(self, inputs, mask=None):
        if self.mode == "static":
            return inputs + tf.minimum(self.shift(inputs), self.LARGEST_SHIFT)
        rank = inputs.shape.rank
        mean = _mean(inputs, mask) if rank > 2 else inputs
        shift = tf.minimum(self.shift(mean), self.LARGEST_SHIFT)
        return inputs + tf.reshape(shift, [-1, *[1] * (rank - 2), shift.shape[-1]])

    def compute_output_shape(self, input_shape):
        return tf.TensorShape(input_shape)

    def get_config(self):
        return {
            # Of a subclassed model, Keras itself describes nothing.
            **tf.keras.layers.Layer.get_config(self),
            "reduction": self.reduction,
            "mode": self.mode,
            "kernel_initializer": tf.keras.initializers.serialize(self.kernel_initializer),
            "trainable_parts": [part.trainable for part in self._parts()] or list(self._trainable_parts),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        trainable_parts = config.pop("trainable_parts", ())
        layer = super().from_config(config, custom_objects)
        layer._trainable_parts = tuple(trainable_parts)
        return layer
