"""`sdbnn evaluate` and `sdbnn predict`: a trained network on data."""

from typing import Any

import numpy as np
import tensorflow as tf
from zookeeper import configure
from zookeeper.core.cli import ConfigParam
from zookeeper.tf import Preprocessing

from sdbnn_larq import zoo
from sdbnn_larq.training import Cifar10, Digits, ImageFolder, ImageNet, PhotoFolder, Photos, SmallImages, TFDSPhotos
from sdbnn_larq.training._data_check import check_examples
from sdbnn_larq.training.datasets import read_image
from sdbnn_larq.training.preprocessing import normalize
from sdbnn_larq.zoo._packed import read_metadata

PREPROCESSING: dict[Any, type[Preprocessing]] = {
    Cifar10: SmallImages,
    Digits: SmallImages,
    ImageFolder: SmallImages,
    ImageNet: Photos,
    PhotoFolder: Photos,
    TFDSPhotos: Photos,
}
DATASETS = {dataset.__name__: dataset for dataset in PREPROCESSING}


def build(name: str, weights: str) -> tuple[tf.keras.Model, list[str]]:
    """The model as it was trained, and its class names; numbers where the file does not name them."""
    metadata = read_metadata(weights) if tf.io.gfile.exists(weights) else {}
    names = metadata.get("class_names")
    options = metadata.get("options", {})
    if names:
        options["num_classes"] = len(names)
    model = zoo.get_model(name, weights=weights, **options)
    return model, names or [str(i) for i in range(model.output_shape[-1])]


def evaluate(name: str, weights: str, dataset: str, config: tuple[str, ...]) -> None:
    """Prints the accuracy on a whole test set."""
    if dataset not in DATASETS:
        raise ValueError(f"`dataset` must be one of {', '.join(DATASETS)}. Received: {dataset!r}.")
    source = DATASETS[dataset]()
    configure(source, dict(ConfigParam().convert(item, None, None) for item in config))
    model, _ = build(name, weights)
    if model.output_shape[-1] != source.num_classes:
        raise ValueError(
            f"`dataset` must have the model's {model.output_shape[-1]} classes. "
            f"Received: {dataset} with {source.num_classes}."
        )
    preprocessing = PREPROCESSING[DATASETS[dataset]]()
    configure(preprocessing, {"input_shape": model.input_shape[1:]})
    data, count = source.test(decoders=preprocessing.decoders)
    check_examples(data, f"{dataset}'s test split", source.num_classes, model.input_shape[1:])
    right = sum(
        int(np.sum(np.argmax(model.predict_on_batch(images), axis=-1) == labels))
        for images, labels in data.map(preprocessing, num_parallel_calls=8).batch(250)
    )
    print(f"{name}: {right / count:.2%} of {count:,} test images of {dataset} ({right} right)")


def predict(name: str, images: tuple[str, ...], weights: str, top: int) -> None:
    """Prints the most probable classes of each image."""
    model, names = build(name, weights)
    pixels = np.stack([read_image(path, model.input_shape[1]) for path in images])
    for path, probabilities in zip(images, model.predict(normalize(pixels), verbose=0)):
        best = np.argsort(probabilities)[::-1][:top]
        print(f"{path}: " + ", ".join(f"{names[i]} {probabilities[i]:.1%}" for i in best))
