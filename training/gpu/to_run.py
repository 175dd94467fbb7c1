"""A run of this package of what `training/gpu/train.py` wrote: weights, history and a test of all test images.

    python training/gpu/to_run.py runs/resnet18 --output runs/resnet18-keras --dataset Imagenette directory=DIR

`sdbnn publish --run` and `--twin` take the folder that it writes, `teacher.weights=` its `weights.safetensors`.
"""

import csv
from pathlib import Path

import click
from run_files import read_run

from sdbnn_larq import convert, zoo
from sdbnn_larq.cli._evaluate import test_set
from sdbnn_larq.evaluation import evaluate
from sdbnn_larq.training._run_folder import RunFolder
from sdbnn_larq.training.photo_datasets import WORDNET
from sdbnn_larq.training.report import Results
from sdbnn_larq.weights import PHOTOGRAPHS, SMALL_IMAGES


@click.command(help=__doc__.splitlines()[0])
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path))
@click.option("--dataset", required=True, help="The data set that tests, as `sdbnn evaluate` names it.")
@click.argument("config", nargs=-1)
def main(folder: Path, output: Path, dataset: str, config: tuple[str, ...]) -> None:
    try:
        write_run(folder, output, dataset, config)
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def write_run(folder: Path, output: Path, dataset: str, config: tuple[str, ...]) -> None:
    run = read_run(folder)
    if any(output.glob("*.json")):
        raise ValueError(f"--output must not hold a run. Received: {str(output)!r}.")
    with (folder / "history.csv").open(encoding="utf-8") as file:
        history = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    if run.get("relu"):
        raise ValueError(f"A run must be of a network that the zoo has. Received: {str(folder)!r}, with ReLU.")
    shifts = run.get("self_distribution", "both")
    arguments: dict = (
        {"self_distribution": None if shifts == "none" else shifts} if run["binary"] else {"binary": False}
    )
    photographs = run["network"] in ("ResNet18", "ResNet34")
    if photographs:
        arguments["input_shape"] = (run["input_size"], run["input_size"], 3)
    called = WORDNET if dataset == "Imagenette" else {}
    names = [called.get(name, name) for name in run["class_names"]]
    model = zoo.get_model(run["network"], num_classes=len(names), **arguments)
    convert.load_torch_checkpoint(model, folder / "weights.npz")
    source = test_set(model.description, dataset, config)
    model.description = model.description.replace(
        preprocessing=PHOTOGRAPHS if photographs else SMALL_IMAGES,
        class_names=tuple(names),
        provenance={"dataset": dataset},
    )
    accuracy = evaluate(model, source)
    report = {
        "task": "training/gpu/train.py",
        "recipe": {key: value for key, value in run.items() if key not in ("seconds", "device", "torch")},
        "test_accuracy": accuracy.share,
        "test_images": accuracy.images,
        "validation_accuracy": run.get("held_out_accuracy"),
        "epochs": len(history),
        "seconds": round(run["seconds"], 1),
        "seed": run["seed"],
    }
    precision = "float32" if run["device"] == "CPU" else "mixed" if run["binary"] else "bfloat16"
    environment = {"processor": run["device"], "cores": None, "torch": run["torch"], "precision": precision}
    output.mkdir(parents=True, exist_ok=True)
    run_folder = RunFolder(output)
    run_folder.write_history(history)
    run_folder.draw_curves(history)
    run_folder.write_json("environment.json", environment)
    Results(model, model.description, names).save_weights(output / "weights.safetensors", report)
    run_folder.write_json("report.json", report)
    print(f"{run['network']}: {accuracy.share:.2%} of {accuracy.images:,} test images; written to {output}")


if __name__ == "__main__":
    main()
