"""`sdbnn benchmark`: how fast a network is, beside its float twin and its 8-bit twin, in one interleaved run."""

import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from zookeeper.tf import Dataset

from sdbnn_larq import zoo
from sdbnn_larq.cli._evaluate import test_set
from sdbnn_larq.cli._images import read_images
from sdbnn_larq.convert.runtime import require
from sdbnn_larq.convert.staging import staged
from sdbnn_larq.evaluation import evaluate
from sdbnn_larq.layers.binary import is_binary
from sdbnn_larq.preprocessing import known_preprocessing, normalize
from sdbnn_larq.training.evaluation_data import pixel_batches
from sdbnn_larq.training.provenance import processor

REQUIRED = ("larq_compute_engine", "openvino", "nncf", "matplotlib")
FLAGS = ("avx2", "avx512f", "avx512_vpopcntdq", "avx512_vnni", "avx512_bf16", "amx_tile")
VERSIONS = ("tensorflow", "larq-compute-engine", "openvino", "nncf", "larq-zoo", "numpy")
WARM_UP = 5  # runs
CALIBRATION = 256  # training images


def benchmark(
    name: str,
    *,
    config: tuple[str, ...],
    weights: str | None,
    dataset: str | None,
    twin: str | None,
    images: tuple[str, ...],
    batch: int,
    rounds: int,
    threads: int,
    input_size: int | None,
    output: str,
) -> None:
    """Measures, prints a table and writes `output` (JSON) with a bar chart (PNG) beside it."""
    for module in REQUIRED:
        require(module, "benchmark")
    has_weights = weights is not None or "/" in name or Path(name).suffix != ""
    if has_weights and input_size:
        raise ValueError(f"--input-size must be left out for trained weights. Received: {input_size}.")
    if not has_weights and (dataset or config):
        raise ValueError(f"A test set must be given with trained weights. Received: {name} without.")
    with staged(output, (".json", ".png")) as temporary:
        cores = _pin(threads)
        model = zoo.load(weights or name, name if weights else None) if has_weights else _untrained(name, input_size)
        if not any(map(is_binary, model._flatten_layers())):
            raise ValueError(f"A network must have 1-bit layers, to be timed beside its float twin. Received: {name}.")
        source = test_set(zoo.describe(model), dataset, config) if dataset or config else None
        float_twin = _twin(model, twin)
        shape = model.input_shape[1:]
        data, shown = _images(model, source, images, batch)
        logging.getLogger("nncf").setLevel(logging.ERROR)
        with tempfile.TemporaryDirectory() as folder:
            from sdbnn_larq.cli._contestants import contestants

            entries = contestants(model, float_twin, Path(folder), data, threads)
            rows = measure(entries, data, batch, rounds)
            if source:
                trained = {"measured": model, **({"twin": float_twin} if twin else {})}
                add_accuracy(rows, entries, trained, source, batch)
        result = {
            "network": zoo.describe(model).architecture,
            "input": list(shape),
            "weights": Path(weights or name).name if has_weights else "random",
            "images": shown,
            "batch": batch,
            "rounds": rounds,
            "threads": threads,
            "cores": cores,
            "machine": machine(),
            "rows": rows,
        }
        _chart(result, temporary.with_suffix(".png"))
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    Console(width=140).print(_table(result))
    print(*_ratios(rows), f"{output}, {Path(output).with_suffix('.png')}", sep="\n")


def _twin(model: tf.keras.Model, weights: str | None) -> tf.keras.Model:
    """The float network of the same architecture, trained or not."""
    description = zoo.describe(model)
    if weights is None:
        return zoo.build(description, binary=False)
    twin = zoo.load(weights)
    found = zoo.describe(twin)
    if found.arguments.get("binary", True) or (found.architecture, twin.input_shape, twin.output_shape) != (
        description.architecture,
        model.input_shape,
        model.output_shape,
    ):
        raise ValueError(
            f"--twin must be weights of {description.architecture} with binary=False, for the same images and classes. "
            f"Received: {weights}, of {found.architecture} with {found.arguments} for {twin.input_shape[1:]}."
        )
    return twin


def _images(
    model: tf.keras.Model, source: Dataset | None, images: tuple[str, ...], batch: int
) -> tuple[np.ndarray, str]:
    """What the exports are compared on and 8-bit ranges found on, and what that is in words."""
    if images:
        data = read_images(images, zoo.describe(model), False)
        return data, f"{len(data)} given images"
    if source is None:
        noise = np.random.default_rng(0).standard_normal((batch, *model.input_shape[1:]), np.float32)
        return noise, f"{batch} of noise"
    description = zoo.describe(model)
    preprocessing = known_preprocessing(description)
    batches, _ = pixel_batches(source, "train", description.input_shape, preprocessing, CALIBRATION)
    pixels, _ = next(batches.as_numpy_iterator())
    return normalize(pixels, preprocessing), f"{len(pixels)} training images of {type(source).__name__}"


def add_accuracy(
    rows: list[dict[str, Any]], entries: list, trained: Mapping[str, tf.keras.Model], source: Dataset, batch: int
) -> None:
    """Adds `top1`, from 0 to 1, and `test_images` to the row of each contestant whose network is trained."""
    for row, entry in zip(rows, entries):
        if model := trained.get(entry.network):
            batched = entry.start((batch, *model.input_shape[1:]))

            def run(images: np.ndarray, batched=batched) -> np.ndarray:
                parts = (images[i : i + batch] for i in range(0, len(images), batch))
                filled = ((len(part), np.resize(part, (batch, *part.shape[1:]))) for part in parts)
                return np.concatenate([batched(part)[:count].copy() for count, part in filled])

            accuracy = evaluate(model, source, run)
            row.update(top1=accuracy.share, test_images=accuracy.images)


