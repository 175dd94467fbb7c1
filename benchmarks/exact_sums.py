"""How many sums of a trained network bfloat16 rounds, layer by layer, on real images.

    python benchmarks/exact_sums.py ResNet20/cifar10 --data DIR --output benchmarks/exact_sums.json

A layer's sums of ±1 are integers. Mixed precision stores them in bfloat16, which holds all of them up to 256 and the
even ones up to 512. This counts the sums that it does not hold, in a training forward pass over test images.
"""

import argparse
import os

from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from zookeeper import configure

from sdbnn_larq import training, zoo
from sdbnn_larq.layers import set_precision
from sdbnn_larq.preprocessing import known_preprocessing, normalize
from sdbnn_larq.training.evaluation_data import pixel_batches


def sums_by_layer(model: tf.keras.Model, batches) -> dict[str, dict[str, float]]:
    """For each 1-bit layer: the sums, those that bfloat16 rounds, and the greatest size of a sum.

    `noise` is the error's root mean square over the standard deviation of the sums, of the worst channel and batch.
    """
    names = set_precision(model, "mixed")
    tapped = tf.keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    counts: dict[str, dict[str, float]] = {
        name: {"sums": 0, "rounded": 0, "greatest": 0, "noise": 0.0} for name in names
    }
    for images, _ in batches:
        for name, values in zip(names, tapped(images, training=True)):
            count = counts[name]
            sums = np.round(values.numpy())
            count["sums"] += sums.size
            error = tf.cast(tf.cast(sums, tf.bfloat16), tf.float32).numpy() - sums
            count["rounded"] += int((error != 0).sum())
            noise = np.sqrt((error**2).mean((0, 1, 2))) / sums.std((0, 1, 2))
            count["noise"] = max(count["noise"], round(float(noise.max()), 5))
            count["greatest"] = max(count["greatest"], int(np.abs(sums).max()))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="a tag or a weights file")
    parser.add_argument("--dataset", default="Cifar10", help="Cifar10, Imagenette, …")
    parser.add_argument("--data", required=True, help="its `data_dir`, or its `directory`")
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    model = zoo.load(options.weights)
    description = zoo.describe(model)
    preprocessing = known_preprocessing(description)
    dataset = getattr(training, options.dataset)()
    configure(dataset, {"directory" if "directory" in dataset.__component_fields__ else "data_dir": options.data})
    pixels, _ = pixel_batches(dataset, "test", description.input_shape, preprocessing, 64)
    batches = pixels.shuffle(100, seed=0).map(lambda x, y: (normalize(x, preprocessing), y))
    layers = sums_by_layer(model, batches.take(options.images // 64))
    result = {"weights": options.weights, "images": options.images // 64 * 64, "layers": layers}
    print_result(result, options.output)


if __name__ == "__main__":
    main()
