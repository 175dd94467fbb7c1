"""What `ResNet18/imagenette` is worth to start from: 20 images a class of CIFAR-10, enlarged to its 128 pixels.

    python benchmarks/fine_tune_imagenette.py --data-dir DIR --output benchmarks/fine_tune_imagenette.json

The recipe `FineTune` starts from the published weights, and from weights drawn anew, of which it trains all layers from
the first epoch on. Of each class 20 training images train, 10 more validate and 100 test images test.
"""

import argparse
import os
import platform
import statistics
import tempfile
from pathlib import Path

from _result import print_result
from fine_tune_photographs import train

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: F401, I001  (before TensorFlow)
import tensorflow as tf
import tensorflow_datasets as tfds

from sdbnn_larq import zoo
from sdbnn_larq.recipes.fine_tune import TrainFineTune

PARTS = {"train": ("train", 0, 20), "val": ("train", 20, 30), "test": ("test", 0, 100)}
WEIGHTS = "ResNet18/imagenette"


def write_images(data_dir: str, target: Path) -> int:
    """Fills `target` with images of each class, and counts those that test."""
    data, info = tfds.load(
        "cifar10", data_dir=data_dir, download=False, with_info=True, decoders={"image": tfds.decode.SkipDecoding()}
    )
    names = info.features["label"].names
    tested = 0
    for part, (split, first, last) in PARTS.items():
        seen = dict.fromkeys(names, 0)
        for example in data[split]:
            name = names[int(example["label"])]
            if first <= seen[name] < last:
                (target / part / name).mkdir(parents=True, exist_ok=True)
                # JPEG or PNG, as it was prepared; Pillow looks at the content.
                (target / part / name / f"{seen[name]}.png").write_bytes(example["image"].numpy())
                tested += part == "test"
            seen[name] += 1
            if min(seen.values()) >= last:
                break
    return tested


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    results: dict[str, list[float]] = {}
    description = zoo.describe(WEIGHTS)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images")
        tested = write_images(options.data_dir, images)
        for seed in range(options.seeds):
            tf.keras.utils.set_random_seed(seed)
            new = zoo.build(description)
            new.description = description
            zoo.save_packed(new, Path(folder, "new.safetensors"))
            untrained = {"weights": f"{folder}/new.safetensors", "head_epochs": 0}
            fields: dict[str, dict[str, object]] = {WEIGHTS: {"weights": WEIGHTS}, "weights drawn anew": untrained}
            for start, of_start in fields.items():
                output = Path(folder, f"{start.replace('/', '-')}-{seed}")
                common = {"precision": "mixed", "epochs": options.epochs, "seed": seed}
                accuracy = train(TrainFineTune(), images, output, **common, **of_start)
                results.setdefault(start, []).append(accuracy)
                print(f"{start}, seed {seed}: {accuracy} %", flush=True)
    result = {
        "classes": 10,
        "training images": 200,
        "test images": tested,
        "epochs": options.epochs,
        "precision": "mixed",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, TensorFlow {tf.__version__}",
        "accuracy of each seed": results,
        "mean accuracy": {name: round(statistics.mean(values), 2) for name, values in results.items()},
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
