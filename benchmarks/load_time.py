"""Seconds to build ResNet-18 with weights from a local packed file, against building it without weights.

    python benchmarks/load_time.py --output benchmarks/load_time.json

Interleaved in one process: every round builds each once.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: I001  (before TensorFlow)
import tensorflow as tf

from sdbnn_larq.training.provenance import processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ResNet18")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        sdbnn_larq.zoo.save_packed(sdbnn_larq.zoo.get_model(options.model), path)
        size = path.stat().st_size
        seconds: dict[str, list[float]] = {"without weights": [], "packed file": []}
        for _ in range(options.rounds):
            for name, weights in zip(seconds, (None, path)):
                tf.keras.backend.clear_session()
                began = time.perf_counter()
                sdbnn_larq.zoo.get_model(options.model, weights=weights)
                seconds[name].append(time.perf_counter() - began)
    ratio = statistics.median(b / a for a, b in zip(*seconds.values()))
    result = {
        "model": options.model,
        "bytes": size,
        "machine": processor(),
        "tensorflow": tf.__version__,
        "median_seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "median_ratio": round(ratio, 3),
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
