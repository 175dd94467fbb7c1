"""The hard tanh activation as a layer that every Keras format saves."""

import larq as lq
import tensorflow as tf


@tf.custom_gradient
def hard_tanh(x: tf.Tensor) -> tf.Tensor:
    """`clip(x, -1, 1)` whose gradient is 1 strictly inside (−1, 1) and 0 elsewhere, as in PyTorch.

    By rounding it is also 0 at the largest float32 below 1.
    """
    y = tf.clip_by_value(x, -1.0, 1.0)

    def grad(dy):
        # Relu6Grad masks the gradient to 0 < 3y + 3 < 6 in one pass over memory.
        return tf.raw_ops.Relu6Grad(gradients=dy, features=3.0 * y + 3.0)

    return y, grad


@lq.utils.register_keras_custom_object
class HardTanh(tf.keras.layers.Layer):
    r"""Hard tanh activation, \\(\max(-1, \min(1, x))\\).

    The function is that of `lq.activations.hard_tanh`; as a layer it is also saved and loaded by the HDF5 format, and
    its gradient takes fewer passes over memory.

    # Input shape
        Arbitrary.

    # Output shape
        As the input's.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return hard_tanh(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config()  # Keras would refuse a layer that was made with a policy for its `dtype`
