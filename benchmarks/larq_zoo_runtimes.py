"""larq-zoo's networks on one core: exported by this package to OpenVINO and to Larq Compute Engine.

    python benchmarks/larq_zoo_runtimes.py --output benchmarks/larq_zoo_runtimes.json

One image of 224×224 pixels, random weights. Every round runs each file once; the ratios are those of each round.
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: F401, I001  (before TensorFlow)
import larq_zoo
import numpy as np
import tensorflow as tf
from _interleaved import median_ratio, spread
from _result import print_result

from sdbnn_larq import convert
from sdbnn_larq._memory import releasing_graphs
from sdbnn_larq.training.provenance import processor

NETWORKS = ("BinaryAlexNet", "BiRealNet", "BinaryResNetE18", "BinaryDenseNet28", "QuickNetSmall", "QuickNet", "XNORNet")
SIZE = 224
WARM_UP = 3


def build(name: str) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(0)
    function = getattr(larq_zoo.sota, name, None) or getattr(larq_zoo.literature, name)
    model = function(weights=None, input_shape=(SIZE, SIZE, 3), num_classes=1000)
    draw = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):  # means of 0 leave sums of exactly 0, as none trained
            layer.moving_mean.assign(draw.normal(size=layer.moving_mean.shape))
    return model


def compare(name: str, rounds: int, folder: Path) -> dict[str, Any]:
    model = build(name)
    first = name == "BinaryAlexNet"  # has a first layer with a 1-bit kernel and a float input
    reports = {
        "OpenVINO": convert.to_openvino(model, folder / "model.xml", allow_float=first),
        "LCE": convert.to_lce(model, folder / "model.tflite", batch_size=1, allow_float=first),
    }
    files = {"OpenVINO": folder / "model.xml", "LCE": folder / "model.tflite"}
    runs = {runtime: convert.ExportedModel(path).predict for runtime, path in files.items()}
    image = np.random.default_rng(0).standard_normal((1, SIZE, SIZE, 3), np.float32)
    times: dict[str, list[float]] = {runtime: [] for runtime in runs}
    for i in range(WARM_UP + rounds):
        for runtime, run in runs.items():
            began = time.perf_counter()
            run(image)
            if i >= WARM_UP:
                times[runtime].append(1e3 * (time.perf_counter() - began))
    return {
        "1-bit layers that agree exactly": reports["OpenVINO"].exact_layers,
        "ms": {runtime: spread(values, 2) for runtime, values in times.items()},
        "LCE / OpenVINO": median_ratio(times["LCE"], times["OpenVINO"]),
        "bytes": {runtime: sum(report.files.values()) for runtime, report in reports.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    logging.getLogger("larq.layers_base").setLevel(logging.ERROR)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    result: dict[str, Any] = {"machine": processor(), "threads": 1, "rounds": options.rounds, "networks": {}}
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder, releasing_graphs():
            result["networks"][name] = compare(name, options.rounds, Path(folder))
        tf.keras.backend.clear_session()
    print_result(result, options.output)


if __name__ == "__main__":
    main()
