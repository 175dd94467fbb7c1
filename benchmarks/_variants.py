"""Trains variants of a recipe with several seeds, and says how their accuracies spread."""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from _result import print_result


def with_each_shift(*recipe: str) -> dict[str, list[str]]:
    """The variants of self-distribution of a recipe and its fields."""
    return {
        "none": [*recipe, "model.self_distribution=None"],
        "ASD": [*recipe, "model.self_distribution=activation"],
        "WSD": [*recipe, "model.self_distribution=weight"],
        "both": [*recipe],
    }


def compare(
    variants: Mapping[str, Sequence[str]], accuracy: str, description: str, runs: str, data: str = "data_dir"
) -> None:
    """The command line of a comparison; what is finished already is not run again.

    # Arguments
        variants: what `sdbnn train` gets for each: a recipe and fields, `{seed}` and `{runs}` replaced. A variant may
            start from the files of one before it, which lie in `{runs}/NAME-{seed}`.
        accuracy: entry of the report that is compared.
        description: of the command.
        runs: default folder of the runs.
        data: field that gets `--data-dir`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data-dir", required=True, help=f"folder of the images, for `{data}`")
    parser.add_argument("--runs", default=runs, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", choices=variants, default=list(variants), metavar="NAME")
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    accuracies: dict[str, list[float]] = {name: [] for name in options.variants}
    seconds: dict[str, list[float]] = {name: [] for name in options.variants}
    model_bytes: dict[str, int] = {}
    for seed in range(options.seeds):
        for name in options.variants:
            folder = Path(options.runs, f"{name}-{seed}")
            recipe = [field.format(seed=seed, runs=options.runs) for field in variants[name]]
            fields = [f"seed={seed}", f"{data}={options.data_dir}", f"output_dir={folder}"]
            command = [sys.executable, "-m", "sdbnn_larq.cli", "train", *recipe, *fields]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            report = json.loads((folder / "report.json").read_text())
            accuracies[name].append(round(report[accuracy], 4))
            seconds[name].append(report["seconds"])
            model_bytes[name] = report["model_bytes"]
            print(f"{name}, seed {seed}: {report[accuracy]:.2%}", flush=True)
    result = {
        accuracy: {
            name: {
                "mean": round(statistics.mean(values), 4),
                "deviation": round(statistics.stdev(values), 4) if len(values) > 1 else None,
                "of each seed": values,
            }
            for name, values in accuracies.items()
        },
        "seconds of each seed": seconds,
        "model_bytes": model_bytes,
    }
    print_result(result, options.output)
