"""A faster filter gradient for convolutions of many channels in bfloat16."""

import tensorflow as tf


@tf.custom_gradient
def convolution_of_many_channels(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A 3×3 convolution at stride 1 whose filter gradient is nine matrix products.

    In bfloat16 and for at least 256 channels of at most 64 pixels they are faster than TensorFlow's operation, by 1.5
    to 2 (`benchmarks/filter_gradient.py`).
    """

    def grad(dy):
        rows, columns, channels = x.shape[1:]
        padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        pixels = tf.reshape(dy, [-1, dy.shape[-1]])
        taps = [padded[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
        products = [tf.matmul(tf.reshape(tap, [-1, channels]), pixels, transpose_a=True) for tap in taps]
        dx = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, strides=[1] * 4, padding="SAME"
        )
        return dx, tf.reshape(tf.stack(products), kernel.shape)

    return tf.nn.conv2d(x, kernel, 1, "SAME"), grad
