"""Fine-tuning: a network trained on one data set learns another, at first its new classifier and then all of it."""

import inspect
import math
import os
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from zookeeper import ComponentField, Field, factory
from zookeeper.tf import Dataset

from sdbnn_larq import zoo
from sdbnn_larq.training.components import default_of
from sdbnn_larq.training.datasets import ImageFolder
from sdbnn_larq.training.evaluation_data import evaluation_of
from sdbnn_larq.training.experiment import TrainSDBNN
from sdbnn_larq.training.photo_datasets import PhotoFolder
from sdbnn_larq.training.photos import Photos
from sdbnn_larq.training.preprocessing import SmallImages

CLASSIFIER = "logits"  # the layer's name, in every network of the zoo


def _is_keras_file(weights: str | os.PathLike) -> bool:
    return os.fspath(weights).endswith((".h5", ".keras"))


def with_new_classifier(
    weights: str | os.PathLike, num_classes: int, architecture: str | None = None, seed: int = 0
) -> tf.keras.Model:
    """Builds the network of some weights with an untrained classifier, ready to be trained on.

    Its 1-bit kernels get latent weights as `spread_magnitudes` makes them.

    !!! example
        ```python
        model = with_new_classifier("ResNet20/cifar10", num_classes=3)
        ```

    # Arguments
        weights: as for `zoo.load`: a tag, the path of a packed file, a URL, or an HDF5 file (`.h5`).
        num_classes: of the new classifier.
        architecture: of an HDF5 file, which does not say it. From such a file everything but the head is loaded.
        seed: of the latent weights' magnitudes.

    # Returns
        A Keras model instance with a softmax, described by `zoo.describe`.

    # Raises
        ValueError: if there are no such weights, or if an HDF5 file comes without `architecture`.
    """
    if _is_keras_file(weights):
        if architecture is None:
            raise ValueError(
                "`architecture` must be given for a file of Keras weights, which does not say it. Received: None."
            )
        size = zoo.architecture(architecture).factory.image_size
        source = zoo.get_model(architecture, weights=weights, include_top=False, input_shape=(size, size, 3))
    else:
        source = zoo.load(weights, architecture)
    old = zoo.describe(source)
    kept = {
        name: value for name, value in old.arguments.items() if name not in ("include_top", "classifier_activation")
    }
    new = old.replace(
        arguments={**kept, "num_classes": num_classes},
        class_names=None,
        provenance={},
    )
    model = zoo.build(new)
    model.description = new
    for layer in source.layers:
        if layer.weights and layer.name != CLASSIFIER:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    spread_magnitudes(model, seed)
    return model


def spread_magnitudes(model: tf.keras.Model, seed: int = 0) -> None:
    r"""Gives latent weights that a packed file left with one magnitude a channel magnitudes that differ.

    A packed file keeps signs and each channel's mean magnitude \\(m\\). Weights of one magnitude are all equally far
    from a change of their sign: none changes it, and then many do at once. Here the magnitudes are drawn anew as
    \\(m \sqrt{\pi / 2} \, |n|\\), n standard normal, whose mean is \\(m\\). No sign changes, so that the network
    predicts what it did. Kernels whose magnitudes differ already, those of latent weights, stay as they are.

    # Arguments
        model: a network of the zoo.
        seed: of the magnitudes.
    """
    random = np.random.RandomState(seed)
    for layer in model.layers:
        quantizer = getattr(layer, "kernel_quantizer", None)
        if quantizer is None or getattr(quantizer, "precision", None) != 1:
            continue
        kernel = getattr(layer.kernel, "latent_variable", layer.kernel)
        old = kernel.numpy()
        magnitude = np.abs(old)
        if not (magnitude == magnitude[(0,) * (old.ndim - 1)]).all():
            continue
        # Weight self-distribution shifts by a share of the mean: what lies closer to 0 could change its sign.
        factor = np.maximum(math.sqrt(math.pi / 2) * np.abs(random.standard_normal(old.shape)), 0.05)
        new = (old * factor).astype(old.dtype)
        if np.array_equal(quantizer(tf.constant(new)), quantizer(tf.constant(old))):
            kernel.assign(new)


