"""Seconds until the first step of training is done, with the variables of optimizer and metrics made in it or before.

    python benchmarks/first_step.py --output benchmarks/first_step.json

Interleaved in one process: every round compiles a new network for each. A step that makes variables is traced twice.
"""

import argparse
import os
import time

from _interleaved import median_ratio, spread
from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: I001  (before TensorFlow)
import tensorflow as tf

from sdbnn_larq.training.loop import make_variables
from sdbnn_larq.training.provenance import processor

NETWORKS = {"ResNet20": 32, "ResNet18": 128}
BATCH = 8


def seconds_to_first_step(name: str, size: int, beforehand: bool) -> float:
    tf.keras.backend.clear_session()
    model = sdbnn_larq.zoo.get_model(name, input_shape=(size, size, 3), num_classes=10)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    batch = tf.zeros((BATCH, size, size, 3)), tf.zeros(BATCH, tf.int64)
    began = time.perf_counter()
    if beforehand:
        make_variables(model, tf.data.Dataset.from_tensors(batch))
    model.train_on_batch(*batch)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    networks = {}
    for name, size in NETWORKS.items():
        seconds: dict[str, list[float]] = {"in the step": [], "before": []}
        for _ in range(options.rounds):
            for when, values in seconds.items():
                values.append(seconds_to_first_step(name, size, when == "before"))
        networks[name] = {
            "seconds": {when: spread(values) for when, values in seconds.items()},
            "ratio": median_ratio(seconds["before"], seconds["in the step"]),
        }
    print_result({"machine": processor(), "tensorflow": tf.__version__, "networks": networks}, options.output)


if __name__ == "__main__":
    main()
