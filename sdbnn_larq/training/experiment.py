"""The experiment: a zookeeper task trains a model on a data set and reports."""

import contextlib
import functools
import math
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, Optional

import larq as lq
import tensorflow as tf
from larq.models import ModelProfile
from zookeeper import ComponentField, Field
from zookeeper.core.component import base_getattr
from zookeeper.tf import Experiment, Preprocessing

from sdbnn_larq.callbacks import EDESchedule
from sdbnn_larq.optimizers import SGDL2
from sdbnn_larq.preprocessing import normalize
from sdbnn_larq.training import _provenance
from sdbnn_larq.training._averaging import Averaging
from sdbnn_larq.training._data_check import readable_pictures
from sdbnn_larq.training._pipeline import TrainingBatches, is_batched, without_autotuner
from sdbnn_larq.training._run_folder import RunFolder
from sdbnn_larq.training._shared_fields import share_fields
from sdbnn_larq.training._strategy import is_chief, make_strategy
from sdbnn_larq.training._survival import Progress, Signals, Survival, restore
from sdbnn_larq.training.evaluation_data import evaluation_of, examples_for, input_shape_of, pixel_batches
from sdbnn_larq.training.mixing import SoftTargets
from sdbnn_larq.training.preprocessing import SmallImages
from sdbnn_larq.zoo import save_packed

ROOM_FOR_LOGS = 20_000_000  # bytes
BYTES_PER_PARAMETER = 60  # three checkpoints of weights and two slots each, and the model
HARD_LOSS, SOFT_LOSS = "sparse_categorical_crossentropy", "categorical_crossentropy"
OPTIONS = ("self_distribution", "binary_weights", "binary")  # that weights need to be used again


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


