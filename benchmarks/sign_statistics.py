"""How long `callbacks.SignStatistics` takes, as a share of an epoch of ResNet20 on CIFAR-10's 45,000 images.

    python benchmarks/sign_statistics.py --output benchmarks/sign_statistics.json

Times a look at 128 images and a few training steps in turn; the first look, which compiles, is told apart.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from _result import print_result

from sdbnn_larq import zoo
from sdbnn_larq.callbacks import SignStatistics
from sdbnn_larq.training.provenance import processor

# isort: split
import numpy as np
import tensorflow as tf

IMAGES, BATCH, TRAINED_ON = 128, 128, 45_000
STEPS = 8  # of a timing


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    model = zoo.ResNet20()
    model.compile(tf.keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    draw = np.random.default_rng(0)
    images = draw.standard_normal((BATCH, 32, 32, 3), np.float32)
    labels = draw.integers(0, 10, BATCH)
    statistics_callback = SignStatistics(images[:IMAGES])
    statistics_callback.set_model(model)

    def step() -> None:
        for _ in range(STEPS):
            model.train_on_batch(images, labels)

    def look() -> None:
        statistics_callback.on_epoch_begin(0)
        statistics_callback.on_epoch_end(0, {})

    step()
    first = seconds(look)
    pairs = [(seconds(look), seconds(step) / STEPS * (TRAINED_ON / BATCH)) for _ in range(options.rounds)]
    looks, epochs = zip(*pairs)
    shares = [look / epoch for look, epoch in pairs]
    result = {
        "processor": processor(),
        "seconds of a look": round(statistics.median(looks), 3),
        "seconds of the first look": round(first, 2),
        "seconds of an epoch": round(statistics.median(epochs), 1),
        "share of an epoch": {
            "median": round(statistics.median(shares), 4),
            "lowest": round(min(shares), 4),
            "highest": round(max(shares), 4),
        },
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
