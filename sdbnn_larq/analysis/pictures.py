"""Pictures of a network's signs, with and without self-distribution's shift."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # no window system, no global state

from sdbnn_larq.analysis.figures import PLACES, Histogram, LayerSigns, Place, SignReport, percent

WITHOUT = "#a3abb5"
COLORS = {"activations": "#1f6fb2", "weights": "#2b8a5b", "sums": "#c8611b"}
NOUNS = {"activations": "inputs", "weights": "weights", "sums": "sums"}
TITLES = {"activations": "inputs before the sign", "weights": "weights before the sign", "sums": "integer sums"}
DPI = 150
WIDTH = 12.0  # inches
BINS = 64  # of a histogram, at most


def pictures(report: SignReport) -> Iterator[tuple[str, Figure]]:
    """All pictures of a report by the names of their files: the network's, then one for each layer."""
    yield "overview", overview(report)
    if any(layer.activations for layer in report.layers):
        yield "channels", channels(report)
    for number, layer in enumerate(report.layers, 1):
        yield f"layer_{number:02d}", distributions(layer)


def overview(report: SignReport) -> Figure:
    """One row for each layer: how many signs are +1, in how many two images differ, how many the shift turns."""
    figure = Figure(figsize=(WIDTH, 1.6 + 0.27 * len(report.layers)), layout="constrained", facecolor="white")
    has_images = report.images > 0
    places = ("activations", "sums") if has_images else ("weights",)
    panels: list[tuple[str, functools.partial]] = []
    for figure_name, what in (
        ("mean_share", "that are +1"),
        ("difference", "in which\ntwo images differ" if has_images else "in which\ntwo kernels differ"),
    ):
        for place in places:
            draw = functools.partial(_dumbbells, report=report, name=place, figure=figure_name)
            panels.append((f"{NOUNS[place]} {what}", draw))
    if any(place.turned is not None for layer in report.layers for _, place in layer.places()):
        panels.append(("signs that the\nshift turns", functools.partial(_turned, report=report)))
    all_axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axes, (title, draw) in zip(all_axes, panels):
        draw(axes)
        axes.set_title(title, fontsize=10)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.tick_params(labelsize=8.5, length=0)
        axes.grid(axis="x", color="#e3e6ea")
        axes.set_axisbelow(True)
        for side in axes.spines.values():
            side.set_visible(False)
    _layer_axis(all_axes[0], report)
    handles = [
        all_axes[0].plot([], [], "o", mfc="white", mec=WITHOUT, mew=1.6, label="without the shift")[0],
        all_axes[0].plot([], [], "o", color="#333333", label="with it")[0],
    ]
    if any(place.without_shift for layer in report.layers for _, place in layer.places()):
        figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    return figure


def _layer_axis(axes: Axes, report: SignReport) -> None:
    axes.set_ylim(len(report.layers) - 0.4, -0.6)
    axes.set_yticks(range(len(report.layers)))
    axes.set_yticklabels([_short(layer.name) for layer in report.layers], fontsize=8.5)


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"…{name[-27:]}"


def _dumbbells(axes: Axes, report: SignReport, name: str, figure: str) -> None:
    for row, layer in enumerate(report.layers):
        place: Place | None = getattr(layer, name)
        if place is None or getattr(place.signs, figure) is None:
            continue
        after = getattr(place.signs, figure)
        if place.without_shift is not None:
            before = getattr(place.without_shift, figure)
            axes.plot([before, after], [row, row], color=COLORS[name], alpha=0.35, lw=3, solid_capstyle="butt")
            axes.plot(before, row, "o", mfc="white", mec=WITHOUT, mew=1.6, ms=6)
        axes.plot(after, row, "o", color=COLORS[name], ms=6)
    axes.axvline(0.5, color="#777777", lw=1, ls=":")
    high = 1.0 if figure == "mean_share" else 0.5
    axes.set_xlim(-0.03 * high, max(1.04 * high, axes.get_xlim()[1]))
    axes.set_xticks([0, high / 2, high])


def _turned(axes: Axes, report: SignReport) -> None:
    for offset, name in ((-0.26, "activations"), (0.0, "weights"), (0.26, "sums")):
        shares = {
            row: place.turned.mean()
            for row, layer in enumerate(report.layers)
            for place in [getattr(layer, name)]
            if place is not None and place.turned is not None
        }
        rows = np.array([*shares], float)
        if shares:
            axes.barh(rows + offset, [*shares.values()], 0.24, color=COLORS[name], label=NOUNS[name])
    below = (-0.03, -0.03)
    axes.legend(
        loc="upper left", bbox_to_anchor=below, fontsize=8.5, frameon=False, ncols=3, handlelength=0.8, columnspacing=1
    )
    axes.set_xlim(left=0)