class TrainSDBNN(Experiment):
    """Trains a model of the zoo as SD-BNN's authors do; a recipe is a `@task` subclass that sets fields.

    The fields below are given as `key=value` on the command line, nested ones as `model.self_distribution=None`.
    """

    model: tf.keras.models.Model
    preprocessing: Preprocessing = ComponentField(SmallImages)
    loss = Field("sparse_categorical_crossentropy")

    learning_rate: float = Field()
    momentum: float = Field(0.9)
    weight_decay: float = Field(1e-4)  # L2 on all trainable parameters
    t_min: float = Field(1e-3)  # the error decay estimator's sharpness, first epoch
    t_max: float = Field(1e1)  # and after the last
    mixup: float = Field(0.0)  # α of mixup; 0 is none, as in the paper
    cutmix: float = Field(0.0)  # α of CutMix
    label_smoothing: float = Field(0.0)
    ema: float = Field(0.0)  # momentum of the weights' moving averages, which then validate, test and are saved
    seed: int = Field(0)
    deterministic: bool = Field(True)  # operations that give the same bits each time
    strategy: Optional[str] = Field(None)  # "mirrored" or "multiworker"; `batch_size` is that of all replicas together
    checkpoint_steps: int = Field(0)  # also save every so many steps, not just after each epoch
    data_dir: Optional[str] = Field(None)  # reaches the data set

    def __post_configure__(self) -> None:
        share_fields(self)

    @Field
    def output_dir(self) -> str:
        return os.path.join("runs", f"{type(self).__name__}-{_provenance.digest(self.configuration)}")

    @Field
    def optimizer(self):
        return SGDL2(self.learning_rate, l2=self.weight_decay, momentum=self.momentum)

    def learning_rate_at(self, epoch: int) -> float:
        """Cosine to 0, per epoch."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))

    @property
    def configuration(self) -> dict[str, Any]:
        """All fields that say what is computed."""
        if not hasattr(self, "_configuration"):
            with self.distribution.scope():  # the optimizer is made with the other fields
                self._configuration = _provenance.configuration(self)
        return self._configuration

    @property
    def distribution(self) -> tf.distribute.Strategy:
        if not hasattr(self, "_distribution"):
            self._distribution = make_strategy(self.strategy)
        return self._distribution

    @property
    def chief(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return is_chief(self.distribution)

    def run(self) -> None:
        """Trains, or goes on training, tests and reports; the folder `output_dir` holds it all."""
        signals = Signals()
        with signals.caught():
            self.check()
            folder = RunFolder(self.output_dir)
            folder.check(self.configuration)
            report = folder.report()
            if report is not None:
                self.say(f"{folder.path} holds this run, finished; remove it to train again.")
            else:
                self.prepare()
                self.test_batches, self.test_count = self.evaluation_batches("test")
                report = self.train(folder, signals)
            self.say(
                f"{report['task']}: {report['test_accuracy']:.2%} of {report['test_images']:,} test images after "
                f"{report['epochs']} epochs, {report['seconds']} s, {report['images_per_second']} images/s in "
                f"training, 1-bit model {report['model_bytes'] / 1024:.1f} KiB; saved in {folder.path}"
            )

    def say(self, line: str) -> None:
        """Prints, once for all processes."""
        if self.chief:
            print(line)

    def check(self) -> None:
        """Checks fields that nothing else checks, before anything is written."""
        for name, low in (("epochs", 1), ("batch_size", 1), ("checkpoint_steps", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"`{name}` must be at least {low}. Received: {name}={getattr(self, name)}.")
        if self.soft_targets and self.loss != HARD_LOSS:
            raise ValueError(f"`mixup`, `cutmix` and `label_smoothing` need {HARD_LOSS}. Received: loss={self.loss!r}.")

    @property
    def soft_targets(self) -> SoftTargets:
        return SoftTargets(self.dataset.num_classes, self.mixup, self.cutmix, self.label_smoothing)

    def prepare(self) -> None:
        """Makes devices, seeds, model and data ready."""
        replicas = self.distribution.num_replicas_in_sync
        if self.batch_size % replicas:
            raise ValueError(f"`batch_size` must be a multiple of {replicas} replicas. Received: {self.batch_size}.")
        tf.keras.utils.set_random_seed(self.seed)
        if self.deterministic:
            tf.config.experimental.enable_op_determinism()
        with self.distribution.scope():
            loss = SOFT_LOSS if self.soft_targets else self.loss
            self.model.compile(self.optimizer, loss, metrics=["accuracy"])
        self.averaging = Averaging(self.model, self.ema) if self.ema else None
        data, count = self.examples("train")
        if count < self.batch_size:
            raise ValueError(f"`batch_size` must be at most the {count} training images. Received: {self.batch_size}.")
        self.train_batches = TrainingBatches(
            data,
            count,
            self.preprocessing,
            batch_size=self.batch_size,
            seed=self.seed,
            epochs=self.epochs,
            **({"finish": self.soft_targets.train} if self.soft_targets else {}),
        )
        self.validation_batches, _ = self.evaluation_batches("validation")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the model is evaluated on."""
        return input_shape_of(self.model, self.dataset)

    def examples(self, split: str) -> tuple[tf.data.Dataset, int]:
        """The checked examples of a split, as the preprocessing takes them, and their number."""
        return examples_for(self.preprocessing, self.dataset, split, self.image_shape)

    def evaluation_batches(self, split: str) -> tuple[tf.data.Dataset, int]:
        """A whole split in its order, as the model takes it, and the number of its images."""
        in_memory = is_batched(self.preprocessing)
        if known := evaluation_of(self.preprocessing):
            data, count = pixel_batches(self.dataset, split, self.image_shape, known, self.batch_size)
            data = data.cache() if in_memory else data
            data = data.map(lambda pixels, labels: (normalize(pixels, known), labels))
        else:
            data, count = self.examples(split)
            if in_memory:
                data = data.cache().batch(self.batch_size).map(self.prepared)
            else:
                data = data.map(self.prepared, num_parallel_calls=8).batch(self.batch_size)
        if self.soft_targets:
            data = data.map(self.soft_targets.evaluate)
        return without_autotuner(data.prefetch(2)), count

    def prepared(self, data: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return self.preprocessing(data, training=False)

    def fit(self, callbacks: Sequence[tf.keras.callbacks.Callback] = (), epoch: int = 0, step: int = 0) -> None:
        """Trains the prepared model to the last epoch.

        # Arguments
            callbacks: called after those of the schedules.
            epoch: to begin with, from 0.
            step: of that epoch, from 0.
        """
        batches = self.train_batches
        # Keras has no initial step: the rest of an interrupted epoch is a `fit` of its own.
        starts = [(epoch, epoch + 1, step), (epoch + 1, self.epochs, 0)] if step else [(epoch, self.epochs, 0)]
        for first, last, taken in starts:
            if first == last:
                continue
            data = functools.partial(batches, first, taken)
            with readable_pictures():
                self.model.fit(
                    self.distribution.distribute_datasets_from_function(data),
                    initial_epoch=first,
                    epochs=last,
                    steps_per_epoch=batches.steps - taken,
                    validation_data=self.validation_batches,
                    callbacks=[
                        Throughput(self.batch_size),
                        EDESchedule(self.t_min, self.t_max, self.epochs),
                        tf.keras.callbacks.LearningRateScheduler(self.learning_rate_at),
                        *([self.averaging] if self.averaging else []),
                        *callbacks,
                    ],
                    verbose=(1 if sys.stdout.isatty() else 2) if self.chief else 0,
                )

    def train(self, folder: RunFolder, signals: Signals) -> dict[str, Any]:
        """Trains from the newest checkpoint on, tests once and writes all that is to be kept.

        # Returns
            The report.
        """
        model = self.model
        with contextlib.ExitStack() as stack:
            with self.distribution.scope():
                progress, metrics = restore(model, folder.checkpoints)
            if not self.chief:
                # Reading distributed variables takes all workers: the others save too, into a folder that goes.
                folder = RunFolder(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.open(self.configuration, room=ROOM_FOR_LOGS + BYTES_PER_PARAMETER * model.count_params())
            lq.models.summary(model, print_fn=self.say)
            if progress.total_steps:
                self.say(f"Going on in {folder.path} from epoch {progress.epoch + 1}, step {progress.step + 1}.")
            if progress.epoch < self.epochs:
                survival = Survival(
                    folder.checkpoints,
                    progress,
                    metrics,
                    every=self.checkpoint_steps,
                    signals=signals,
                    on_epoch=functools.partial(self.after_epoch, folder),
                )
                logs = tf.keras.callbacks.TensorBoard(folder.path / "tensorboard", write_graph=False)
                # Workers cannot agree on a step to stop at: they stop at once, and go on from the last checkpoint.
                signals.deferred = self.strategy != "multiworker"
                try:
                    self.fit([logs, survival], progress.epoch, progress.step)
                finally:
                    signals.deferred = False
                    if progress.history:
                        folder.draw_curves(progress.history)
            with self.evaluated_weights():
                return self.finish(folder, progress)

    def evaluated_weights(self) -> contextlib.AbstractContextManager:
        """The weights that validation sees, inside a block."""
        return self.averaging.in_place() if self.averaging else contextlib.nullcontext()

    def after_epoch(self, folder: RunFolder, progress: Progress) -> None:
        folder.write_history(progress.history)
        if progress.best() is progress.history[-1]:
            with self.evaluated_weights():
                save_packed(self.model, folder.path / "best.safetensors", self.metadata(progress.history[-1]))

    def finish(self, folder: RunFolder, progress: Progress) -> dict[str, Any]:
        """Tests the last epoch's weights and writes them with the report."""
        model, history = self.model, progress.history
        _, accuracy = model.evaluate(self.test_batches, verbose=0)
        # The first epoch compiles the graph; it counts only if there is no other.
        speeds = [row["images_per_second"] for row in history][1:] or [history[0]["images_per_second"]]
        report = {
            "task": type(self).__name__,
            "test_accuracy": accuracy,
            "test_images": self.test_count,
            "validation_accuracy": history[-1]["val_accuracy"],
            "best_epoch": int(progress.best()["epoch"]) + 1,  # by validation; its weights are best.safetensors
            "best_validation_accuracy": progress.best()["val_accuracy"],
            "epochs": self.epochs,
            "seconds": round(sum(row["seconds"] for row in history), 1),
            "images_per_second": round(statistics.median(speeds), 1),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "model_bytes": ModelProfile(model).memory // 8,
            "seed": self.seed,
        }
        save_packed(model, folder.path / "weights.safetensors", self.metadata(report))
        temporary = folder.path / "model.partial.keras"
        model.save(temporary)
        os.replace(temporary, folder.path / "model.keras")
        folder.write_json("report.json", report)
        return report

    def metadata(self, report: dict[str, Any]) -> dict[str, Any]:
        """What it takes to use the weights rightly."""
        factory = base_getattr(self, "model")
        options = {name: getattr(factory, name) for name in OPTIONS if hasattr(factory, name)}
        return {"options": options, "class_names": list(self.dataset.class_names), "report": report}
