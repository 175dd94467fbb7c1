"""What a packed file is worth to start from: ResNet-20 on three classes of digits after training on the other seven.

    python benchmarks/fine_tune.py --output benchmarks/fine_tune.json

Trains on the digits 0 to 6, saves that network packed, and trains on 40 images of each of 7, 8 and 9 from five starts:
the packed file, whose latent weights have kept sign and mean magnitude only; the same with magnitudes drawn anew
(`spread_magnitudes`), also with the classifier trained alone before, as the recipe `FineTune` does; the latent weights
themselves; and weights drawn anew. Also says what rounding the float weights of the packed file to float16 (`half`)
changes. It takes half an hour on two cores that it shares with other work.
"""

import argparse
import os
import platform
import statistics
import tempfile
from pathlib import Path

from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: F401, I001  (before TensorFlow)
import numpy as np
import tensorflow as tf
from zookeeper import configure

from sdbnn_larq.callbacks import EDESchedule
from sdbnn_larq.training import Digits, spread_magnitudes
from sdbnn_larq.training.preprocessing import normalize
from sdbnn_larq.zoo import ResNet20, load_packed, save_packed

BASE, NEW = range(7), range(7, 10)
HALF = {"none": (), "dense and ASD": ("logits/kernel", "*_asd_*"), "all float weights": ("*",)}
STARTS = ("packed file", "magnitudes drawn anew", "head first", "latent weights", "weights drawn anew")
HEAD_EPOCHS, HEAD_LEARNING_RATE = 8, 1e-2  # as in the recipe `FineTune`
Arrays = tuple[tf.Tensor, np.ndarray]


def examples(split: Arrays, classes: range, each: int | None = None) -> Arrays:
    """Normalised images of some classes, labelled from 0; at most `each` of a class."""
    images, labels = split
    chosen = np.concatenate([np.flatnonzero(labels == label)[:each] for label in classes])
    return normalize(images[chosen]), labels[chosen] - classes.start


def train(model: tf.keras.Model, data: Arrays, epochs: int, learning_rate: float) -> None:
    model.compile(tf.keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*data, batch_size=32, epochs=epochs, verbose=0, callbacks=[EDESchedule(1.0, 2.0, epochs)])


def train_head(model: tf.keras.Model, data: Arrays) -> None:
    """Trains the classifier alone."""
    for layer in model.layers:
        layer.trainable = layer.name == "logits"
    train(model, data, HEAD_EPOCHS, HEAD_LEARNING_RATE)
    for layer in model.layers:
        layer.trainable = True


def copy_body(model: tf.keras.Model, source: tf.keras.Model) -> None:
    """All weights but the classifier's."""
    for layer in source.layers:
        if layer.weights and layer.name != "logits":
            model.get_layer(layer.name).set_weights(layer.get_weights())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--fine-tuning-epochs", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    digits = Digits()
    configure(digits, {})
    few, test = examples(digits.splits["train"], NEW, 40), examples(digits.splits["test"], NEW)
    base_test = examples(digits.splits["test"], BASE)
    starts: dict[str, list[float]] = {name: [] for name in STARTS}
    halves: dict[str, dict] = {}
    for seed in range(options.seeds):
        tf.keras.utils.set_random_seed(seed)
        latent = ResNet20(num_classes=len(BASE))
        train(latent, examples(digits.splits["train"], BASE), options.epochs, options.learning_rate)
        packed = ResNet20(num_classes=len(BASE))
        expected = latent.predict(base_test[0], verbose=0)
        with tempfile.TemporaryDirectory() as folder:
            for name, half in HALF.items():
                path = Path(folder) / "weights.safetensors"
                save_packed(latent, path, half=half)
                load_packed(packed, path)
                predicted = packed.predict(base_test[0], verbose=0)
                row = halves.setdefault(name, {"bytes": path.stat().st_size, "accuracy": [], "classified otherwise": 0})
                row["accuracy"].append(round(100 * float(np.mean(predicted.argmax(-1) == base_test[1])), 2))
                row["classified otherwise"] += int(np.sum(predicted.argmax(-1) != expected.argmax(-1)))
                if not half:
                    np.testing.assert_array_equal(predicted, expected)
                    start = ResNet20(num_classes=len(BASE), weights=str(path))
        for name, source in zip(STARTS, (start, start, start, latent, None)):
            tf.keras.utils.set_random_seed(seed)
            model = ResNet20(num_classes=len(NEW))
            if source:
                copy_body(model, source)
            if name in ("magnitudes drawn anew", "head first"):
                spread_magnitudes(model, seed)
            if name == "head first":
                train_head(model, few)
            train(model, few, options.fine_tuning_epochs, options.learning_rate)
            starts[name].append(round(100 * model.evaluate(*test, verbose=0)[1], 2))
            print(f"seed {seed}, {name}: {starts[name][-1]} %", flush=True)
    result = {
        "base": {"epochs": options.epochs, "images": len(base_test[1]), "half": halves},
        "fine-tuning": {"epochs": options.fine_tuning_epochs, "images": len(few[1]), "test images": len(test[1])},
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, TensorFlow {tf.__version__}, shared with other work",
        "accuracy of each seed": starts,
        "mean accuracy": {name: round(statistics.mean(values), 2) for name, values in starts.items()},
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
