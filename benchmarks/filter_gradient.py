"""Milliseconds of a 3×3 convolution's filter gradient in bfloat16: TensorFlow's operation against nine matrix products.

    python benchmarks/filter_gradient.py

`SymmetricQuantConv2D` takes the products where they are faster: many channels of few pixels.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: F401, I001  (before TensorFlow)
import tensorflow as tf

from sdbnn_larq.layers.filter_gradient import convolution_of_many_channels

SHAPES = [
    (64, 32, 64, 64),
    (64, 16, 128, 128),
    (64, 16, 256, 256),
    (64, 8, 256, 256),
    (64, 8, 512, 512),
    (64, 4, 512, 512),
]


def signs(shape) -> tf.Tensor:
    return tf.cast(tf.sign(tf.random.normal(shape)), tf.bfloat16)


def main() -> None:
    print("batch, pixels, channels: operation, products (ratio)")
    for batch, size, channels, filters in SHAPES:
        x, kernel = signs((batch, size, size, channels)), signs((3, 3, channels, filters))
        dy = tf.cast(tf.random.normal((batch, size, size, filters)), tf.bfloat16)

        def gradient(convolution, x=x, kernel=kernel, dy=dy):
            with tf.GradientTape() as tape:
                tape.watch(kernel)
                y = convolution(x, kernel)
            return tape.gradient(y, kernel, dy)

        ways = {
            "operation": tf.function(lambda run=gradient: run(lambda a, b: tf.nn.conv2d(a, b, 1, "SAME"))),
            "products": tf.function(lambda run=gradient: run(convolution_of_many_channels)),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(8):
            for name, way in ways.items():
                began = time.perf_counter()
                way().numpy()
                times[name].append(1e3 * (time.perf_counter() - began))
        operation, products = (statistics.median(times[name][1:]) for name in ways)
        print(f"{batch}, {size}×{size}, {channels}: {operation:.1f}, {products:.1f} ({operation / products:.2f})")


if __name__ == "__main__":
    main()
