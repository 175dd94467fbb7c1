"""The training loop: epochs of steps, from any step on."""

import functools
import sys
import time
from collections.abc import Sequence

import tensorflow as tf

from sdbnn_larq.training._data_check import readable_pictures
from sdbnn_larq.training._pipeline import TrainingBatches


class Throughput(tf.keras.callbacks.Callback):
    """Logs the seconds of each epoch, and its training images a second, validation excluded."""

    def __init__(self, images_per_step: int):
        super().__init__()
        self.images_per_step = images_per_step

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()
        self.steps, self.trained = 0, 0.0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.trained = time.perf_counter() - self.began

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.perf_counter() - self.began
        logs["images_per_second"] = self.steps * self.images_per_step / self.trained


def fit(
    model: tf.keras.Model,
    batches: TrainingBatches,
    validation: tf.data.Dataset,
    callbacks: Sequence[tf.keras.callbacks.Callback],
    *,
    epoch: int,
    step: int,
    silent: bool,
) -> None:
    """Trains to the last epoch of the batches.

    # Arguments
        model: compiled, under the strategy that distributes the batches.
        batches: of all epochs.
        validation: evaluated after each epoch.
        callbacks: called after those that keep the time.
        epoch: to begin with, from 0.
        step: of that epoch, from 0.
        silent: print nothing.
    """
    make_variables(model, validation)
    # Keras has no initial step: the rest of an interrupted epoch is a `fit` of its own.
    starts = [(epoch, epoch + 1, step), (epoch + 1, batches.epochs, 0)] if step else [(epoch, batches.epochs, 0)]
    for first, last, taken in starts:
        if first == last:
            continue
        data = functools.partial(batches, first, taken)
        with readable_pictures():
            model.fit(
                model.distribute_strategy.distribute_datasets_from_function(data),
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=batches.steps - taken,
                validation_data=validation,
                callbacks=[Throughput(batches.batch_size), *callbacks],
                verbose=0 if silent else 1 if sys.stdout.isatty() else 2,
            )


def make_variables(model: tf.keras.Model, batches: tf.data.Dataset) -> None:
    """Makes those of the optimizer and the metrics: a first step that makes them is traced twice, at seconds each.

    # Arguments
        model: compiled.
        batches: of inputs and targets, of which only the shapes are read.
    """
    _, targets = batches.element_spec
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
        if not model.compiled_metrics.built:
            model.compiled_loss.build(model.output)
            model.compiled_metrics.build(model.output, targets)