def channels(report: SignReport) -> Figure:
    """A strip for each layer: the share of +1 of each channel of its inputs, above without and below with the shift."""
    layers = [layer for layer in report.layers if layer.activations]
    figure = Figure(figsize=(WIDTH, 1.5 + 0.42 * len(layers)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    mesh: Any = None
    for row, layer in enumerate(layers):
        place: Place = layer.activations  # type: ignore[assignment]
        parts = [place.signs] if place.without_shift is None else [place.without_shift, place.signs]
        order = np.argsort(parts[0].share, kind="stable")
        edges = np.linspace(0, 1, len(order) + 1)
        heights = np.linspace(row - 0.42, row + 0.42, len(parts) + 1)
        values = np.stack([signs.share[order] for signs in parts])
        mesh = axes.pcolormesh(edges, heights, values, cmap="RdBu", vmin=0, vmax=1, rasterized=True)
        for signs, top, bottom in zip(parts, heights, heights[1:]):
            dead = np.flatnonzero(np.isin(order, signs.dead))
            size = min(7.0, 500 / len(order))
            axes.plot(
                (dead + 0.5) / len(order), np.full(len(dead), (top + bottom) / 2), "x", color="white", ms=size, mew=3.2
            )
            axes.plot(
                (dead + 0.5) / len(order), np.full(len(dead), (top + bottom) / 2), "x", color="black", ms=size, mew=1.4
            )
    axes.set_xlim(0, 1)
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.set_yticks(range(len(layers)))
    axes.set_yticklabels([f"{_short(layer.name)}  ({_count(layer)})" for layer in layers], fontsize=8.5)
    axes.set_xticks([])
    axes.set_xlabel("channels, ordered by their share without the shift; × marks channels whose sign never changes")
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(mesh, ax=axes, location="top", aspect=60, fraction=0.05, pad=0.01)
    bar.set_label(
        "share of a channel's signs that are +1; in each strip above without the shift, below with it", fontsize=9
    )
    bar.ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    bar.ax.tick_params(labelsize=8.5)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _count(layer: LayerSigns) -> str:
    assert layer.activations is not None
    signs = layer.activations.signs
    dead = len(signs.dead)
    return f"{len(signs.share)} channels" + (f", {dead} dead" if dead else "")


def distributions(layer: LayerSigns) -> Figure:
    """How the values before the layer's signs, and its sums, are spread."""
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained", facecolor="white")
    all_axes = figure.subplots(1, len(PLACES))
    for axes in all_axes:
        axes.set_yticks([])
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
    places = dict(layer.places())
    for axes, name in zip(all_axes, PLACES):
        if name in places:
            _distribution(axes, name, places[name])
        else:
            axes.set_axis_off()
    return figure


def _distribution(axes: Axes, name: str, place: Place) -> None:
    parts = [(place.signs, COLORS[name])]
    if place.without_shift is not None:
        parts.insert(0, (place.without_shift, WITHOUT))
    title = TITLES[name] if place.signs.histogram is not None else NOUNS[name]
    axes.set_title(f"{title}\n{_shares(place)}", fontsize=9)
    axes.tick_params(labelsize=8.5)
    known = [(signs.histogram, color) for signs, color in parts if signs.histogram is not None]
    if not known:
        _by_channel(axes, place.signs.share, COLORS[name])
        return
    low, high = np.array([_span(histogram) for histogram, _ in known]).T
    for (edges, density), (_, color) in zip(_densities([h for h, _ in known], low.min(), high.max()), known):
        axes.stairs(density, edges, fill=True, color=color, alpha=0.5)
        axes.stairs(density, edges, color=color, lw=1.2)
    axes.axvline(0, color="#222222", lw=1, ls=":")
    axes.set_xlim(low.min(), high.max())
    axes.set_ylim(bottom=0)


def _by_channel(axes: Axes, share: np.ndarray, color: str) -> None:
    """What is left to show where nothing but signs is known."""
    axes.bar(np.arange(len(share)), np.sort(share), 1.0, color=color, alpha=0.5)
    axes.axhline(0.5, color="#222222", lw=1, ls=":")
    axes.set_xlim(-0.5, len(share) - 0.5)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_xticks([])
    axes.set_xlabel("each output channel's share of +1, in order", fontsize=8.5)


def _densities(histograms: list[Histogram], low: float, high: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Edges and heights in bins that are the same for all, and few enough to be seen."""
    limit = max(histogram.high for histogram in histograms)
    widths = [histogram.edges[1] - histogram.edges[0] for histogram in histograms]
    width = max([*widths, 2.0 ** np.ceil(np.log2((high - low) / BINS))])
    found = []
    for histogram, own in zip(histograms, widths):
        counts = np.pad(histogram.counts, int((limit - histogram.high) / own))
        counts = counts.reshape(-1, int(width / own)).sum(axis=1)
        found.append((np.linspace(-limit, limit, len(counts) + 1), counts / counts.sum() / width))
    return found


def _shares(place: Place) -> str:
    after = f"{percent(place.signs.mean_share)} % are +1"
    if place.without_shift is None or place.turned is None:
        return after
    return f"{percent(place.without_shift.mean_share)} → {after}; {percent(float(place.turned.mean()))} % turned"


def _span(histogram: Histogram) -> tuple[float, float]:
    """Where all values but one in a thousand on each side lie."""
    shares = np.cumsum(histogram.counts) / histogram.counts.sum()
    low, high = np.searchsorted(shares, [0.001, 0.999])
    edges = histogram.edges
    return float(edges[low]), float(edges[min(high + 1, len(edges) - 1)])
