"""The files in which `SignStatistics` leaves the figures of each layer."""

import csv
import io
from pathlib import Path

import numpy as np
import tensorflow as tf

from sdbnn_larq._files import atomic_file
from sdbnn_larq.analysis import Histogram, SignReport

# A tensor summary that TensorBoard draws as a histogram: rows of left edge, right edge and count.
HISTOGRAM = tf.compat.v1.SummaryMetadata(plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="histograms"))


class SignLog:
    """`signs.csv`, a row for each layer and epoch, and TensorBoard's events in the same folder.

    # Arguments
        folder: made if it is not there.
        epoch: to begin with, from 0. Rows of earlier epochs that an interrupted training left are kept.
    """

    def __init__(self, folder: Path, epoch: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "signs.csv"
        self._rows = [row for row in read_rows(folder) if int(row["epoch"]) < epoch + 1]
        self._writer = tf.summary.create_file_writer(str(folder))

    def add(self, epoch: int, report: SignReport, flip_ratios: dict[str, float]) -> None:
        """Writes the figures of an epoch, counted from 0 here as in Keras, and from 1 in the table."""
        with self._writer.as_default(step=epoch):
            for layer in report.layers:
                figures = layer.figures()
                if layer.name in flip_ratios:
                    figures["weights_flip_ratio"] = flip_ratios[layer.name]
                for name, value in figures.items():
                    tf.summary.scalar(f"signs/{layer.name}/{name}", value)
                for name, place in layer.places():
                    if place.signs.histogram is not None:
                        _write_histogram(f"signs/{layer.name}/{name}", place.signs.histogram)
                self._rows.append({"epoch": epoch + 1, "layer": layer.name, **figures})
        self._writer.flush()
        self._write_rows()

    def close(self) -> None:
        self._writer.close()

    def _write_rows(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(
            text, list(dict.fromkeys(key for row in self._rows for key in row)), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(self._rows)
        with atomic_file(self._path) as file:
            file.write(text.getvalue().encode())


def read_rows(folder: Path) -> list[dict]:
    """What an interrupted training left in `signs.csv`.

    # Raises
        ValueError: if the file is another, such as that of `sdbnn signs`.
    """
    path = folder / "signs.csv"
    if not path.exists():
        return []
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    if not all((row.get("epoch") or "").isdigit() for row in rows):
        raise ValueError(
            f"`log_dir` must be a folder without a signs.csv, or with one of a training. Received: {str(folder)!r}, "
            "whose signs.csv has no epochs."
        )
    return rows


def _write_histogram(tag: str, histogram: Histogram) -> None:
    filled = np.flatnonzero(histogram.counts)
    part = slice(filled[0], filled[-1] + 1)
    edges = histogram.edges
    rows = np.stack([edges[:-1], edges[1:], histogram.counts], axis=1)[part]
    tf.summary.write(tag, tf.constant(rows, tf.float64), metadata=HISTOGRAM)
