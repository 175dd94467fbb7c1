"""A trained network on images: what the command line and a notebook both call."""

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from zookeeper.tf import Dataset

from sdbnn_larq import convert, zoo
from sdbnn_larq.convert.targets import TARGETS
from sdbnn_larq.preprocessing import known_preprocessing, normalize
from sdbnn_larq.training.evaluation_data import pixel_batches, readable
from sdbnn_larq.weights import NetworkDescription, describe
from sdbnn_larq.zoo.registry import is_architecture

BATCH = 250  # images
Network: TypeAlias = Any  # a Keras model, or `convert.ExportedModel`


@dataclass(frozen=True)
class Accuracy:
    """What a network decides on a whole test set.

    # Attributes
        confusion: integers `(classes, classes)`: how many images of each class, by row, are taken for each, by column.
    """

    confusion: np.ndarray

    @property
    def right(self) -> int:
        """Images that are classified correctly."""
        return int(np.trace(self.confusion))

    @property
    def images(self) -> int:
        return int(self.confusion.sum())

    @property
    def share(self) -> float:
        """Of the images, those that are classified correctly; from 0 to 1."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of `share`: what other images of the same kind would give, for these weights."""
        n, z = self.images, NormalDist().inv_cdf(0.975)
        middle, half = (
            self.share + z * z / (2 * n),
            z * math.sqrt(self.share * (1 - self.share) / n + (z / (2 * n)) ** 2),
        )
        low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
        return max(low, 0.0), min(high, 1.0)  # rounding may pass the ends


def load_network(name: str, weights: str | os.PathLike | None = None, *, precision: str = "f32") -> Network:
    """The network that a command names.

    !!! example
        ```python
        network = load_network("ResNet20/cifar10")
        ```

    # Arguments
        name: an exported file (`.tflite`, `.xml`), a file or tag of weights as for `zoo.load`, or, with `weights`, an
            architecture.
        weights: a file or tag of weights of the architecture `name`.
        precision: of an exported `.xml` file's float operations, `"f32"` or `"bf16"`.

    # Raises
        ValueError: if there is no such file or tag, or if an architecture has no weights.
    """
    exported = Path(name).suffix in [target.suffixes[0] for target in TARGETS.values()]
    if exported and weights is not None:
        raise ValueError(f"An exported file must be given without --weights. Received: {name}.")
    if precision != "f32" and Path(name).suffix != ".xml":
        raise ValueError(f"`precision` must be f32 but for an .xml file. Received: {precision} with {name}.")
    if exported:
        return convert.ExportedModel(name, precision=precision)
    if weights is not None:
        return zoo.load(weights, name)
    if is_architecture(name):
        raise ValueError(f"An architecture must have weights (--weights FILE or TAG). Received: {name} without.")
    return zoo.load(name)


def runner(network: Network, runtime: str = "keras") -> Callable[[np.ndarray], np.ndarray]:
    """A function from a batch of what `zoo.preprocess_input` gives to the network's outputs.

    # Arguments
        network: in Keras or exported.
        runtime: `"keras"`, or an export target in which a Keras network shall run, e.g. `"openvino"`.
    """
    if not isinstance(network, tf.keras.Model):
        if runtime not in ("keras", network.runtime):
            raise ValueError(f"An exported file must run in {network.runtime}, its own runtime. Received: {runtime}.")
        return network.predict
    if runtime == "keras":
        return lambda images: np.asarray(network.predict_on_batch(images))
    target = TARGETS[runtime]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"network{target.suffixes[0]}")
        target.export(network, path, batch_size=1, verify=False, allow_float=True)
        return convert.ExportedModel(path).predict


def predict(network: Network, images: Sequence[Any], runtime: str = "keras") -> np.ndarray:
    """The outputs of a network for images of any size, prepared as its description says.

    # Arguments
        network: with a description.
        images: paths, Pillow images or pixels, as for `zoo.preprocess_input`.
        runtime: as for `runner`.

    # Returns
        float32 `(n, classes)`.

    # Raises
        ValueError: if an image cannot be read, or if the network has no classifier.
    """
    inputs = zoo.preprocess_input(images, network)
    if len(network.output_shape) != 2:
        raise ValueError(f"A network must have a classifier. Received: outputs of shape {network.output_shape}.")
    run = runner(network, runtime)
    return np.concatenate([run(inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)])


def evaluate(network: Network, dataset: Dataset, run: Callable[[np.ndarray], np.ndarray] | None = None) -> Accuracy:
    """The accuracy of a network on a whole test set.

    # Arguments
        network: with a description.
        dataset: one of `sdbnn_larq.training`, configured.
        run: computes the network's outputs for a batch of images in another way; by default the network does.

    # Raises
        ValueError: if the data set's classes are not the network's; they may come in another order.
    """
    description = describe(network)
    takes_pixels = getattr(network, "dtype", None) == np.uint8
    preprocessing = known_preprocessing(description)
    run = run or runner(network)
    data, _ = pixel_batches(dataset, "test", description.input_shape, preprocessing, BATCH)
    output_of = _outputs_of_labels(description, network.output_shape[-1], dataset)
    confusion = np.zeros((len(output_of), len(output_of)), int)
    for pixels, labels in readable(data):
        inputs = pixels if takes_pixels else normalize(pixels, preprocessing)
        outputs = np.asarray(run(inputs))
        if not np.isfinite(outputs).all():
            raise ValueError("The outputs of a network must be finite. Received: NaN or infinity for a test image.")
        np.add.at(confusion, (output_of[labels], np.argmax(outputs, axis=-1)), 1)
    return Accuracy(confusion)


def at_size(network: tf.keras.Model, size: int) -> tf.keras.Model:
    """The same network for square images of another size.

    # Arguments
        network: of a registered architecture, with a description.
        size: pixels of a side.

    # Raises
        ValueError: if the network is an exported file, which takes images of one size, or has weights for each pixel.
    """
    if not isinstance(network, tf.keras.Model):
        raise ValueError("--input-size must be left out for an exported file, which takes images of one size.")
    description = describe(network).replace(input_shape=(size, size, 3))
    other = zoo.build(description)
    if [weight.shape for weight in other.weights] != [weight.shape for weight in network.weights]:
        raise ValueError(
            f"--input-size must be left out for {description.architecture}, whose classifier has weights for each "
            f"pixel. Received: {size}."
        )
    other.description = description
    other.set_weights(network.get_weights())
    return other


def _outputs_of_labels(description: NetworkDescription, outputs: int, dataset: Dataset) -> np.ndarray:
    """Which output of the network stands for each label of the data set: that of the same name, if names are known."""
    name, names = type(dataset).__name__, description.class_names
    if outputs != dataset.num_classes:
        raise ValueError(
            f"`dataset` must have the model's {outputs} classes. Received: {name} with {dataset.num_classes}."
        )
    if names is None:
        return np.arange(outputs)
    found = [str(found) for found in dataset.class_names]
    if found == list(names):
        return np.arange(outputs)
    if sorted(found) != sorted(names) or len(set(names)) < outputs:  # ImageNet has two cranes
        label = next(label for label, expected in enumerate(names) if found[label] != expected)
        raise ValueError(
            f"`dataset` must have the model's classes. Received: {name}, whose class {label} is {found[label]!r}, not "
            f"{names[label]!r}."
        )
    return np.array([names.index(label) for label in found])
