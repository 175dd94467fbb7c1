"""Model cards: the figures of published weights, and the Markdown page that shows them."""

import csv
import html
import io
import json
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdbnn_larq.evaluation import Accuracy
from sdbnn_larq.preprocessing import known_preprocessing
from sdbnn_larq.weights import NetworkDescription, PublishedWeights, describe

Figures = dict[str, Any]
MOST_CLASSES = 100  # that a card lists one by one


def figures(
    description: NetworkDescription,
    accuracy: Accuracy,
    others: Mapping[int, Accuracy],
    float_bytes: int,
    *,
    fields: Sequence[str],
    runs: Sequence[Figures],
    twins: Sequence[Figures],
    benchmark: Mapping | None,
) -> Figures:
    """All that a card says beside the catalogue's entry, as JSON.

    # Arguments
        description: of the network.
        accuracy: of the packed file.
        others: its accuracy at other sizes, pixels of a side.
        float_bytes: of the same network's weights in float32.
        fields: of the data set, as a reader has to set them, e.g. `"data_dir=DIR"`, after `--dataset` if need be.
        runs: of the recipe, see `finished_run`.
        twins: those of the float twin.
        benchmark: what `sdbnn benchmark` wrote for these weights, as `read_benchmark` gives it.

    # Raises
        ValueError: if the benchmark is of another network.
    """
    return {
        "fields": list(fields),
        "right": accuracy.right,
        "images": accuracy.images,
        "interval_percent": [round(100 * bound, 2) for bound in accuracy.interval],
        "confusion": accuracy.confusion.tolist() if len(accuracy.confusion) <= MOST_CLASSES else None,
        "percent_at_size": {size: round(100 * other.share, 2) for size, other in others.items()},
        "float32_bytes": float_bytes,
        "runs": list(runs),
        "float_twin": list(twins),
        "benchmark": _of_these_weights(benchmark, description, accuracy) if benchmark else None,
    }


def finished_run(folder: Path, expected: NetworkDescription) -> Figures:
    """What a run says of itself.

    # Raises
        ValueError: if the run is not finished, or of another network than `expected`.
    """
    try:
        report, environment = (json.loads((folder / f"{n}.json").read_text("utf-8")) for n in ("report", "environment"))
        final = list(csv.DictReader((folder / "history.csv").read_text("utf-8").splitlines()))[-1]
    except (FileNotFoundError, ValueError, IndexError) as error:
        raise ValueError(
            f"A run must be finished, and whole, to be published. Received: {str(folder)!r}, without report or history."
        ) from error
    found = describe(folder / "weights.safetensors")
    if (found.architecture, found.arguments, found.input_shape) != (
        expected.architecture,
        expected.arguments,
        expected.input_shape,
    ):
        raise ValueError(
            f"A run must be of {expected.architecture} with {expected.arguments}, for {expected.input_shape}. "
            f"Received: {str(folder)!r}, of {found.architecture} with {found.arguments}, for {found.input_shape}."
        )
    cores, precision = environment["cores"], environment["precision"]
    if precision == "mixed" and not found.arguments.get("binary", True):
        precision = "float32"  # a float network has no products of ±1
    return {
        "seed": report["seed"],
        "epochs": report["epochs"],
        "hours": round(report["seconds"] / 3600, 2),
        "precision": precision,
        "machine": environment["processor"] + (f", {cores} core{'s' * (cores > 1)}" if cores else ""),
        "training_percent": round(100 * float(final["accuracy"]), 2),
        "validation_percent": None if (share := report["validation_accuracy"]) is None else round(100 * share, 2),
        "test_percent": round(100 * report["test_accuracy"], 2),
    }


def read_benchmark(path: str) -> dict[str, Any]:
    """What a file of `sdbnn benchmark` of trained weights says.

    # Raises
        ValueError: if it is no such file.
    """
    try:
        measured = json.loads(Path(path).read_text("utf-8"))
        _ = measured["network"], measured["input"], _keras(measured)["top1"]
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ValueError(
            f"--benchmark must be a file that `sdbnn benchmark` wrote for trained weights. Received: {path!r}."
        ) from error
    return measured


def _keras(measured: Mapping) -> dict[str, Any]:
    return next(row for row in measured["rows"] if row["name"] == "Keras")


def _of_these_weights(measured: Mapping, description: NetworkDescription, accuracy: Accuracy) -> Mapping:
    """The benchmark, if it is of these weights."""
    keras = _keras(measured)
    same = measured["network"] == description.architecture and tuple(measured["input"]) == description.input_shape
    # Weights that are rounded to float16 for the package may decide a few images otherwise.
    same &= keras.get("test_images") == accuracy.images and abs(keras["top1"] - accuracy.share) < 0.002
    if not same:
        raise ValueError(
            f"--benchmark must be a file of {description.architecture} with these weights on this test set. Received: "
            f"one of {measured['network']} with {keras['top1']} of {keras.get('test_images')} images right."
        )
    return measured


