"""What lets a run be killed: its progress, its checkpoints, and the end of one whose loss is no number."""

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq.training._checkpoints import Checkpoints
from sdbnn_larq.training.signals import Signals
from sdbnn_larq.weights import named_weights


@dataclass
class Progress:
    """How far a run has come: the next epoch and step, and what was logged."""

    epoch: int = 0
    step: int = 0  # of the epoch
    total_steps: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # a row for each finished epoch

    def best(self) -> dict[str, float]:
        """The row of the first epoch with the highest validation accuracy."""
        return max(self.history, key=lambda row: row["val_accuracy"])


def variables(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """All that training changes, by a name that another process gives it too."""
    slots = {f"optimizer/{i:04d}": variable for i, variable in enumerate(model.optimizer.variables)}
    return {**{f"weight/{name}": weight for name, weight in named_weights(model).items()}, **slots}


def metric_variables(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """The sums behind the running epoch's metrics."""
    return {f"metric/{m.name}/{i}": variable for m in model.metrics for i, variable in enumerate(m.variables)}


class Survival(tf.keras.callbacks.Callback):
    """Saves the state of a run, and stops it on a signal or on a loss that is no number.

    # Arguments
        checkpoints: where to save.
        progress: where the run begins; kept up to date.
        metrics: sums of the epoch that a checkpoint interrupted, added to what the rest of it gives.
        steps: of an epoch. After the last there is no checkpoint before that of the epoch's end.
        every: steps between checkpoints inside an epoch, or 0 for those at the end of epochs alone.
        signals: looked at after each step and epoch.
        on_epoch: called with the progress after each epoch.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        progress: Progress,
        metrics: dict[str, np.ndarray],
        *,
        steps: int,
        every: int,
        signals: Signals,
        on_epoch: Callable[[Progress], None],
    ):
        super().__init__()
        self.checkpoints, self.progress, self.metrics = checkpoints, progress, metrics
        self.steps, self.every, self.signals, self.on_epoch = steps, every, signals, on_epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.metrics:
            sums = metric_variables(self.model)
            for name, value in self.metrics.items():
                sums[name].assign(sums[name] + value)
            self.metrics = {}
        progress = self.progress
        if not math.isfinite(logs["loss"]):
            paths = self.checkpoints.paths()
            raise ValueError(
                f"The loss must be finite. Received: {logs['loss']} in epoch {progress.epoch + 1} at step "
                f"{progress.step + 1}, learning rate {float(self.model.optimizer.learning_rate):.3g}; "
                f"the last good checkpoint is {paths[0] if paths else 'none'}."
            )
        progress.step += 1
        progress.total_steps += 1
        due = self.signals.pending or (self.every and progress.step % self.every == 0)
        if due and progress.step < self.steps:
            self.save(metric_variables(self.model))
            self.stop_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, **{name: float(value) for name, value in logs.items()}}
        self.progress.history.append(row)
        self.progress.epoch, self.progress.step = epoch + 1, 0
        self.on_epoch(self.progress)
        self.save({})
        self.stop_if_asked()

    def save(self, metrics: dict[str, tf.Variable]) -> None:
        arrays = {name: np.asarray(variable.numpy()) for name, variable in {**variables(self.model), **metrics}.items()}
        bad = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
        if bad:
            raise ValueError(f"Weights must be finite. Received: {bad[0]} that is not; no checkpoint was written.")
        self.checkpoints.save(arrays, asdict(self.progress))

    def stop_if_asked(self) -> None:
        if self.signals.pending:
            progress = self.progress
            print(
                f"\nStopped after {progress.total_steps} steps, in epoch {progress.epoch + 1}; "
                "the same command goes on from there.",
                file=sys.stderr,
            )
            self.signals.exit_if_pending()


def restore(model: tf.keras.Model, checkpoints: Checkpoints) -> tuple[Progress, dict[str, np.ndarray]]:
    """Sets a compiled model to the newest checkpoint that is whole.

    # Returns
        Where to go on, and the sums of an interrupted epoch's metrics; the beginning, if there is no checkpoint.

    # Raises
        ValueError: if the checkpoint is another model's; nothing is set then.
    """
    model.optimizer.build(model.trainable_variables)
    state: tuple[dict[str, np.ndarray], dict[str, Any]] | None = checkpoints.newest()
    if state is None:
        return Progress(), {}
    arrays, progress = state
    targets = variables(model)
    metrics = {name: arrays.pop(name) for name in list(arrays) if name.startswith("metric/")}
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    expected = {name: tuple(variable.shape) for name, variable in targets.items()}
    if shapes != expected:
        wrong = sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name))
        raise ValueError(
            f"A checkpoint must hold this model's variables. Received: {checkpoints.folder} with {len(wrong)} "
            f"that differ, the first {wrong[0]}: {shapes.get(wrong[0])} for {expected.get(wrong[0])}."
        )
    for name, variable in targets.items():
        variable.assign(arrays[name])
    return Progress(**progress), metrics
