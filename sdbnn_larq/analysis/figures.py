"""The figures of a network's signs: what `signs` returns, as a table, as JSON and as CSV."""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sdbnn_larq._files import atomic_file

PLACES = ("activations", "weights", "sums")
# Of the table: title, part of the layer, figure.
COLUMNS = {
    "inputs +1": ("activations", "share"),
    "inputs turned": ("activations", "turned"),
    "inputs differ": ("activations", "difference"),
    "dead channels": ("activations", "dead"),
    "weights +1": ("weights", "share"),
    "weights turned": ("weights", "turned"),
    "sums +1": ("sums", "share"),
    "sums turned": ("sums", "turned"),
    "sums differ": ("sums", "difference"),
}


@dataclass(frozen=True)
class Histogram:
    """How values spread: counts in bins of equal width, the mean and the standard deviation.

    # Attributes
        low: left edge of the first bin.
        high: right edge of the last bin.
        counts: `(bins,)`, how many values lie in each bin; a bin holds its left edge.
        mean: of all values.
        std: of all values.
    """

    low: float
    high: float
    counts: np.ndarray
    mean: float
    std: float

    @property
    def edges(self) -> np.ndarray:
        """Of the bins, `(bins + 1,)`."""
        return np.linspace(self.low, self.high, len(self.counts) + 1)


@dataclass(frozen=True)
class Signs:
    """Many signs, by channel.

    # Attributes
        share: `(channels,)`, from 0 to 1, of the channel's signs that are +1.
        difference: share of the signs in which two images differ, on average over all pairs of images and over all
            places of the layer; for weights, in which two output channels' kernels differ. None where there is only
            one. 0.5 if all signs were tossed with a fair coin.
        histogram: of the values whose signs they are. None where those are not known.
    """

    share: np.ndarray
    difference: float | None
    histogram: Histogram | None

    @property
    def mean_share(self) -> float:
        """Of the signs that are +1, over all channels."""
        return float(self.share.mean())

    @property
    def spread(self) -> float:
        """Standard deviation of the channels' shares."""
        return float(self.share.std())

    @property
    def entropy(self) -> float:
        """Of a channel's sign in bits, from 0 (always the same) to 1, the mean of all channels."""
        p = np.stack([self.share, 1 - self.share])
        return float(-(p * np.log2(np.where(p > 0, p, 1))).sum(axis=0).mean())

    @property
    def never(self) -> np.ndarray:
        """Numbers of the channels without any +1."""
        return np.flatnonzero(self.share == 0)

    @property
    def always(self) -> np.ndarray:
        """Numbers of the channels without any −1."""
        return np.flatnonzero(self.share == 1)

    @property
    def dead(self) -> np.ndarray:
        """Numbers of the channels whose sign never changes."""
        return np.union1d(self.never, self.always)


@dataclass(frozen=True)
class Place:
    """The signs at one place of a layer, and what they would be without self-distribution's shift.

    # Attributes
        signs: as the network computes them.
        without_shift: on the same inputs, with the shift of this layer left out. None where there is none.
        turned: `(channels,)`, share of the channel's signs that the shift turns. None where there is none.
    """

    signs: Signs
    without_shift: Signs | None = None
    turned: np.ndarray | None = None


@dataclass(frozen=True)
class LayerSigns:
    """The signs of one layer. A part that the layer does not have in 1 bit is None; `SignReport.left_out` says why.

    # Attributes
        name: the layer's, with the names of the models around it before a `/`; numbered from its second use on.
        kind: the layer's class.
        activations: signs of the inputs, by channel of the input.
        weights: signs of the kernel, by output channel. Of a layer that is used twice, given at its first use.
        sums: signs of what the ±1 kernel and the ±1 inputs add up to, before scale, bias and activation, by output
            channel; 0 counts as +1, as for every quantizer of Larq.
    """

    name: str
    kind: str
    activations: Place | None = None
    weights: Place | None = None
    sums: Place | None = None

    def places(self) -> Iterator[tuple[str, Place]]:
        """The parts that the layer has, by name."""
        for name in PLACES:
            place: Place | None = getattr(self, name)
            if place is not None:
                yield name, place

    def figures(self) -> dict[str, float]:
        """All single numbers, e.g. `activations_entropy`; those without the shift end in `_without_shift`."""
        found: dict[str, float | None] = {}
        for name, place in self.places():
            found |= {f"{name}_{key}": value for key, value in _figures(place.signs).items()}
            if place.turned is not None:
                found[f"{name}_turned"] = float(place.turned.mean())
            if place.without_shift is not None:
                bare = _figures(place.without_shift)
                found |= {f"{name}_{key}_without_shift": value for key, value in bare.items()}
        return {key: value for key, value in found.items() if value is not None}