class HeadFirst(tf.keras.callbacks.Callback):
    """Trains the classifier alone in the first epochs, and all layers after them.

    The optimizer must be built for all of them.

    # Arguments
        epochs: with the classifier alone.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs
        self.alone: bool | None = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.alone == (epoch < self.epochs):
            return
        self.alone = epoch < self.epochs
        for layer in self.model.layers:
            layer.trainable = layer.name == CLASSIFIER or not self.alone
        self.model.make_train_function(force=True)  # the old one has the old layers in it

    def on_train_end(self, logs=None):
        self.alone = None
        for layer in self.model.layers:
            layer.trainable = True


@factory
class FineTunedNetwork:
    """The network of trained weights, with a new classifier for the classes of the data set."""

    dataset: Dataset = ComponentField()
    weights: str = Field()
    architecture: Optional[str] = Field(None)
    seed: int = Field(0)

    def build(self) -> tf.keras.models.Model:
        return with_new_classifier(self.weights, self.dataset.num_classes, self.architecture, self.seed)


class TrainFineTuned(TrainSDBNN):
    """Trains on from weights: `head_epochs` of the new classifier alone, then all layers."""

    weights: str = Field()  # a tag, a packed file, a URL, or an HDF5 file
    architecture: Optional[str] = Field(None)  # of an HDF5 file, which does not say it
    head_epochs: int = Field()
    head_learning_rate: float = Field()  # constant; `learning_rate` is that of all layers, at first

    def __pre_configure__(self, conf: Mapping[str, Any]) -> dict[str, Any]:
        """Prepares images as the weights' description says."""
        conf = super().__pre_configure__(dict(conf))
        default = type(self).__component_fields__["weights"]._default
        weights = conf.get("weights", default if isinstance(default, str) else None)
        if weights is None or _is_keras_file(weights):
            return conf
        description = zoo.describe(weights)
        if description.preprocessing != zoo.PHOTOGRAPHS:
            return conf
        changes: dict[str, Any] = {}
        for name, small, photographs in (("dataset", ImageFolder, PhotoFolder), ("preprocessing", SmallImages, Photos)):
            chosen, fields = default_of(type(self), name)
            if name not in conf and (chosen is small or not inspect.isclass(chosen)):  # one of the user's own stays
                changes[name] = photographs.__name__
                known = fields.keys() & photographs.__component_fields__.keys()
                changes |= {f"{name}.{field}": fields[field] for field in known}
        own, _ = default_of(type(self), "preprocessing")
        if "preprocessing" in {**changes, **conf} or "input_shape" in own.__component_fields__:
            changes["preprocessing.input_shape"] = description.input_shape
        return {**changes, **conf}

    def check(self) -> None:
        super().check()
        if not 0 <= self.head_epochs <= self.epochs:
            raise ValueError(
                f"`head_epochs` must be from 0 to the {self.epochs} epochs. Received: head_epochs={self.head_epochs}."
            )
        if not 0 <= self.head_learning_rate < math.inf:
            raise ValueError(
                f"`head_learning_rate` must be 0 or more. Received: head_learning_rate={self.head_learning_rate}."
            )
        if not _is_keras_file(self.weights):
            wanted, own = zoo.describe(self.weights).preprocessing, evaluation_of(self.preprocessing)
            if wanted not in (None, own):
                raise ValueError(
                    f"`preprocessing` must prepare images as those of the weights were, {wanted}. Received: {own}."
                )

    def learning_rate_at(self, epoch: int) -> float:
        """That of the classifier, then cosine to 0, per epoch."""
        if epoch < self.head_epochs:
            return float(self.head_learning_rate)
        share = (epoch - self.head_epochs) / (self.epochs - self.head_epochs)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def fit(self, callbacks=(), epoch=0, step=0) -> None:
        super().fit([HeadFirst(self.head_epochs), *callbacks], epoch, step)
