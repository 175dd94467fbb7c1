"""The sign function with the error decay estimator (EDE) as its pseudo-gradient."""

import math

import larq as lq
import tensorflow as tf
from larq.quantizers import _BaseQuantizer

from sdbnn_larq.quantizers.dtype_policy import refuse_half_precision


def ede_sign(x: tf.Tensor, t: float | tf.Tensor = 1.0, k: float | tf.Tensor = 1.0) -> tf.Tensor:
    """Sign of `x`, +1 at zero, whose pseudo-gradient is `k * t * (1 - tanh(t * x) ** 2)`; see `EDESign`."""
    t = tf.cast(t, x.dtype)
    slope = tf.cast(k, x.dtype) * t

    @tf.custom_gradient
    def _call(x):
        def grad(dy):
            # TanhGrad is dy * (1 - tanh²) in one pass over memory.
            return slope * tf.raw_ops.TanhGrad(y=tf.tanh(t * x), dy=dy)

        return lq.math.sign(x), grad

    return _call(x)


@lq.utils.register_alias("ede_sign")
@lq.utils.register_keras_custom_object
class EDESign(_BaseQuantizer):
    r"""Instantiates a serializable binary quantizer with the error decay estimator of IR-Net.

    \\[
    q(x) = \begin{cases}
      -1 & x < 0 \\\
      1 & x \geq 0
    \end{cases}
    \\]

    The gradient is estimated by the derivative of \\(k \tanh(t x)\\):
    \\[\frac{\partial q(x)}{\partial x} = k t \left(1 - \tanh^2(t x)\right)\\]

    `t` and `k` are scalar variables, so that `callbacks.EDESchedule` can sharpen the estimate from a near identity
    (small `t`) to a near step (large `t`) while a model trains. They are saved with a model, but they are not weights:
    `model.weights`, parameter counts and `lq.models.summary` leave them out.

    !!! example
        ```python
        quantizer = EDESign(t=0.25, k=4.0)
        quantizer.t.assign(0.5)
        quantizer(tf.constant([-2.0, 0.0, 3.0]))  # [-1., 1., 1.]
        ```

    # Arguments
        t: initial sharpness, greater than 0.
        k: initial height; `max(1 / t, 1)`, as IR-Net sets it, if `None`.
        metrics: `["flip_ratio"]` to count, step by step, the signs that change; for a kernel. If `None`, the metrics of
            `lq.context.metrics_scope`.

    # Attributes
        t: scalar float variable, the sharpness in use.
        k: scalar float variable, the height in use.

    # Raises
        ValueError: if `t` or `k` is not positive and finite, or under a dtype policy of 16 bits.

    # References
        - [Forward and Backward Information Retention for Accurate Binary Neural Networks](https://arxiv.org/abs/1909.10788),
            Section 3.3
    """

    precision = 1

    def __init__(self, t: float = 1.0, k: float | None = None, **kwargs):
        super().__init__(**kwargs)
        refuse_half_precision(self)
        if not 0 < t < math.inf:
            raise ValueError(f"`t` must be greater than 0 and finite. Received: t={t}.")
        k = max(1 / t, 1.0) if k is None else k
        if not 0 < k < math.inf:
            raise ValueError(f"`k` must be greater than 0 and finite. Received: k={k}.")
        with tf.name_scope(f"{self.name}/"):
            self.t = self._add_scalar("t", t)
            self.k = self._add_scalar("k", k)

    def _add_scalar(self, name: str, value: float) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=(),
            initializer=tf.keras.initializers.Constant(value),
            trainable=False,
            experimental_autocast=False,
        )

    @property
    def non_trainable_weights(self):
        return []  # t and k belong to the optimisation, not to the network

    def call(self, inputs):
        return super().call(ede_sign(inputs, self.t, self.k))

    def get_config(self):
        get_value = tf.keras.backend.get_value
        return {**super().get_config(), "t": float(get_value(self.t)), "k": float(get_value(self.k))}
