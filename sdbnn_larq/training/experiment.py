"""The experiment: a zookeeper task trains a model on a data set and reports."""

import json
import math
import os
import statistics
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

import larq as lq
import tensorflow as tf
from larq.models import ModelProfile
from zookeeper import ComponentField, Field
from zookeeper.core.component import base_getattr
from zookeeper.tf import Experiment, Preprocessing

from sdbnn_larq.callbacks import EDESchedule
from sdbnn_larq.training._data_check import check_examples
from sdbnn_larq.training._weights_file import save_weights
from sdbnn_larq.training.optimizers import SGDL2
from sdbnn_larq.training.preprocessing import SmallImages

OPTIONS = ("self_distribution", "binary_weights", "binary")  # that weights need to be used again


class Throughput(tf.keras.callbacks.Callback):
    """Training images a second of each epoch, validation excluded."""

    def __init__(self, images: int):
        super().__init__()
        self.images = images
        self.epochs: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.began: float | None = time.perf_counter()

    def on_test_begin(self, logs=None):
        if self.began is not None:
            self.epochs.append(self.images / (time.perf_counter() - self.began))
        self.began = None

    def images_per_second(self) -> float:
        """The median epoch's; the first, which compiles the graph, counts only if there is no other."""
        return statistics.median(self.epochs[1:] or self.epochs)


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
    seed: int = Field(0)
    data_dir: Optional[str] = Field(None)  # reaches the data set

    @Field
    def output_dir(self) -> str:
        return os.path.join("runs", f"{type(self).__name__}-{datetime.now():%Y%m%d-%H%M%S}")

    @Field
    def optimizer(self):
        return SGDL2(self.learning_rate, l2=self.weight_decay, momentum=self.momentum)

    def learning_rate_at(self, epoch: int) -> float:
        """Cosine to 0, per epoch."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))

    def batches(self, split: str) -> tuple[tf.data.Dataset, int]:
        """Checked and cached batches of a split as the model takes them, and the number of images."""
        training = split == "train"
        data, count = getattr(self.dataset, split)(decoders=self.preprocessing.decoders)
        data = data.cache()
        name = f"{type(self.dataset).__name__}'s {split} split"
        check_examples(data, name, self.dataset.num_classes, self.model.input_shape[1:])
        if training:
            data = data.shuffle(count, seed=self.seed)
        data = data.batch(self.batch_size, drop_remainder=training)
        data = data.map(lambda batch: self.preprocessing(batch, training=training)).prefetch(2)
        # tf.data's autotuner delays the end of an iterator to its next waking, 0.01 · (2ⁿ − 1) s after the epoch began.
        options = tf.data.Options()
        options.autotune.enabled = False
        return data.with_options(options), count

    def check(self) -> None:
        """Checks fields that nothing else checks, before anything is written."""
        for name, low in (("epochs", 1), ("batch_size", 1)):
            if getattr(self, name) < low:
                raise ValueError(f"`{name}` must be at least {low}. Received: {name}={getattr(self, name)}.")

    def run(self) -> None:
        began = time.perf_counter()
        self.check()
        tf.keras.utils.set_random_seed(self.seed)
        model = self.model
        train, train_count = self.batches("train")
        validation, _ = self.batches("validation")
        test, test_count = self.batches("test")
        if train_count < self.batch_size:
            raise ValueError(
                f"`batch_size` must be at most the {train_count} training images. Received: {self.batch_size}."
            )
        output = Path(self.output_dir)
        output.mkdir(parents=True, exist_ok=True)
        model.compile(self.optimizer, self.loss, metrics=["accuracy"])
        lq.models.summary(model)
        throughput = Throughput(train_count // self.batch_size * self.batch_size)
        model.fit(
            train,
            epochs=self.epochs,
            validation_data=validation,
            callbacks=[
                throughput,
                EDESchedule(self.t_min, self.t_max, self.epochs),
                tf.keras.callbacks.LearningRateScheduler(self.learning_rate_at),
                tf.keras.callbacks.TerminateOnNaN(),
                tf.keras.callbacks.CSVLogger(str(output / "history.csv")),
            ],
        )
        _, accuracy = model.evaluate(test, verbose=0)
        report = {
            "task": type(self).__name__,
            "test_accuracy": accuracy,
            "test_images": test_count,
            "epochs": self.epochs,
            "seconds": round(time.perf_counter() - began, 1),
            "images_per_second": round(throughput.images_per_second(), 1),
            "model_bytes": ModelProfile(model).memory // 8,
            "seed": self.seed,
        }
        self.save(output, report)
        print(
            f"{report['task']}: {accuracy:.2%} of {test_count:,} test images after {self.epochs} epochs, "
            f"{report['seconds']} s, {report['images_per_second']} images/s in training, "
            f"1-bit model {report['model_bytes'] / 1024:.1f} KiB; saved in {output}"
        )

    def save(self, output: Path, report: dict[str, Any]) -> None:
        """Writes the model, its weights and the report, each under a temporary name first."""
        temporary = output / "model.partial.keras"
        self.model.save(temporary)
        os.replace(temporary, output / "model.keras")
        factory = base_getattr(self, "model")
        options = {name: getattr(factory, name) for name in OPTIONS if hasattr(factory, name)}
        metadata = {"options": options, "class_names": list(self.dataset.class_names), "report": report}
        save_weights(self.model, output / "weights.h5", metadata)
        temporary = output / "report.partial.json"
        temporary.write_text(json.dumps(report, indent=2) + "\n")
        os.replace(temporary, output / "report.json")
