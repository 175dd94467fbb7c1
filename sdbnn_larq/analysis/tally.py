"""Counts of signs, batch by batch: TensorFlow counts within a batch, NumPy adds the batches up.

What is kept does not grow with the number of images: how often each place of a layer was +1, and a histogram whose
range doubles until it holds every value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq.analysis.figures import Histogram, Place, Signs

HALF = 128  # bins on each side of 0
SMALLEST_VALUES = -6  # exponent of the smallest range: ±1/64
SMALLEST_SUMS = HALF.bit_length() - 1  # bins of width 1

Batch = Mapping[str, Any]


def count_place(
    values: tf.Tensor,
    fires: tf.Tensor,
    unshifted: tuple[tf.Tensor, tf.Tensor] | None = None,
    *,
    smallest: int = SMALLEST_VALUES,
) -> Batch:
    """Counts the signs of one batch.

    # Arguments
        values: `(batch, ..., channels)`, floating point.
        fires: as `values`, bool: whether the sign is +1.
        unshifted: values and signs without the shift, shaped as `values`.
        smallest: exponent of the histogram's smallest range.

    # Returns
        Tensors for `PlaceTally.add`.
    """
    batch: dict[str, Any] = {"signs": _count(values, fires, smallest)}
    if unshifted is not None:
        batch["without_shift"] = _count(*unshifted, smallest)
        turned = tf.not_equal(fires, unshifted[1])
        batch["turned"] = tf.math.count_nonzero(turned, axis=list(range(turned.shape.rank - 1)))
    return batch


def _count(values: tf.Tensor, fires: tf.Tensor, smallest: int) -> Batch:
    flat = tf.reshape(tf.cast(values, tf.float32), [-1])
    finite = tf.math.is_finite(flat)
    flat = tf.where(finite, flat, 0.0)
    # |x| < 2 ** exponent: the float's own exponent, so that nothing is rounded.
    exponent = tf.bitwise.right_shift(tf.bitcast(tf.reduce_max(tf.abs(flat)), tf.int32), 23) - 126
    exponent = tf.maximum(exponent, smallest)
    scale = tf.cast(HALF, tf.float32) * tf.pow(2.0, -tf.cast(exponent, tf.float32))
    bins = tf.cast(tf.floor(flat * scale), tf.int32) + HALF
    precise = tf.cast(flat, tf.float64)
    return {
        "fired": tf.math.count_nonzero(fires, axis=0),
        "finite": tf.reduce_all(finite),
        "exponent": exponent,
        "counts": tf.math.bincount(bins, minlength=2 * HALF, maxlength=2 * HALF, dtype=tf.int64),
        "sum": tf.reduce_sum(precise),
        "squares": tf.reduce_sum(tf.square(precise)),
    }


@dataclass
class SignTally:
    """The sum of what `count_place` counted of the signs of all batches."""

    fired: np.ndarray
    exponent: int
    counts: np.ndarray
    sum: float
    squares: float
    finite: bool

    @classmethod
    def of(cls, batch: Batch) -> "SignTally":
        return cls(
            np.asarray(batch["fired"]),
            int(batch["exponent"]),
            np.asarray(batch["counts"]),
            float(batch["sum"]),
            float(batch["squares"]),
            bool(batch["finite"]),
        )

    def add(self, other: "SignTally") -> None:
        self.fired = self.fired + other.fired
        exponent = max(self.exponent, other.exponent)
        self.counts = widened(self.counts, exponent - self.exponent) + widened(other.counts, exponent - other.exponent)
        self.exponent = exponent
        self.sum += other.sum
        self.squares += other.squares
        self.finite = self.finite and other.finite

    def signs(self, images: int) -> Signs:
        """The figures.

        # Arguments
            images: how many were counted.
        """
        share = self.fired / images
        return Signs(
            share.reshape(-1, share.shape[-1]).mean(axis=0), mean_difference(self.fired, images), self.histogram()
        )

    def histogram(self) -> Histogram:
        count = self.counts.sum()
        mean = self.sum / count
        limit = 2.0**self.exponent
        return Histogram(-limit, limit, self.counts, mean, float(np.sqrt(max(self.squares / count - mean**2, 0))))


class PlaceTally:
    """The sum of what `count_place` counted in all batches."""

    def __init__(self) -> None:
        self.parts: dict[str, SignTally] = {}
        self.turned: np.ndarray | None = None

    def add(self, batch: Batch) -> None:
        for name in ("signs", "without_shift"):
            if name in batch:
                tally = SignTally.of(batch[name])
                if name in self.parts:
                    self.parts[name].add(tally)
                else:
                    self.parts[name] = tally
        if "turned" in batch:
            turned = np.asarray(batch["turned"])
            self.turned = turned if self.turned is None else self.turned + turned

    @property
    def finite(self) -> bool:
        """Whether all values were numbers."""
        return all(tally.finite for tally in self.parts.values())

    def place(self, images: int) -> Place:
        """The figures of all batches, which had so many images."""
        signs = {name: tally.signs(images) for name, tally in self.parts.items()}
        fired = self.parts["signs"].fired
        turned = None if self.turned is None else self.turned / (images * fired.size / fired.shape[-1])
        return Place(signs["signs"], signs.get("without_shift"), turned)


def widened(counts: np.ndarray, doublings: int) -> np.ndarray:
    """A histogram around 0 in bins that are 2, 4, 8, … times as wide."""
    for _ in range(min(doublings, HALF.bit_length())):
        counts = np.pad(counts.reshape(-1, 2).sum(axis=1), HALF // 2)
    return counts


def mean_difference(fired: np.ndarray, n: int) -> float | None:
    """Share of the places at which two of n sign patterns differ, over all pairs of patterns.

    # Arguments
        fired: how many of the patterns are +1 at each place.
        n: how many patterns there are.
    """
    if n < 2:
        return None
    fired = fired.astype(np.float64)
    return float(np.mean(2 * fired * (n - fired)) / (n * (n - 1)))


def histogram_of(values: tf.Tensor) -> Histogram:
    """The histogram of a single tensor."""
    tally = SignTally.of(_count(values, values[None] > 0, SMALLEST_VALUES))
    return tally.histogram()
