"""Training batches whose order and augmentation follow from seed, epoch and step alone: a run can be resumed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from zookeeper.tf import Preprocessing

from sdbnn_larq.training._data_check import readable

SHUFFLE_BUFFER = 10_000  # examples, of a data set that is read from disk,
SHUFFLE_BYTES = 2_000_000_000  # of encoded images, by the mean of the first of them


def without_autotuner(data: tf.data.Dataset) -> tf.data.Dataset:
    """tf.data's autotuner delays the end of an iterator to its next waking, 0.01 · (2ⁿ − 1) s after it began."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


def is_batched(preprocessing: Preprocessing) -> bool:
    """Whether it takes batches of images of one size that fit into memory, and not one example at a time."""
    return getattr(preprocessing, "batched", False)


def to_arrays(data: tf.data.Dataset, count: int) -> dict[str, tf.Tensor]:
    """All examples of a data set of equal shapes, as one tensor a feature.

    # Raises
        ValueError: if an image cannot be read, or if there are not as many as the data set says.
    """
    arrays: dict[str, Any] = {}
    place = 0
    for batch in readable(data.batch(1000)):
        end = place + len(next(iter(batch.values())))
        for name, values in batch.items():
            if name not in arrays:
                arrays[name] = np.empty((count, *values.shape[1:]), values.dtype)
            if end <= count:
                arrays[name][place:end] = values
        place = end
    if place != count:
        raise ValueError(f"A data set must have the {count} examples that it says. Received: {place}.")
    return {name: tf.constant(values) for name, values in arrays.items()}


def _joined(data: list[tf.data.Dataset]) -> tf.data.Dataset:
    """One after another, as a tree of pairs: TensorFlow's stack ends at some thousand that are inside one another."""
    if len(data) == 1:
        return data[0]
    middle = len(data) // 2
    return _joined(data[:middle]).concatenate(_joined(data[middle:]))


def _shuffle_buffer(data: tf.data.Dataset, count: int) -> int:
    """How many examples wait in memory for their turn."""
    buffer = min(count, SHUFFLE_BUFFER)
    if data.element_spec["image"].dtype != tf.string:
        return buffer
    lengths = data.take(256).map(lambda x: tf.strings.length(x["image"])).as_numpy_iterator()
    return max(1, min(buffer, int(SHUFFLE_BYTES / np.mean([*lengths]))))


class TrainingBatches:
    """The batches of all epochs, from any step on.

    # Arguments
        data: examples, dictionaries of `image` and `label`.
        count: their number.
        preprocessing: gets `data["seed"]`, int64 `(2,)`, to draw from, and `data["epoch"]`; whole batches if it says
            `batched`, whose examples are then kept in memory, or else single examples.
        batch_size: of a step, all replicas together; what is left at the end of an epoch is dropped.
        seed: of the order and the augmentation.
        epochs: of the whole run.
        finish: called with the images, labels and a seed of each batch, for the batch's last form.
    """

    def __init__(
        self,
        data: tf.data.Dataset,
        count: int,
        preprocessing: Preprocessing,
        *,
        batch_size: int,
        seed: int,
        epochs: int,
        finish: Callable[..., Any] = lambda images, labels, seed: (images, labels),
    ):
        self.count, self.preprocessing, self.batch_size = count, preprocessing, batch_size
        self.seed, self.epochs, self.finish = seed, epochs, finish
        self.batched = is_batched(preprocessing)
        self.arrays = to_arrays(data, count) if self.batched else {}
        self.buffer = count if self.batched else _shuffle_buffer(data, count)
        self.data = data
        self.steps = count // batch_size  # of an epoch

    def __call__(self, epoch: int, step: int, context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
        """Batches of one replica each, from a step of an epoch to the end of the run.

        # Arguments
            epoch: from 0.
            step: of that epoch, from 0.
            context: which share of every step this input pipeline feeds; all of it if None.
        """
        context = context or tf.distribute.InputContext()
        rows = self._rows_from_memory if self.batched else self._rows_from_disk
        return without_autotuner(rows(epoch, step, context).prefetch(2))

    def _keys(self, epoch: tf.Tensor) -> tf.Tensor:
        return tf.stack([tf.constant(self.seed, tf.int64), epoch])

    def _rows_from_memory(self, epoch, step, context):
        replicas, pipelines = context.num_replicas_in_sync, context.num_input_pipelines
        row = self.batch_size // replicas

        def indices(epoch):
            order = tf.random.experimental.stateless_shuffle(tf.range(self.count), seed=self._keys(epoch))
            order = tf.reshape(order[: self.steps * self.batch_size], (-1, pipelines, replicas // pipelines, row))
            rows = tf.reshape(order[:, context.input_pipeline_id], (-1, row))
            numbers = tf.range(tf.shape(rows, tf.int64)[0] * pipelines, delta=pipelines) + context.input_pipeline_id
            return tf.data.Dataset.from_tensor_slices({"rows": rows, "number": numbers}).map(
                lambda x: {**x, "epoch": epoch}
            )

        def batch(x):
            data = {name: tf.gather(values, x["rows"]) for name, values in self.arrays.items()}
            seed = tf.random.experimental.stateless_fold_in(self._keys(x["epoch"]), x["number"])
            return self.finish(*self.preprocessing({**data, "epoch": x["epoch"], "seed": seed}, training=True), seed)

        epochs = tf.data.Dataset.range(epoch, self.epochs)
        return epochs.flat_map(indices).skip(step * replicas // pipelines).map(batch)

    def _rows_from_disk(self, epoch, step, context):
        replicas, pipelines = context.num_replicas_in_sync, context.num_input_pipelines
        row = self.batch_size // replicas

        each = self.steps * self.batch_size  # of an epoch
        # Data sets of their own, because TensorFlow takes no tensor for a seed where its global seed is 0.
        shuffled = [
            self.data.shuffle(self.buffer, seed=e + self.seed * self.epochs, reshuffle_each_iteration=False).take(each)
            for e in range(epoch, self.epochs)
        ]

        def numbered(place, example):
            return {**example, "number": place % each, "epoch": epoch + place // each}

        def mine(example):
            return example["number"] % self.batch_size * pipelines // self.batch_size == context.input_pipeline_id

        def prepared(example):
            number = example.pop("number")
            seed = tf.random.experimental.stateless_fold_in(self._keys(example["epoch"]), number)
            return *self.preprocessing({**example, "seed": seed}, training=True), seed

        data = _joined(shuffled).enumerate().map(numbered)
        data = data.skip(step * self.batch_size)
        if pipelines > 1:
            data = data.filter(mine)
        data = data.map(prepared, num_parallel_calls=8, deterministic=True).batch(row, drop_remainder=True)
        return data.map(lambda images, labels, seeds: self.finish(images, labels, seeds[0]))
