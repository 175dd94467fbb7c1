"""What the signs of a network do while it trains."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq.analysis import Observer, SignReport
from sdbnn_larq.callbacks._sign_log import SignLog, read_rows

LOGGED = (
    "activations_share",
    "activations_entropy",
    "activations_difference",
    "activations_turned",
    "weights_share",
    "weights_turned",
    "sums_difference",
)


class SignStatistics(tf.keras.callbacks.Callback):
    """Logs what `analysis.signs` tells, and the flip ratio of the weights, at the end of epochs.

    Into the epoch's logs, and so into `History`, `CSVLogger` and TensorBoard, go `signs_flip_ratio`, the share of all
    1-bit weights whose sign is another than at the epoch's beginning; `signs_dead_channels`, the number of channels of
    all activations whose sign is the same for all images; and means over the layers: `signs_weights_share`,
    `signs_weights_turned`, `signs_activations_share`, `signs_activations_entropy`, `signs_activations_difference`,
    `signs_activations_turned` and `signs_sums_difference`. What needs images or a shift is left out without them, and
    all of them in epochs that are not looked at; give `CSVLogger` no other than `every=1`, because it takes its columns
    from the first epoch.

    With `log_dir` all figures of each layer go into `log_dir/signs.csv` and TensorBoard's scalars, and the values whose
    signs they are into its histograms.

    Of an epoch in which an interrupted training goes on, the flips are those since then.

    Larq's own metric, `lq.quantizers.SteSign(metrics=["flip_ratio"])`, counts the flips of each step instead. The
    quantizers of this package have it too.

    !!! example
        ```python
        statistics = SignStatistics(images, every=5, log_dir="logs/signs")
        model.fit(images, labels, epochs=10, callbacks=[statistics])
        ```

    # Arguments
        images: shown in inference mode at the end of the epochs, as for `analysis.signs`: the same hundred or two each
            time. None to look at the weights alone.
        every: epochs from one look to the next; the first is at the end of epoch number `every`, counted from 1.
        log_dir: folder for `signs.csv` and TensorBoard's events; None for neither.

    # Attributes
        report: the `SignReport` of the last look.
        flip_ratios: of the last look, by layer.

    # Raises
        ValueError: if `every` is not positive; when training begins, if the model has no 1-bit layer, or if `log_dir`
            has a `signs.csv` of something else.
    """

    def __init__(self, images: Any = None, *, every: int = 1, log_dir: str | os.PathLike | None = None):
        super().__init__()
        if not (every == int(every) and every >= 1):
            raise ValueError(f"`every` must be a whole number from 1. Received: every={every!r}.")
        if isinstance(images, Iterator):
            raise ValueError(f"`images` must be readable more than once. Received: {type(images).__name__}.")
        self.images, self.every = images, int(every)
        self.log_dir = None if log_dir is None else Path(log_dir)
        self.report: SignReport | None = None
        self.flip_ratios: dict[str, float] = {}
        self._observer: Observer | None = None
        self._before: dict[str, np.ndarray] = {}
        self._log: SignLog | None = None

    def on_train_begin(self, logs=None):
        if self.log_dir is not None:
            read_rows(self.log_dir)  # or it would be refused at the end of an epoch
        if self.model.built:
            self._observe()

    def on_epoch_begin(self, epoch, logs=None):
        self._before = self._observe().weight_signs() if self.model.built and self._looks_at(epoch) else {}

    def on_epoch_end(self, epoch, logs=None):
        if not self._looks_at(epoch):
            return
        observer = self._observe()
        after = observer.weight_signs()
        self.report = observer.report(self.images)
        names = [layer.name for layer in self.report.layers if layer.weights and layer.name in self._before]
        flips = {name: self._before[name] != after[name] for name in names}
        self.flip_ratios = {name: float(flipped.mean()) for name, flipped in flips.items()}
        if self.log_dir is not None:
            self._log = self._log or SignLog(self.log_dir, epoch)
            self._log.add(epoch, self.report, self.flip_ratios)
        if logs is not None:
            logs.update({f"signs_{name}": value for name, value in _means(self.report).items()})
            if flips:
                flipped = np.concatenate([flipped.ravel() for flipped in flips.values()])
                logs["signs_flip_ratio"] = float(flipped.mean())

    def on_train_end(self, logs=None):
        if self._log is not None:
            self._log.close()
            self._log = None

    def _looks_at(self, epoch: int) -> bool:
        return (epoch + 1) % self.every == 0

    def _observe(self) -> Observer:
        if self._observer is None or self._observer.model is not self.model:
            self._observer = Observer(self.model)
        return self._observer


def _means(report: SignReport) -> dict[str, float]:
    """Means over the layers that have a figure, and the sum of the dead channels."""
    figures = [layer.figures() for layer in report.layers]
    known = [name for name in LOGGED if any(name in layer for layer in figures)]
    means = {name: float(np.mean([layer[name] for layer in figures if name in layer])) for name in known}
    dead = [place.signs.dead for layer in report.layers for place in [layer.activations] if place]
    return {**means, "dead_channels": float(sum(map(len, dead)))} if dead else means
