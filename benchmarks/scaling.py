"""How the cost of an epoch grows with images, batch size and processes: seconds, images a second and peak memory.

    python benchmarks/scaling.py --data-dir DIR --output benchmarks/scaling.json

Trains ResNet-20 on CIFAR-10 (`Cifar10ResNet20Budget`) for two epochs each time and reports the second. Two processes
have half of the cores and half of a batch each, and exchange gradients with `strategy=multiworker` on this machine.
"""

import argparse
import csv
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = (5_000, 15_000, 45_000)
BATCHES = (32, 64, 128, 256, 512)
USUAL_BATCH, FEW_IMAGES = 128, 5_000


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def environments(processes: int) -> list[dict[str, str]]:
    """Variables of each process: the cluster, and the threads that are its share of the cores."""
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    shared = {**os.environ, "TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
    if processes == 1:
        return [shared]
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(processes)]}
    return [
        {**shared, "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})}
        for i in range(processes)
    ]


def epoch(data_dir: str, images: int, batch: int, processes: int, precision: str) -> dict[str, float]:
    """The second epoch of a run, and the peak memory of a process."""
    with tempfile.TemporaryDirectory() as folder:
        fields = [f"data_dir={data_dir}", f"dataset.train_split=train[:{images}]", f"batch_size={batch}", "epochs=2"]
        fields += [f"precision={precision}", f"output_dir={folder}/run"]
        if processes > 1:
            fields.append("strategy=multiworker")
        command = [sys.executable, "-m", "sdbnn_larq.cli", "train", "Cifar10ResNet20Budget", *fields]
        running = [
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            for environment in environments(processes)
        ]
        peaks = []
        for process in running:
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise RuntimeError(f"{' '.join(command)} ended with status {status}.")
            peaks.append(usage.ru_maxrss / 1024)
        with (Path(folder) / "run" / "history.csv").open() as file:
            row = list(csv.DictReader(file))[-1]
    return {
        "images": images,
        "batch": batch,
        "processes": processes,
        "seconds": round(float(row["seconds"]), 1),
        "images_per_second": round(float(row["images_per_second"]), 1),
        "MiB_per_process": round(max(peaks)),
    }


def draw(rows: list[dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    by_images, by_batch = figure.subplots(1, 2)
    for processes in sorted({row["processes"] for row in rows}):
        mine = [row for row in rows if row["processes"] == processes]
        grown = sorted((row for row in mine if row["batch"] == USUAL_BATCH), key=lambda row: row["images"])
        label = f"{processes} process{'es' if processes > 1 else ''}"
        by_images.plot([r["images"] for r in grown], [r["seconds"] for r in grown], "o-", label=label)
        sizes = sorted((row for row in mine if row["images"] == FEW_IMAGES), key=lambda row: row["batch"])
        by_batch.plot([r["batch"] for r in sizes], [r["images_per_second"] for r in sizes], "o-", label=label)
    by_images.set(
        xlabel="images", ylabel="seconds an epoch", title=f"batch {USUAL_BATCH}", ylim=(0, None), xlim=(0, None)
    )
    by_batch.set(xlabel="batch size", ylabel="images a second", title=f"{FEW_IMAGES:,} images", ylim=(0, None))
    by_batch.set_xscale("log", base=2)
    for axes in (by_images, by_batch):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="where tensorflow-datasets keeps cifar10")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precision", default="mixed")
    parser.add_argument("--output", required=True, help="JSON file; a picture (.png) goes beside it")
    options = parser.parse_args()

    from sdbnn_larq.training.provenance import processor

    grid = [(images, USUAL_BATCH) for images in IMAGES]
    grid += [(FEW_IMAGES, batch) for batch in BATCHES if batch != USUAL_BATCH]
    rows = []
    for images, batch in grid:
        for processes in options.processes:
            rows.append(epoch(options.data_dir, images, batch, processes, options.precision))
            print(rows[-1], flush=True)
    result = {"machine": f"{processor()}, {os.cpu_count()} cores", "precision": options.precision, "epochs": rows}
    Path(options.output).write_text(json.dumps(result, indent=2) + "\n")
    draw(rows, Path(options.output).with_suffix(".png"))


if __name__ == "__main__":
    main()
