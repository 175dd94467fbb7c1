"""The experiment: a zookeeper task trains a model on a data set and reports."""

import contextlib
import functools
import math
import tempfile
from collections.abc import Sequence
from typing import Any, Optional

import larq as lq
import tensorflow as tf
from zookeeper import ComponentField, Field
from zookeeper.core.utils import warn
from zookeeper.tf import Experiment, Preprocessing

from sdbnn_larq.analysis import Observer
from sdbnn_larq.callbacks import EDESchedule, SignStatistics
from sdbnn_larq.layers import set_precision
from sdbnn_larq.optimizers import SGDL2
from sdbnn_larq.training import loop, provenance
from sdbnn_larq.training._averaging import Averaging
from sdbnn_larq.training._outputs import check_batch_size, gives_logits
from sdbnn_larq.training._pipeline import TrainingBatches, without_autotuner
from sdbnn_larq.training._precision import NO_BFLOAT16, available_precision, check_precision
from sdbnn_larq.training._recipe_file import checksum_of_imports, checksum_of_recipe
from sdbnn_larq.training._run_folder import RunFolder, default_folder
from sdbnn_larq.training._strategy import is_chief, make_strategy
from sdbnn_larq.training._survival import Progress, Survival, restore
from sdbnn_larq.training.components import share_fields
from sdbnn_larq.training.datasets import bytes_of_splits, check_outside, checksum_of_file_names, division_of
from sdbnn_larq.training.evaluation_data import evaluation_batches, evaluation_of, examples_for, input_shape_of
from sdbnn_larq.training.mixing import SoftTargets
from sdbnn_larq.training.preprocessing import SmallImages
from sdbnn_larq.training.report import Results, make_report, summary
from sdbnn_larq.training.signals import Signals
from sdbnn_larq.weights import description_of

