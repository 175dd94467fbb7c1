"""Accuracy of the four variants of self-distribution, and of the static form, at a small equal budget.

    python benchmarks/ablation.py --data-dir DIR --output benchmarks/ablation.json

Runs the tasks of `training/ablation.py` once a seed; what is finished already is not run again.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

VARIANTS = {"none": "None", "ASD": "Activation", "WSD": "Weight", "both": "Both", "both, ASD static": "Static"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="where tensorflow-datasets keeps cifar10")
    parser.add_argument("--runs", default="runs/ablation", help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    accuracies: dict[str, list[float]] = {name: [] for name in options.variants}
    for seed in range(options.seeds):
        for name in options.variants:
            task = VARIANTS[name]
            folder = Path(options.runs, f"{task}-{seed}")
            fields = [f"seed={seed}", f"data_dir={options.data_dir}", f"output_dir={folder}"]
            command = [sys.executable, "-m", "sdbnn_larq.cli", "train", f"Ablation{task}", *fields]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            report = json.loads((folder / "report.json").read_text())
            accuracies[name].append(report["test_accuracy"])
            print(f"{name}, seed {seed}: {report['test_accuracy']:.2%}", flush=True)
    result = {
        "test_images": report["test_images"],
        "epochs": report["epochs"],
        "variants": {
            name: {
                "mean": statistics.mean(values),
                "deviation": statistics.stdev(values) if len(values) > 1 else None,
                "accuracies": values,
            }
            for name, values in accuracies.items()
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.output:
        Path(options.output).write_text(text + "\n")


if __name__ == "__main__":
    main()