def _figures(signs: Signs) -> dict[str, float | None]:
    histogram = signs.histogram
    return {
        "share": signs.mean_share,
        "spread": signs.spread,
        "entropy": signs.entropy,
        "difference": signs.difference,
        "never": len(signs.never),
        "always": len(signs.always),
        "dead": len(signs.dead),
        "mean": None if histogram is None else histogram.mean,
        "std": None if histogram is None else histogram.std,
    }


@dataclass(frozen=True)
class SignReport:
    """The signs of all 1-bit layers of a network.

    # Attributes
        model: the network's name.
        images: how many it was shown; 0 if only its weights were looked at.
        layers: in the order in which the network calls them.
        left_out: by layer, what was not looked at and why.
    """

    model: str
    images: int
    layers: tuple[LayerSigns, ...]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> LayerSigns:
        """The layer of that name; a `KeyError` if there is none."""
        return {layer.name: layer for layer in self.layers}[name]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON holds it; a histogram without its empty ends."""
        return {
            "model": self.model,
            "images": self.images,
            "layers": [
                {"name": layer.name, "kind": layer.kind, **{name: _place_dict(place) for name, place in layer.places()}}
                for layer in self.layers
            ],
            "left_out": {name: list(reasons) for name, reasons in self.left_out.items()},
        }

    def rows(self) -> list[list[str]]:
        """The main figures in %, as text: a header, and a row for each layer without those columns that no layer has.

        An arrow leads from a figure without the shift to the figure with it.
        """
        cells = {title: [_cell(layer, *column) for layer in self.layers] for title, column in COLUMNS.items()}
        cells = {title: column for title, column in cells.items() if any(column)}
        return [["layer", *cells], *([layer.name, *row] for layer, *row in zip(self.layers, *cells.values()))]

    def table(self) -> str:
        """`rows` as a text."""
        header, *rows = self.rows()
        table = Table(box=box.ASCII, title=f"{self.model}: signs of {self.images:,} images, in %", title_justify="left")
        for name in header:
            table.add_column(name, justify="left" if name == "layer" else "right")
        for row in rows:
            table.add_row(*map(escape, row))
        text = io.StringIO()
        # Plain text in a notebook, too, and whatever the environment says of colours.
        Console(file=text, width=300, color_system=None, force_terminal=False, force_jupyter=False).print(table)
        return text.getvalue()

    def write_json(self, path: str | os.PathLike) -> None:
        """Writes everything as UTF-8 JSON."""
        with atomic_file(Path(path)) as file:
            file.write((json.dumps(self.to_dict(), ensure_ascii=False) + "\n").encode())

    def write_csv(self, path: str | os.PathLike) -> None:
        """Writes a row for each layer with its single numbers; what a layer does not have is empty."""
        rows = [{"layer": layer.name, "kind": layer.kind, **layer.figures()} for layer in self.layers]
        columns = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_file(Path(path)) as file:
            file.write(text.getvalue().encode())


def _cell(layer: LayerSigns, place: str, figure: str) -> str:
    figures = layer.figures()
    name = f"{place}_{figure}"
    if name not in figures:
        return ""
    before = figures.get(f"{name}_without_shift")
    if figure == "dead":
        return f"{figures[name]:.0f}" if figures[name] else ""
    return percent(figures[name]) if before is None else f"{percent(before)} → {percent(figures[name])}"


def percent(share: float) -> str:
    """In %, with a decimal, or two digits of what would round to little."""
    return f"{100 * share:.1f}" if share >= 0.01 or not share else f"{100 * share:.2g}"


def _place_dict(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {"signs": _signs_dict(place.signs)}
    if place.without_shift is not None:
        found["without_shift"] = _signs_dict(place.without_shift)
    if place.turned is not None:
        found["turned"] = {"mean": float(place.turned.mean()), "by_channel": _rounded(place.turned)}
    return found


def _signs_dict(signs: Signs) -> dict[str, Any]:
    return {
        "share": signs.mean_share,
        "spread": signs.spread,
        "entropy": signs.entropy,
        "difference": signs.difference,
        "never": signs.never.tolist(),
        "always": signs.always.tolist(),
        "by_channel": _rounded(signs.share),
        "histogram": None if signs.histogram is None else _histogram_dict(signs.histogram),
    }


def _rounded(shares: np.ndarray) -> list[float]:
    return [float(f"{share:.6g}") for share in shares]


def _histogram_dict(histogram: Histogram) -> dict[str, Any]:
    filled = np.flatnonzero(histogram.counts)
    part = slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, 0)
    edges = histogram.edges
    return {
        **dataclasses.asdict(histogram),
        "low": float(edges[part.start]),
        "high": float(edges[part.stop]),
        "counts": histogram.counts[part].tolist(),
    }