ROOM_FOR_LOGS = 20_000_000  # bytes
BYTES_PER_PARAMETER = 60  # three checkpoints of weights and two slots each, and the model
FEWEST_SIGN_IMAGES, MOST_SIGN_IMAGES = 16, 128
HARD_LOSS, SOFT_LOSS = "sparse_categorical_crossentropy", "categorical_crossentropy"


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
    averaging_momentum: float = Field(0.0)  # of moving averages of the weights, which then validate, test and are saved
    precision: str = Field("mixed")  # products of ±1 in bfloat16 (`layers.set_precision`), or "float32"
    seed: int = Field(0)
    deterministic: bool = Field(True)  # operations that give the same bits each time
    strategy: Optional[str] = Field(None)  # "mirrored" or "multiworker"; `batch_size` is that of all replicas together
    sign_statistics: int = Field(0)  # epochs between looks (`callbacks.SignStatistics`); 0 is none
    checkpoint_steps: int = Field(0)  # also save every so many steps, not just after each epoch
    data_dir: Optional[str] = Field(None)  # reaches the data set

    def __pre_configure__(self, conf: dict[str, Any]) -> dict[str, Any]:
        """Takes fields by the names that they had in earlier versions."""
        renamed = provenance.with_present_names(conf, self)
        for old in conf.keys() - renamed.keys():
            warn(f"`{old}` is now called `{provenance.RENAMED[old]}`.")
        return renamed

    def __post_configure__(self) -> None:
        share_fields(self)

    @Field
    def output_dir(self) -> str:
        return str(default_folder(type(self).__name__, self.configuration, provenance.given_fields(self)))

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
                self._configuration = provenance.configuration(self)
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
            check_outside("output_dir", self.output_dir, self.dataset)
            folder = RunFolder(self.output_dir)
            same_run = self.configuration, provenance.given_fields(self)
            report = folder.report_of(*same_run)
            if report is None:
                self.prepare()
                self.test_batches, self.test_count = self.evaluation_batches("test")
                self.results.try_saving()
                with folder.lock() if self.chief else contextlib.nullcontext():
                    # Another process may have been here in the meantime.
                    report = folder.report_of(*same_run) or self.train(folder, signals)
            else:
                folder.check_data(self.data_identity)
                self.say(f"{folder.path} holds this run, finished; remove it to train again.")
            self.say(summary(report, folder.path))

    def say(self, line: str) -> None:
        """Prints, once for all processes."""
        if self.chief:
            print(line)

    def check(self) -> None:
        """Checks fields that nothing else checks, before anything is written."""
        for name, low in (
            ("epochs", 1),
            ("batch_size", 1),
            ("checkpoint_steps", 0),
            ("sign_statistics", 0),
            ("seed", 0),
        ):
            if getattr(self, name) < low:
                raise ValueError(f"`{name}` must be at least {low}. Received: {name}={getattr(self, name)}.")
        if not self.output_dir:
            raise ValueError(f"`output_dir` must name a folder. Received: output_dir={self.output_dir!r}.")
        if self.seed >= 2**32:
            raise ValueError(f"`seed` must be below 2³². Received: seed={self.seed}.")
        if not self.learning_rate > 0:
            raise ValueError(f"`learning_rate` must be greater than 0. Received: {self.learning_rate}.")
        EDESchedule(self.t_min, self.t_max, self.epochs)  # which checks them
        check_precision(self.precision)
        if isinstance(self.loss, str) and self.loss != HARD_LOSS:
            raise ValueError(
                f"`loss` must be {HARD_LOSS}, or an object of your recipe's. Received: loss={self.loss!r}."
            )
        self.check_optimizer()
        if missing := [name for name in ("num_classes", "class_names") if not hasattr(self.dataset, name)]:
            raise ValueError(
                f"A data set must have `num_classes` and `class_names`, in the order of the labels. Received: "
                f"{type(self.dataset).__name__} without {missing[0]}."
            )
        if self.soft_targets and self.loss != HARD_LOSS:
            raise ValueError(f"`mixup`, `cutmix` and `label_smoothing` need {HARD_LOSS}. Received: loss={self.loss!r}.")

    def check_optimizer(self) -> None:
        """Refuses what the optimizer would not heed."""
        known = self.configuration["optimizer"]
        if not isinstance(known, dict) or "class" not in known:
            raise ValueError(f"`optimizer` must be an object in a recipe. Received: optimizer={known!r}.")
        for name, entries in (("weight_decay", ("weight_decay", "l2")), ("momentum", ("momentum",))):
            value = getattr(self, name)
            if name in provenance.given_fields(self) and value not in [known.get(entry) or 0 for entry in entries]:
                raise ValueError(f"`{name}` must be left out with {known['class']}, which has none. Received: {value}.")

    @property
    def precision_in_use(self) -> str:
        """That of this machine; `train` sets the one with which a run was begun."""
        return getattr(self, "_precision_in_use", None) or available_precision(self.precision)

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
            if self.loss == HARD_LOSS and gives_logits(self.model):
                raise ValueError(
                    f"A model must end in a softmax for {HARD_LOSS}, which takes probabilities. Received: "
                    f"{self.model.name}, which gives logits; see `model.classifier_activation`."
                )
            loss = SOFT_LOSS if self.soft_targets else self.loss
            self.model.compile(self.optimizer, loss, metrics=["accuracy"])
        self.averaging = Averaging(self.model, self.averaging_momentum) if self.averaging_momentum else None
        if getattr(self.preprocessing, "any_size", False) and None not in self.model.input_shape[1:3]:
            raise ValueError(
                f"{type(self.preprocessing).__name__} must go with a model that takes images of any size. Received: "
                f"images of {self.model.input_shape[1:]}."
            )
        data, count = self.examples("train")
        check_batch_size(self.model, self.batch_size // replicas)
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
        self.validation_batches, validation_count = self.evaluation_batches("validation")
        counts = {"training_images": count, "validation_images": validation_count}
        self.data = {**self.data_identity, **counts}  # what a run that is resumed must find again
        if self.sign_statistics:
            Observer(self.model)  # refuses a model without signs before anything is written

    @property
    def data_identity(self) -> dict[str, Any]:
        """Tells the data and the user's own files, a recipe and what it imports, from others; looks at every file."""
        return {
            "class_names": [str(name) for name in self.dataset.class_names],
            "checksum_of_file_names": checksum_of_file_names(self.dataset),
            "bytes_of_splits": bytes_of_splits(self.dataset),
            "checksum_of_recipe": checksum_of_recipe(type(self)),
            "checksum_of_imports": checksum_of_imports(type(self)),
        }

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the model is evaluated on."""
        return input_shape_of(self.model, self.dataset)

    def examples(self, split: str) -> tuple[tf.data.Dataset, int]:
        """The checked examples of a split, as the preprocessing takes them, and their number."""
        return examples_for(self.preprocessing, self.dataset, split, self.image_shape)

    def evaluation_batches(self, split: str) -> tuple[tf.data.Dataset, int]:
        """A whole split in its order, as the model takes it, and the number of its images."""
        data, count = evaluation_batches(self.preprocessing, self.dataset, split, self.image_shape, self.batch_size)
        if self.soft_targets:
            data = data.map(self.soft_targets.evaluate)
        return without_autotuner(data.prefetch(2)), count

    def fit(self, callbacks: Sequence[tf.keras.callbacks.Callback] = (), epoch: int = 0, step: int = 0) -> None:
        """Trains the prepared model to the last epoch.

        # Arguments
            callbacks: called after those of the schedules.
            epoch: to begin with, from 0.
            step: of that epoch, from 0.
        """
        set_precision(self.model, self.precision_in_use)
        schedules = [
            EDESchedule(self.t_min, self.t_max, self.epochs),
            tf.keras.callbacks.LearningRateScheduler(self.learning_rate_at),
            *([self.averaging] if self.averaging else []),
        ]
        loop.fit(
            self.model,
            self.train_batches,
            self.validation_batches,
            [*schedules, *callbacks],
            epoch=epoch,
            step=step,
            silent=not self.chief,
        )

    def train(self, folder: RunFolder, signals: Signals) -> dict[str, Any]:
        """Trains from the newest checkpoint on, tests once and writes all that is to be kept.

        # Returns
            The report.
        """
        model = self.model
        self._precision_in_use = available_precision(self.precision, folder.precision())
        if self._precision_in_use != self.precision:
            self.say(f"Trains in {self._precision_in_use} and not in {self.precision}: {NO_BFLOAT16}.")
        with contextlib.ExitStack() as stack:
            with self.distribution.scope():
                progress, metrics = restore(model, folder.checkpoints)
            if not self.chief:
                # Reading distributed variables takes all workers: the others save too, into a folder that goes.
                folder = RunFolder(stack.enter_context(tempfile.TemporaryDirectory()))
            room = ROOM_FOR_LOGS + BYTES_PER_PARAMETER * model.count_params()
            folder.open(self.configuration, self.data, self._precision_in_use, room)
            lq.models.summary(model, print_fn=self.say)
            if progress.total_steps:
                self.say(f"Going on in {folder.path} from epoch {progress.epoch + 1}, step {progress.step + 1}.")
            if progress.epoch < self.epochs:
                survival = Survival(
                    folder.checkpoints,
                    progress,
                    metrics,
                    steps=self.train_batches.steps,
                    every=self.checkpoint_steps,
                    signals=signals,
                    on_epoch=functools.partial(self.after_epoch, folder),
                )
                logs = tf.keras.callbacks.TensorBoard(folder.path / "tensorboard", write_graph=False)
                # Workers cannot agree on a step to stop at: they stop at once, and go on from the last checkpoint.
                signals.deferred = self.strategy != "multiworker"
                try:
                    self.fit([*self.look_at_signs(folder), logs, survival], progress.epoch, progress.step)
                finally:
                    signals.deferred = False
                    if progress.history:
                        folder.draw_curves(progress.history)
            return self.finish(folder, progress)

    def look_at_signs(self, folder: RunFolder) -> list[tf.keras.callbacks.Callback]:
        """The callback that does, if it shall, on so few validation images that an epoch hardly takes longer."""
        if not self.sign_statistics:
            return []
        trained_on = self.train_batches.steps * self.batch_size
        count = min(MOST_SIGN_IMAGES, max(FEWEST_SIGN_IMAGES, trained_on // 300))
        ((images, _),) = self.validation_batches.unbatch().batch(count).take(1).as_numpy_iterator()
        return [SignStatistics(images, every=self.sign_statistics, log_dir=folder.path / "tensorboard" / "signs")]

    def evaluated_weights(self) -> contextlib.AbstractContextManager:
        """The weights that validation sees, inside a block."""
        return self.averaging.in_place() if self.averaging else contextlib.nullcontext()

    def after_epoch(self, folder: RunFolder, progress: Progress) -> None:
        folder.write_history(progress.history)
        if progress.best() is progress.history[-1]:
            with self.evaluated_weights():
                self.results.save_weights(folder.path / "best.safetensors", progress.history[-1])

    def finish(self, folder: RunFolder, progress: Progress) -> dict[str, Any]:
        """Tests the last epoch's weights and writes them with the report."""
        with self.evaluated_weights():
            _, accuracy = self.model.evaluate(self.test_batches, verbose=0)
            report = make_report(
                type(self).__name__,
                self.model,
                progress,
                seed=self.seed,
                accuracy=accuracy,
                images=self.test_count,
            )
            self.results.save(folder, report)
        return report

    @property
    def results(self) -> Results:
        """Writes the model's weights with what this task knows of the network."""
        names = list(self.dataset.class_names)
        description = description_of(self.model)
        if description is not None:
            description = description.replace(
                input_shape=self.image_shape,
                preprocessing=evaluation_of(self.preprocessing),
                class_names=tuple(names),
                provenance={
                    "task": type(self).__name__,
                    "dataset": type(self.dataset).__name__,
                    "division": division_of(self.dataset),
                    "checksum_of_file_names": self.data["checksum_of_file_names"],
                    "seeds": [self.seed],
                },
            )
        return Results(self.model, description, names)
