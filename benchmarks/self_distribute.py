"""Does self-distribution help networks that its paper never tried? Accuracy with and without, at a small equal budget.

    python benchmarks/self_distribute.py --data-dir DIR --output benchmarks/self_distribute.json

Trains two networks on a part of CIFAR-10, as they are and after `self_distribute`, with three seeds each: BinaryNet of
Larq's tutorial (https://docs.larq.dev/larq/tutorials/binarynet_cifar10/), half as wide, and larq-zoo's QuickNetSmall
for 32×32 images. Both networks of a pair have the same weights to start from, the same images in the same order, the
same optimizer (Adam, with the tutorial's decay of the learning rate or a cosine), and the tutorial's loss. BinaryNet's
BatchNormalization has a momentum of 0.9: the tutorial's 0.999 needs more steps than there are. The accuracy is that of
the last epoch on all 10,000 test images.

What is in the output file already is not run again. It takes about 40 minutes on two cores of an AMD EPYC; `--width 1
--images 50000 --epochs 100 --networks BinaryNet` is the tutorial's own budget, for a GPU.
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: I001  (before TensorFlow)
import larq as lq
import larq_zoo
import tensorflow as tf
import tensorflow_datasets as tfds

from sdbnn_larq.training.provenance import processor
from sdbnn_larq._files import atomic_file

Arrays = tuple[tf.Tensor, tf.Tensor]


def binary_net(width: float) -> tf.keras.Model:
    """BinaryNet, layer by layer as in the tutorial, its numbers of channels and units multiplied by `width`."""
    options: dict[str, Any] = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip", "use_bias": False}

    def norm() -> tf.keras.layers.Layer:
        return tf.keras.layers.BatchNormalization(momentum=0.9, scale=False)

    layers = [tf.keras.Input((32, 32, 3)), lq.layers.QuantConv2D(int(128 * width), 3, **options), norm()]
    options["input_quantizer"] = "ste_sign"
    for filters, pool in ((128, True), (256, False), (256, True), (512, False), (512, True)):
        layers.append(lq.layers.QuantConv2D(int(filters * width), 3, padding="same", **options))
        layers += [tf.keras.layers.MaxPool2D(2), norm()] if pool else [norm()]
    layers.append(tf.keras.layers.Flatten())
    for units in (int(1024 * width), int(1024 * width), 10):
        layers += [lq.layers.QuantDense(units, **options), norm()]
    return tf.keras.Sequential([*layers, tf.keras.layers.Activation("softmax")], name="binary_net")


def quicknet_small(width: float) -> tf.keras.Model:
    return larq_zoo.sota.QuickNetSmall(input_shape=(32, 32, 3), weights=None, num_classes=10)


class Budget(NamedTuple):
    """A network and its training."""

    build: Callable[[float], tf.keras.Model]
    images: int
    epochs: int
    batch: int
    optimizer: Callable[[int], tf.keras.optimizers.legacy.Optimizer]  # from the number of steps; the older are faster


def tutorials_adam(steps: int) -> tf.keras.optimizers.legacy.Optimizer:
    return tf.keras.optimizers.legacy.Adam(0.01, decay=1e-4)


def adam_with_cosine(steps: int) -> tf.keras.optimizers.legacy.Optimizer:
    return tf.keras.optimizers.legacy.Adam(tf.keras.optimizers.schedules.CosineDecay(2.5e-3, steps))


BUDGETS = {
    "BinaryNet": Budget(binary_net, 6_000, 4, 50, tutorials_adam),
    "QuickNetSmall": Budget(quicknet_small, 10_000, 6, 100, adam_with_cosine),
}
VARIANTS = ("as it is", "self-distributed")


def load(data_dir: str, split: str) -> Arrays:
    """Images from -1 to 1, and labels."""
    examples = tfds.as_numpy(tfds.load("cifar10:3.0.2", split=split, data_dir=data_dir, batch_size=-1, download=False))
    return examples["image"].astype("float32") / 127.5 - 1, examples["label"]


def run(budget: Budget, variant: str, seed: int, width: float, train: Arrays, test: Arrays) -> Mapping[str, Any]:
    """Trains once, and says how well."""
    tf.keras.utils.set_random_seed(seed)
    model = budget.build(width)
    if variant == "self-distributed":
        model = sdbnn_larq.self_distribute(model)
    steps = budget.epochs * (len(train[0]) // budget.batch)
    model.compile(budget.optimizer(steps), "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = tf.data.Dataset.from_tensor_slices(train).shuffle(len(train[0]), seed=seed)
    data = data.batch(budget.batch, drop_remainder=True)
    model.fit(data, epochs=budget.epochs, verbose=0)
    return {
        "test accuracy": round(model.evaluate(*test, batch_size=250, verbose=0)[1], 4),
        "parameters": model.count_params(),
    }


def summary(runs: Mapping[str, Mapping[str, Any]], seeds: int) -> dict[str, Any]:
    """Means and deviations over the seeds, and the differences within pairs."""
    result: dict[str, Any] = {}
    for name in BUDGETS:
        pairs = [[runs.get(key(name, variant, seed)) for variant in VARIANTS] for seed in range(seeds)]
        if not all(all(pair) for pair in pairs):
            continue
        accuracies = [[run["test accuracy"] for run in pair] for pair in pairs]  # type: ignore[index]
        columns = {
            **dict(zip(VARIANTS, zip(*accuracies))),
            "difference": [after - before for before, after in accuracies],
        }
        result[name] = {
            column: {
                "mean": round(statistics.mean(values), 4),
                "deviation": round(statistics.stdev(values), 4) if len(values) > 1 else None,
            }
            for column, values in columns.items()
        }
    return result


def key(name: str, variant: str, seed: int) -> str:
    return f"{name}, {variant}, seed {seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="where tensorflow-datasets keeps cifar10")
    parser.add_argument("--networks", nargs="+", choices=BUDGETS, default=list(BUDGETS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=float, default=0.5, help="of BinaryNet; the tutorial's is 1")
    parser.add_argument("--images", type=int, help="to train on, of 50,000, instead of each network's own number")
    parser.add_argument("--epochs", type=int, help="instead of each network's own number")
    parser.add_argument("--output", required=True, help="JSON file; what it holds is not run again")
    options = parser.parse_args()

    output = Path(options.output)
    budgets = {
        name: BUDGETS[name]._replace(
            images=options.images or BUDGETS[name].images, epochs=options.epochs or BUDGETS[name].epochs
        )
        for name in options.networks
    }
    described = {
        name: {"images": budget.images, "epochs": budget.epochs, "batch": budget.batch}
        for name, budget in budgets.items()
    }
    if "BinaryNet" in described:
        described["BinaryNet"]["width"] = options.width
    result = json.loads(output.read_text()) if output.exists() else {"budgets": {}, "runs": {}}
    for name, fields in described.items():
        if result["budgets"].setdefault(name, fields) != fields:
            parser.error(
                f"{output} must hold runs of the same budget. Received: {name} with {result['budgets'][name]}."
            )
    train, test = load(options.data_dir, "train"), load(options.data_dir, "test")
    for seed in range(options.seeds):
        for name, budget in budgets.items():
            for variant in VARIANTS:
                if key(name, variant, seed) in result["runs"]:
                    continue
                few = train[0][: budget.images], train[1][: budget.images]
                found = result["runs"][key(name, variant, seed)] = run(budget, variant, seed, options.width, few, test)
                print(f"{key(name, variant, seed)}: {found}", flush=True)
                result["machine"] = f"{os.cpu_count()} cores, {processor()}, TensorFlow {tf.__version__}"
                result["summary"] = summary(result["runs"], options.seeds)
                with atomic_file(output) as file:
                    file.write((json.dumps(result, indent=2) + "\n").encode())
    print(json.dumps(result["summary"], indent=2))


if __name__ == "__main__":
    main()