def render(entry: PublishedWeights, known: Figures, stem: str) -> str:
    """The generated part of a card.

    # Arguments
        entry: of the catalogue.
        known: see `figures`.
        stem: with which the names of the card's own files begin.
    """
    low, high = known["interval_percent"]
    data = entry.description.provenance["data"]
    parts = [
        f"# {entry.name}",
        f"The network classifies **{entry.accuracy:.2f} %** of the {entry.images:,} test images of {data} correctly "
        f"(top-1; 95 % interval {low:.2f} to {high:.2f} %).\nThis command recomputes the figure:",
        f"<!-- not run: needs {data} -->\n```bash\n{' '.join(['sdbnn evaluate', entry.name, *known['fields']])}\n```",
        "\n".join(_rows(entry, known["float32_bytes"])),
    ]
    for size, percent in known["percent_at_size"].items():
        parts.append(f"`--input-size {size}` evaluates it at {size}×{size} pixels: {percent:.2f} %.")
    if known["runs"]:
        parts += ["## Training", "\n".join(_training(known["runs"], known["float_twin"]))]
        parts.append(f"[History]({stem}_history.csv) of the published run:\n\n![Curves]({stem}_curves.png)")
    if known["benchmark"]:
        parts += ["## Speed", "\n".join(_speed(known["benchmark"]))]
    if known["confusion"]:
        parts += ["## Classes", "\n".join(_classes(entry.description.class_names or (), np.array(known["confusion"])))]
        parts.append(f"![Classes and what they are taken for]({stem}_confusion.png)")
    return "\n\n".join(parts) + "\n"


def _rows(entry: PublishedWeights, float_bytes: int) -> Iterator[str]:
    description = entry.description
    provenance, images = description.provenance, known_preprocessing(description)
    arguments = "".join(f", {key}={value!r}" for key, value in description.arguments.items() if key != "num_classes")
    height, width, _ = description.input_shape
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (images.mean, images.std))
    yield from ["| | |", "|---|---|"]
    yield f'| use | `sdbnn_larq.zoo.load("{entry.name}")` |'
    seeds = provenance["seeds"]
    yield f"| made by | {provenance['recipe']}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} |"
    yield f"| architecture | {description.architecture}{arguments} |"
    yield (
        f"| images | {height}×{width}×3: {100 * images.crop:.4g} % central crop, {images.resample} resize; "
        f"minus {mean}, divided by {std} |"
    )
    yield f"| classes | {_cell(', '.join(description.class_names or ()))} |"
    yield f"| file | {entry.file}, {entry.size:,} bytes, SHA-256 {entry.sha256} |"
    yield f"| float32 | {float_bytes:,} bytes, {float_bytes / entry.size:.1f} times as many |"
    yield f"| licence | {provenance['licence']} |"


def _cell(text: str) -> str:
    """The name of a class, which may be any folder's, so that a cell of a Markdown table shows it as it is."""
    marked = re.sub(r"([\\`*\[\]|])", r"\\\1", html.escape(text, quote=False))
    return " ".join(marked.split())


def _training(runs: Sequence[Mapping], twins: Sequence[Mapping]) -> Iterator[str]:
    yield "| | seed | epochs | hours | precision | training | validation | test |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, row in [*(("1-bit", run) for run in runs), *(("float twin", twin) for twin in twins)]:
        shares = (row[f"{part}_percent"] for part in ("training", "validation", "test"))
        percents = " | ".join("–" if share is None else f"{share:.2f} %" for share in shares)
        yield f"| {name} | {row['seed']} | {row['epochs']} | {row['hours']:.2f} | {row['precision']} | {percents} |"
    yield ""
    machines = dict.fromkeys(row["machine"] for row in (*runs, *twins))
    yield f"Trained on: {'; '.join(machines)}. The test images were used once, at the end of each run."
    for name, rows in (("1-bit networks", runs), ("float twins", twins)):
        if len(rows) > 1:
            tests = [row["test_percent"] for row in rows]
            mean, deviation = statistics.mean(tests), statistics.stdev(tests)
            yield f"All {name}: {mean:.2f} ± {deviation:.2f} % (mean and standard deviation of {len(rows)} runs)."


def _speed(benchmark: Mapping) -> Iterator[str]:
    threads = "one thread" if benchmark["threads"] == 1 else f"{benchmark['threads']} threads"
    random = "" if all("top1" in row for row in benchmark["rows"]) else " A row without accuracy has random weights."
    where = f"on {threads} ({benchmark['machine']['processor']})"
    yield f"`sdbnn benchmark` {where}; 8-bit ranges from {benchmark['images']}.{random}"
    yield from ["", "| | ms, one image | bytes | top-1 |", "|---|---|---|---|"]
    for row in benchmark["rows"]:
        size = "" if row["bytes"] is None else f"{row['bytes']:,}"
        top1 = f"{100 * row['top1']:.2f} %" if "top1" in row else ""
        yield f"| {row['name']} | {row['latency_ms']['median']:.2f} | {size} | {top1} |"


def _classes(names: Sequence[str], confusion: np.ndarray) -> Iterator[str]:
    yield from ["| class | images | correct | most often taken for |", "|---|---|---|---|"]
    for label, name in enumerate(names):
        row = confusion[label]
        others = np.where(np.arange(len(row)) == label, -1, row)
        wrong = f"{_cell(names[int(others.argmax())])} ({others.max()})" if others.max() > 0 else ""
        right = f"{100 * row[label] / row.sum():.1f} %" if row.sum() else "–"
        yield f"| {_cell(name)} | {row.sum():,} | {right} | {wrong} |"


def picture_of_confusion(names: Sequence[str], confusion: np.ndarray) -> bytes:
    """The images of each class by what they are taken for, as PNG."""
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    figure = Figure(figsize=(8, 7), layout="constrained")
    literal = [name.replace("$", r"\$") for name in names]  # not mathematics
    display = ConfusionMatrixDisplay(confusion, display_labels=literal)
    display.plot(ax=figure.subplots(), cmap="Blues", xticks_rotation=45, colorbar=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return picture.getvalue()
