"""The folder that a run leaves behind."""

import contextlib
import csv
import io
import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sdbnn_larq._files import atomic_file
from sdbnn_larq._lock import locked
from sdbnn_larq.training._checkpoints import Checkpoints
from sdbnn_larq.training.provenance import differing_data, differing_field, digest, environment

# Rows of the picture: title, columns of the history, and whether the axis is logarithmic.
CURVES = (
    ("loss", ("loss", "val_loss"), False),
    ("accuracy", ("accuracy", "val_accuracy"), False),
    ("learning rate", ("lr",), False),
    ("sharpness t of the error decay estimator", ("ede_t",), True),
)


def default_folder(task: str, config: dict[str, Any], given: Collection[str]) -> Path:
    """Where a run lies that is given no folder: in that of an earlier version if there is one."""
    folder = Path("runs", f"{task}-{digest(config)}")
    if not folder.exists():
        for old in sorted(Path("runs").glob(f"{task}-*/")):
            known = RunFolder(old).configuration()
            if known is not None and differing_field(known, config, given) is None:
                return old
    return folder


class RunFolder:
    """Configuration, environment, history, curves, checkpoints and report of one run.

    # Arguments
        path: made by `open`.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.checkpoints = Checkpoints(self.path / "checkpoints")

    def report_of(self, config: dict[str, Any], given: Collection[str] = ()) -> dict[str, Any] | None:
        """The report of a finished run of this configuration.

        # Arguments
            config: the configuration.
            given: fields that the user set. Others may be missing from a run of an earlier version.

        # Returns
            None if the folder is new, or holds such a run that is not finished.

        # Raises
            ValueError: if it holds another run, naming the first field that differs.
        """
        known = self.configuration()
        if known is None:
            return None
        if different := differing_field(known, config, given):
            raise ValueError(
                f"`output_dir` must be a new folder, or one with a run of the same fields. Received: "
                f"{str(self.path)!r}, whose {different} is {known.get(different)!r}, not {config.get(different)!r}."
            )
        return self._read_json("report.json")

    def configuration(self) -> dict[str, Any] | None:
        """That of the run in the folder, if there is one."""
        return self._read_json("config.json")

    def precision(self) -> str | None:
        """What the run in the folder computes in, if there is one."""
        known = self._read_json("environment.json")
        return None if known is None else known.get("precision", "float32")  # earlier versions knew no other

    def _read_json(self, name: str) -> dict[str, Any] | None:
        file = self.path / name
        try:
            return json.loads(file.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"A run's {name} must be as it was written. Received: {str(file)!r}, altered.") from error

    def check_data(self, data: dict[str, Any]) -> None:
        """Refuses other data or another recipe file than those with which the run in the folder, if any, began.

        # Raises
            ValueError: naming the first difference.
        """
        known = self._read_json("data.json") or {}  # which earlier versions did not write, or not all of it
        if different := differing_data(known, data):
            raise ValueError(
                "A run must have the data and the recipe file that it began with, or another `output_dir`. "
                f"Received: {str(self.path)!r}, begun with {different}."
            )

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Keeps the folder, which is made, for this process while the block lasts."""
        return locked(self.path)

    def open(self, config: dict[str, Any], data: dict[str, Any], precision: str, room: int) -> None:
        """Makes the folder, or takes up the run that it holds.

        # Arguments
            config: the run's configuration.
            data: names of the classes, numbers of images and what else tells the data.
            precision: what it computes in.
            room: bytes that the run will need.

        # Raises
            ValueError: if the disk has too little room, or if the data are no longer those that the run began with.
            OSError: if the folder cannot be written.
        """
        self.check_data(data)
        self.path.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.path).free
        if free < room:
            raise ValueError(
                f"`output_dir` must be on a disk with {room / 1e6:.0f} MB to spare. Received: {str(self.path)!r}, "
                f"where {free / 1e6:.0f} MB are free."
            )
        self.checkpoints.remove_partial()
        self.write_json("config.json", config)
        self.write_json("data.json", data)
        self.write_json("environment.json", {**environment(), "precision": precision})

    def write_json(self, name: str, value: Any) -> None:
        with atomic_file(self.path / name) as file:
            file.write((json.dumps(value, indent=2) + "\n").encode())

    def write_history(self, rows: list[dict[str, float]]) -> None:
        """Writes `history.csv`, a row an epoch; empty where a resumed run logs more than it did before."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_file(self.path / "history.csv") as file:
            file.write(text.getvalue().encode())

    def draw_curves(self, rows: list[dict[str, float]]) -> None:
        """Writes `curves.png`: loss, accuracy, learning rate and t by epoch, as far as they were logged."""
        from matplotlib.figure import Figure  # no window system, no global state

        curves = [curve for curve in CURVES if set(curve[1]) & rows[0].keys()]
        height, width = (2, 2) if len(curves) == len(CURVES) else (1, len(curves))
        figure = Figure(figsize=(5 * width, 3.5 * height), layout="constrained")
        panels = figure.subplots(height, width, squeeze=False)
        for axes, (title, columns, logarithmic) in zip(panels.flat, curves):
            logged = [column for column in columns if column in rows[0]]
            for column in logged:
                axes.plot([row["epoch"] + 1 for row in rows], [row[column] for row in rows], label=column)
            axes.set(title=title, xlabel="epoch")
            if logarithmic:
                axes.set_yscale("log")
            axes.grid(alpha=0.3)
            if len(logged) > 1:
                axes.legend()
        with atomic_file(self.path / "curves.png") as file:
            figure.savefig(file, format="png", dpi=100)
