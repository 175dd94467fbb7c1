"""Images a second of a recipe's training with its input pipeline against the same batch again and again.

    python benchmarks/pipeline.py --data-dir DIR --output benchmarks/pipeline.json

Both feed the same compiled model, in turns; the figure is the median ratio. Also the peak memory of the process.
"""

import argparse
import os
import resource
import statistics
import time

from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: F401, I001  (before TensorFlow)
import tensorflow as tf
from zookeeper import configure

from sdbnn_larq.recipes.cifar10_resnet20 import TrainCifar10ResNet20
from sdbnn_larq.training._pipeline import without_autotuner
from sdbnn_larq.training.provenance import processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="where tensorflow-datasets keeps cifar10")
    parser.add_argument("--steps", type=int, default=20, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    task = TrainCifar10ResNet20()
    configure(task, {"data_dir": options.data_dir})
    task.prepare()
    model, batches = task.model, task.train_batches(0, 0)
    same = without_autotuner(batches.take(1).cache().repeat())
    feeds = {"pipeline": iter(batches), "same batch": iter(same)}
    train_step = model.make_train_function()
    for feed in feeds.values():
        train_step(feed)
    rounds: dict[str, list[float]] = {name: [] for name in feeds}
    for _ in range(options.rounds):
        for name, feed in feeds.items():
            began = time.perf_counter()
            for _ in range(options.steps):
                train_step(feed)
            rounds[name].append(options.steps * task.batch_size / (time.perf_counter() - began))
    result = {
        "model": model.name,
        "batch": task.batch_size,
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "tensorflow": tf.__version__,
        "images_per_second": {
            name: {"median": round(statistics.median(v), 1), "min": round(min(v), 1), "max": round(max(v), 1)}
            for name, v in rounds.items()
        },
        "median_ratio": round(statistics.median(a / b for a, b in zip(rounds["pipeline"], rounds["same batch"])), 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