def _untrained(name: str, input_size: int | None) -> tf.keras.Model:
    """A network with random weights, of both signs: the authors begin ResNet-18 with positive ones."""
    model = zoo.get_model(name, **({"input_shape": (input_size, input_size, 3)} if input_size else {}))
    draw = np.random.default_rng(0)
    for layer in filter(is_binary, model.layers):
        layer.kernel.assign(draw.standard_normal(layer.kernel.shape))
    return model


def _pin(threads: int) -> list[int]:
    """Keeps this process, and all threads that it starts from now on, to as many cores."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if cores and len(cores) < threads:
        raise ValueError(f"`threads` must be at most the {len(cores)} cores there are. Received: threads={threads}.")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if not cores:
        return []
    os.sched_setaffinity(0, cores[-threads:])  # the first core serves most interrupts
    return cores[-threads:]


def machine() -> dict[str, Any]:
    """The processor, the system and the versions, for whoever reads the figures."""
    info = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    flags = next((line.split() for line in info if line.startswith("flags")), [])
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {package: metadata.version(package) for package in VERSIONS},
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def measure(entries: list, images: np.ndarray, batch: int, rounds: int) -> list[dict[str, Any]]:
    """Times all contestants in turn, `rounds` times over: one run of one image, then one of a batch.

    # Returns
        For each contestant its name, bytes, milliseconds for one image, images a second in batches (median, 10th and
        90th percentile) and the share of the images to which it gives the first contestant's class.
    """
    one, many = images[:1], np.resize(images, (batch, *images.shape[1:]))
    runs = [(entry, entry.start(one.shape), entry.start(many.shape)) for entry in entries]
    classes = [
        np.concatenate([single(image[None]).argmax(-1) for image in images]) if entry.network == "measured" else None
        for entry, single, _ in runs
    ]
    for _, single, batched in runs:
        for _ in range(WARM_UP):
            single(one)
        batched(many)
    times = np.empty((2, rounds, len(runs)))
    for i in range(rounds):
        for j, (_, single, batched) in enumerate(runs):
            single(one)  # the caches are another contestant's
            for k, (run, x) in enumerate([(single, one), (batched, many)]):
                began = time.perf_counter()
                run(x)
                times[k, i, j] = time.perf_counter() - began
    return [
        {
            "name": entry.name,
            "bytes": entry.bytes,
            "latency_ms": _spread(1e3 * times[0, :, j]),
            "images_per_second": _spread(batch / times[1, :, j]),
            "same_class": None if classes[j] is None else float(np.mean(classes[j] == classes[0])),
        }
        for j, (entry, _, _) in enumerate(runs)
    ]


def _spread(values: np.ndarray) -> dict[str, float]:
    low, median, high = np.percentile(values, [10, 50, 90])
    return {"median": round(median, 3), "p10": round(low, 3), "p90": round(high, 3)}


def _table(result: dict[str, Any]) -> Table:
    table = Table("", title=escape(_title(result)), title_justify="left", box=box.ASCII)
    for column in ("ms, 1 image", "10–90 %", f"images/s, {result['batch']}", "10–90 %", "MB", "same class", "top-1"):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        latency, rate = row["latency_ms"], row["images_per_second"]
        table.add_row(
            row["name"],
            f"{latency['median']:.2f}",
            f"{latency['p10']:.2f}–{latency['p90']:.2f}",
            f"{rate['median']:.1f}",
            f"{rate['p10']:.1f}–{rate['p90']:.1f}",
            "" if row["bytes"] is None else f"{row['bytes'] / 1e6:.2f}",
            "" if row["same_class"] is None else f"{row['same_class']:.1%}",
            f"{row['top1']:.2%}" if "top1" in row else "",
        )
    return table


def _title(result: dict[str, Any]) -> str:
    size = "×".join(map(str, result["input"]))
    return f"{result['network']} {size}, {result['threads']} thread(s), {result['machine']['processor']}"


def _ratios(rows: list[dict[str, Any]]) -> list[str]:
    """How often OpenVINO's 1-bit network runs in the time of the others, for one image."""
    latency = {row["name"]: row["latency_ms"]["median"] for row in rows}
    return [
        f"OpenVINO against {other}: {latency[other] / latency['OpenVINO']:.2f} times as fast"
        for other in ("float32 twin, OpenVINO", "LCE", "int8 twin, OpenVINO")
    ]


def _chart(result: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    rows = result["rows"][::-1]
    figure = Figure(figsize=(10, 0.45 * len(rows) + 1.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, key, label in (
        (left, "latency_ms", "milliseconds for one image"),
        (right, "images_per_second", f"images a second in batches of {result['batch']}"),
    ):
        medians = np.array([row[key]["median"] for row in rows])
        low, high = (np.array([row[key][bound] for row in rows]) for bound in ("p10", "p90"))
        colours = ["tab:blue" if row["same_class"] is not None else "tab:gray" for row in rows]
        bars = axes.barh([row["name"] for row in rows], medians, xerr=[medians - low, high - medians], color=colours)
        axes.bar_label(bars, [f"{median:.0f}" if median >= 100 else f"{median:.3g}" for median in medians], padding=4)
        axes.set_xlabel(label)
        axes.margins(x=0.15)
    figure.suptitle(_title(result))
    figure.savefig(path, dpi=120)
