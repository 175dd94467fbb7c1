"""The folder that a run leaves behind."""

import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

from sdbnn_larq._files import atomic_file
from sdbnn_larq.training._checkpoints import Checkpoints
from sdbnn_larq.training._provenance import environment

# Rows of the picture: title, columns of the history, and whether the axis is logarithmic.
CURVES = (
    ("loss", ("loss", "val_loss"), False),
    ("accuracy", ("accuracy", "val_accuracy"), False),
    ("learning rate", ("lr",), False),
    ("sharpness t of the error decay estimator", ("ede_t",), True),
)


class RunFolder:
    """Configuration, environment, history, curves, checkpoints and report of one run.

    # Arguments
        path: made by `open`.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.checkpoints = Checkpoints(self.path / "checkpoints")

    def check(self, config: dict[str, Any]) -> None:
        """Checks that the folder is new, or holds a run of this configuration.

        # Raises
            ValueError: naming the first field that differs.
        """
        file = self.path / "config.json"
        if not file.exists():
            return
        known = json.loads(file.read_text())
        for name in sorted(known.keys() | config.keys()):
            if known.get(name) != config.get(name):
                raise ValueError(
                    f"`output_dir` must be a new folder, or one with a run of the same fields. Received: "
                    f"{str(self.path)!r}, whose {name} is {known.get(name)!r}, not {config.get(name)!r}."
                )

    def open(self, config: dict[str, Any], room: int) -> None:
        """Makes the folder, or takes up the run that it holds.

        # Arguments
            config: the run's configuration.
            room: bytes that the run will need.

        # Raises
            ValueError: if the disk has too little room.
            OSError: if the folder cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.path).free
        if free < room:
            raise ValueError(
                f"`output_dir` must be on a disk with {room / 1e6:.0f} MB to spare. Received: {str(self.path)!r}, "
                f"where {free / 1e6:.0f} MB are free."
            )
        self.checkpoints.remove_partial()
        self.write_json("config.json", config)
        self.write_json("environment.json", environment())

    def report(self) -> dict[str, Any] | None:
        """The report, if the run is finished."""
        file = self.path / "report.json"
        return json.loads(file.read_text()) if file.exists() else None

    def write_json(self, name: str, value: Any) -> None:
        with atomic_file(self.path / name) as file:
            file.write((json.dumps(value, indent=2) + "\n").encode())

    def write_history(self, rows: list[dict[str, float]]) -> None:
        """Writes `history.csv`, a row an epoch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_file(self.path / "history.csv") as file:
            file.write(text.getvalue().encode())

    def draw_curves(self, rows: list[dict[str, float]]) -> None:
        """Writes `curves.png`: loss, accuracy, learning rate and t by epoch."""
        from matplotlib.figure import Figure  # no window system, no global state

        figure = Figure(figsize=(10, 7), layout="constrained")
        for axes, (title, columns, logarithmic) in zip(figure.subplots(2, 2).flat, CURVES):
            for column in columns:
                if column in rows[0]:
                    axes.plot([row["epoch"] + 1 for row in rows], [row[column] for row in rows], label=column)
            axes.set(title=title, xlabel="epoch")
            if logarithmic:
                axes.set_yscale("log")
            axes.grid(alpha=0.3)
            if len(columns) > 1:
                axes.legend()
        with atomic_file(self.path / "curves.png") as file:
            figure.savefig(file, format="png", dpi=100)
