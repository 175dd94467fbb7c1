"""What `self_distribute` makes of larq-zoo's networks: costs at 224×224 pixels, and what works afterwards.

    python benchmarks/self_distribute_larq_zoo.py --output benchmarks/self_distribute_larq_zoo.json

Counts parameters and MACs with `lq.models.ModelProfile`. Then, on smaller images, takes a step of training, saves and
loads in every format, and exports to both runtimes, each before and after the change: "no, nor before" is a limit of
the network or of its runtime. What is in the output file is not done again. A network takes 1 to 5 minutes.
"""

import argparse
import contextlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: I001  (before TensorFlow)
import larq as lq
import larq_zoo
import numpy as np
import tensorflow as tf

from sdbnn_larq._files import atomic_file
from sdbnn_larq._memory import releasing_graphs

# Sizes of image at which nothing is smaller than 3×3 pixels, of which Larq Compute Engine has wrong convolutions.
NETWORKS = {
    "BinaryAlexNet": 96,
    "BiRealNet": 96,
    "BinaryResNetE18": 96,
    "BinaryDenseNet28": 96,
    "QuickNetSmall": 96,
    "MeliusNet22": 96,
    "RealToBinaryNet": 96,
    "XNORNet": 224,
    "DoReFaNet": 96,
}
Build = Callable[[], tf.keras.Model]


def larq_zoo_network(name: str, size: int, classes: int) -> tf.keras.Model:
    build = getattr(larq_zoo.sota, name, None) or getattr(larq_zoo.literature, name)
    return build(weights=None, input_shape=(size, size, 3), num_classes=classes)


def changed(model: tf.keras.Model) -> tf.keras.Model:
    """Self-distributed as far as it goes: DoReFaNet's activations have two bits."""
    if model.name == "dorefanet":
        return sdbnn_larq.self_distribute(model, activation=None)
    return sdbnn_larq.self_distribute(model)


def costs(model: tf.keras.Model) -> dict[str, int]:
    profile = lq.models.ModelProfile(model)
    return {
        "parameters": model.count_params(),
        "1-bit MACs": profile.op_count("mac", 1),
        "float MACs": profile.op_count("mac", 32),
    }


def images(model: tf.keras.Model) -> np.ndarray:
    return np.random.RandomState(0).standard_normal((4, *model.input_shape[1:])).astype(np.float32)


def trains(build: Build, folder: Path) -> bool:
    model = build()
    model.compile("adam", "sparse_categorical_crossentropy")
    alphas = [weight for weight in model.trainable_weights if "alpha" in weight.name]
    before = [weight.numpy() for weight in alphas]
    loss = model.train_on_batch(images(model), np.arange(4))
    return np.isfinite(loss) and all((weight.numpy() != old).any() for weight, old in zip(alphas, before))


def saves(file: str) -> Callable[[Build, Path], bool]:
    def check(build: Build, folder: Path) -> bool:
        model = build()
        model.save(folder / file)
        return same(tf.keras.models.load_model(folder / file), model)

    return check


def packs(build: Build, folder: Path) -> bool:
    model, other = build(), build()
    sdbnn_larq.weights.save_packed(model, folder / "packed.safetensors")
    sdbnn_larq.weights.load_packed(other, folder / "packed.safetensors")
    return same(other, model)


def same(model: tf.keras.Model, other: tf.keras.Model) -> bool:
    x = images(model)
    return np.array_equal(model.predict_on_batch(x), other.predict_on_batch(x))


def exports_to_lce(build: Build, folder: Path) -> bool:
    model = build()
    # A first layer may have a 1-bit kernel for a float image.
    report = sdbnn_larq.convert.to_lce(model, folder / "model.tflite", images=images(model), allow_float=True)
    return report.blocks > 0


def exports_to_openvino(build: Build, folder: Path) -> bool:
    model = build()
    options: dict[str, Any] = {"images": images(model), "batch_size": 1, "allow_float": True}
    return sdbnn_larq.convert.to_openvino(model, folder / "model.xml", **options).blocks > 0


CHECKS: dict[str, Callable[[Build, Path], bool]] = {
    "a step of training": trains,
    ".keras": saves("model.keras"),
    "HDF5": saves("model.h5"),
    "SavedModel": saves("model"),
    "packed": packs,
    "Larq Compute Engine": exports_to_lce,
    "OpenVINO": exports_to_openvino,
}


def outcome(check: Callable[[Build, Path], bool], build: Build) -> str:
    """An empty string, or what went wrong."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None), releasing_graphs():
        try:
            return "" if check(build, Path(folder)) else "another result"
        except Exception as error:  # whatever Keras and the runtimes raise
            return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def examine(name: str) -> dict[str, Any]:
    """All that there is to say of a network."""
    whole = larq_zoo_network(name, 224, 1000)
    after = changed(whole)
    result: dict[str, Any] = {
        "layers": [len(names) for names in (after.self_distributed.activation, after.self_distributed.weight)],
        "before": costs(whole),
        "after": costs(after),
    }
    del whole, after

    def build() -> tf.keras.Model:
        tf.keras.utils.set_random_seed(0)
        return larq_zoo_network(name, NETWORKS[name], 10)

    for what, check in CHECKS.items():
        wrong = outcome(check, lambda: changed(build()))
        before = outcome(check, build) if wrong else ""
        result[what] = "yes" if not wrong else f"no, nor before ({before})" if before else f"no ({wrong})"
        print(f"{name}, {what}: {result[what]}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--output", required=True, help="JSON file; what it holds is not done again")
    options = parser.parse_args()

    warnings.simplefilter("ignore")
    for logger in ("larq.layers_base", "tensorflow"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    output = Path(options.output)
    results = json.loads(output.read_text()) if output.exists() else {}
    for name in options.networks:
        if name not in results:
            results[name] = examine(name)
            with atomic_file(output) as file:
                file.write((json.dumps(results, indent=2) + "\n").encode())
            tf.keras.backend.clear_session()


if __name__ == "__main__":
    main()
