"""`sdbnn evaluate` and `sdbnn predict`: a trained network on data."""

import functools
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from zookeeper import configure
from zookeeper.tf import Dataset, Preprocessing

from sdbnn_larq import convert, zoo
from sdbnn_larq.cli._fields import parse_fields
from sdbnn_larq.training import Cifar10, Digits, ImageFolder, ImageNet, PhotoFolder, Photos, SmallImages, TFDSPhotos
from sdbnn_larq.training._data_check import check_examples
from sdbnn_larq.training.datasets import read_image
from sdbnn_larq.training.preprocessing import denormalize, normalize
from sdbnn_larq.weights import catalogue
from sdbnn_larq.weights.catalogue import Entry
from sdbnn_larq.weights.packed import read_metadata

PREPROCESSING: dict[Any, type[Preprocessing]] = {
    Cifar10: SmallImages,
    Digits: SmallImages,
    ImageFolder: SmallImages,
    ImageNet: Photos,
    PhotoFolder: Photos,
    TFDSPhotos: Photos,
}
DATASETS = {dataset.__name__: dataset for dataset in PREPROCESSING}


def published(name: str, weights: str) -> Entry | None:
    """The registry's entry, if `weights` is a tag and no file."""
    return None if os.path.exists(weights) else catalogue.tags(name).get(weights)


def build(name: str, weights: str) -> tuple[tf.keras.Model, list[str]]:
    """The model as it was trained, and its class names; numbers where nothing names them."""
    if entry := published(name, weights):
        return zoo.get_model(name, weights=weights, **entry.arguments), entry.class_names
    metadata = read_metadata(weights)
    names = metadata.get("class_names")
    options = metadata.get("options", {})
    if names:
        options["num_classes"] = len(names)
    model = zoo.get_model(name, weights=weights, **options)
    return model, names or [str(i) for i in range(model.output_shape[-1])]


def test_set(dataset: str, config: Iterable[str]) -> Dataset:
    """A data set with its fields set, e.g. by `"data_dir=DIR"`."""
    if dataset not in DATASETS:
        raise ValueError(f"`dataset` must be one of {', '.join(DATASETS)}. Received: {dataset!r}.")
    source = DATASETS[dataset]()
    configure(source, parse_fields(config, DATASETS[dataset]))
    return source


def count_right(network: tf.keras.Model | convert.ExportedModel, source: Dataset) -> tuple[int, int]:
    """How many of a whole test set the network classifies rightly, and of how many."""
    name = type(source).__name__
    if network.output_shape[-1] != source.num_classes:
        raise ValueError(
            f"`dataset` must have the model's {network.output_shape[-1]} classes. "
            f"Received: {name} with {source.num_classes}."
        )
    preprocessing = PREPROCESSING[type(source)]()
    configure(preprocessing, {"input_shape": network.input_shape[1:]})
    data, count = source.test(decoders=preprocessing.decoders)
    check_examples(data, f"{name}'s test split", source.num_classes, network.input_shape[1:])

    def run(images: np.ndarray) -> np.ndarray:
        if isinstance(network, tf.keras.Model):
            return network.predict_on_batch(images)
        # A file that takes pixels normalises them itself.
        return network.predict(np.asarray(denormalize(images)) if network.dtype == np.uint8 else images)

    right = sum(
        int(np.sum(np.argmax(run(images), axis=-1) == labels))
        for images, labels in data.map(preprocessing, num_parallel_calls=8).batch(250).as_numpy_iterator()
    )
    return right, count


def evaluate(name: str, weights: str | None, dataset: str | None, precision: str, config: Iterable[str]) -> None:
    """Prints the accuracy on a whole test set, by default that of published weights."""
    exported = is_exported(name, weights)
    if precision != "f32" and Path(name).suffix != ".xml":
        raise ValueError(f"--precision bf16 must go with an .xml file. Received: {name}.")
    entry = None if exported else published(name, str(weights))
    dataset = dataset or (entry.dataset if entry else "Cifar10")
    source = test_set(dataset, config)
    network = convert.ExportedModel(name, precision=precision) if exported else build(name, str(weights))[0]
    right, count = count_right(network, source)
    print(f"{name}: {right / count:.2%} of {count:,} test images of {dataset} ({right} right)")


def is_exported(name: str, weights: str | None) -> bool:
    """Whether `name` is an exported file and no architecture, which needs weights."""
    exported = Path(name).suffix in (".tflite", ".xml")
    if exported == bool(weights):
        raise ValueError("--weights must be given for an architecture and not for an exported file.")
    return exported


def predict(name: str, images: tuple[str, ...], weights: str | None, top: int, runtime: str) -> None:
    """Prints the most probable classes of each image."""
    exported = is_exported(name, weights)
    with tempfile.TemporaryDirectory() as folder:
        if exported:
            network = convert.ExportedModel(name)
            shape, dtype, run = network.input_shape, network.dtype, network.predict
            names = network.metadata.get("class_names", [])
        else:
            model, names = build(name, str(weights))
            shape, dtype, run = model.input_shape, np.dtype(np.float32), functools.partial(model.predict, verbose=0)
            if runtime == "lce":
                convert.to_lce(model, Path(folder, "model.tflite"), batch_size=1, verify=False, allow_float=True)
                run = convert.ExportedModel(Path(folder, "model.tflite")).predict
            elif runtime == "openvino":
                convert.to_openvino(model, Path(folder, "model.xml"), verify=False, allow_float=True)
                run = convert.ExportedModel(Path(folder, "model.xml")).predict
        pixels = np.stack([read_image(path, shape[1]) for path in images])
        outputs = run(pixels if dtype == np.uint8 else np.asarray(normalize(pixels)))
    if outputs.ndim != 2:
        raise ValueError(f"{name} must have a classifier. Received: outputs of shape {outputs.shape}.")
    names = names or [str(i) for i in range(outputs.shape[-1])]
    for path, probabilities in zip(images, outputs):
        best = np.argsort(probabilities)[::-1][:top]
        print(f"{path}: " + ", ".join(f"{names[i]} {probabilities[i]:.1%}" for i in best))
