"""What a search found, as a table, a CSV file and a picture."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdbnn_larq._files import atomic_file
from sdbnn_larq.tuning.search import Trial
from sdbnn_larq.tuning.space import Choice, Range


def print_table(trials: Sequence[Trial]) -> None:
    """Prints the trials, the best first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("trial", *_searched(trials[0]), "epochs", "validation accuracy")
    for trial in trials:
        accuracy = f"failed: {trial.failure}" if trial.accuracy is None else f"{trial.accuracy:.2%}"
        cells = trial.name, *map(_short, _searched(trial).values()), str(trial.epochs), accuracy
        table.add_row(*map(escape, cells))
    Console().print(table)


def write_csv(trials: Sequence[Trial], path: Path) -> None:
    """Writes the trials, the best first; a failed one has no accuracy, but says why."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", *_searched(trials[0]), "epochs", "val_accuracy", "failure"])
    for trial in trials:
        accuracy = "" if trial.accuracy is None else trial.accuracy
        writer.writerow([trial.name, *_searched(trial).values(), trial.epochs, accuracy, trial.failure or ""])
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


def draw_trials(trials: Sequence[Trial], space: Sequence[Range | Choice], path: Path) -> None:
    """Draws parallel coordinates: an axis a field, a line a trial, coloured by its validation accuracy."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure  # no window system, no global state

    finished = [(trial.accuracy, trial) for trial in trials if trial.accuracy is not None][::-1]  # the best on top
    figure = Figure(figsize=(2.5 + 1.8 * len(space), 5), layout="constrained")
    axes = figure.subplots()
    colors = ScalarMappable(Normalize(finished[0][0], finished[-1][0]), colormaps["viridis"])
    for accuracy, trial in finished:
        heights = [_height(entry, trial.fields[entry.field]) for entry in space]
        axes.plot(heights, color=colors.to_rgba(np.array(accuracy)), marker="o", alpha=0.8)
    for place, entry in enumerate(space):
        axes.axvline(place, color="0.7", zorder=0)
        for value in entry.ends():
            axes.annotate(_short(value), (place, _height(entry, value)), (4, 2), textcoords="offset points", fontsize=8)
    axes.set_xticks(range(len(space)), [f"{e.field}{' (log)' * getattr(e, 'log', False)}" for e in space])
    axes.set(yticks=[], xlim=(-0.3, len(space) - 0.4), ylim=(-0.06, 1.08))
    figure.colorbar(colors, ax=axes, label="validation accuracy")
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=100)


def _searched(trial: Trial) -> dict[str, Any]:
    """A trial's fields but for the epochs, which every trial has."""
    return {name: value for name, value in trial.fields.items() if name != "epochs"}


def _height(entry: Range | Choice, value: Any) -> float:
    """Where a value lies on its axis, from 0 to 1."""
    if isinstance(entry, Choice):
        return entry.ends().index(value) / (len(entry.texts) - 1)
    if entry.log:
        return math.log(value / entry.low) / math.log(entry.high / entry.low)
    return (value - entry.low) / (entry.high - entry.low)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
