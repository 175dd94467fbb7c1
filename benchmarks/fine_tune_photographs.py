"""What `FineTune` is worth on a few photographs of one's own: from published weights, and from scratch.

    python benchmarks/fine_tune_photographs.py --directory DIR --output benchmarks/fine_tune_photographs.json

DIR has `train` and `val` with one sub-folder of photographs a class, as Imagenette has. Of each of the first classes 50
photographs train, 25 validate and up to 200 of `val` test. The recipe `FineTune` starts from `ResNet20/cifar10`, the
recipe `Folder` from weights drawn anew; both train for the same number of epochs.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path

from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: F401, I001  (before TensorFlow)
import tensorflow as tf
from zookeeper import configure

from sdbnn_larq.recipes.fine_tune import TrainFineTune
from sdbnn_larq.recipes.folder import TrainFolder

PARTS = {"train": ("train", 0, 50), "val": ("train", 50, 75), "test": ("val", 0, 200)}


def link_photographs(directory: Path, target: Path, classes: int) -> int:
    """Fills `target` with links to a few photographs of each of the first classes, and counts those that test."""
    names = sorted(folder.name for folder in (directory / "train").iterdir())[:classes]
    tested = 0
    for part, (source, first, last) in PARTS.items():
        for name in names:
            (target / part / name).mkdir(parents=True)
            for photograph in sorted((directory / source / name).iterdir())[first:last]:
                (target / part / name / photograph.name).symlink_to(photograph.resolve())
                tested += part == "test"
    return tested


def train(task: TrainFolder | TrainFineTune, photographs: Path, output: Path, **fields) -> float:
    """Runs a recipe and gives the share of the test images that it classifies correctly, in per cent."""
    configure(task, {"dataset.directory": str(photographs), "output_dir": str(output), **fields})
    task.run()
    return round(100 * json.loads((output / "report.json").read_text())["test_accuracy"], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    results: dict[str, list[float]] = {"FineTune from ResNet20/cifar10": [], "Folder from scratch": []}
    with tempfile.TemporaryDirectory() as folder:
        photographs = Path(folder, "photographs")
        tested = link_photographs(options.directory, photographs, options.classes)
        for seed in range(options.seeds):
            common = {"epochs": options.epochs, "seed": seed}
            runs: tuple[tuple, ...] = (TrainFineTune, {"weights": "ResNet20/cifar10"}), (TrainFolder, {})
            for name, (recipe, fields) in zip(results, runs):
                accuracy = train(recipe(), photographs, Path(folder, f"{recipe.__name__}{seed}"), **common, **fields)
                results[name].append(accuracy)
    result = {
        "classes": options.classes,
        "training images": 50 * options.classes,
        "test images": tested,
        "epochs": options.epochs,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, TensorFlow {tf.__version__}",
        "accuracy of each seed": results,
        "mean accuracy": {name: round(statistics.mean(values), 2) for name, values in results.items()},
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
