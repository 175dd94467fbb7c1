"""Compares layers as a file of a whole Keras model describes them with the model that its weights shall fill."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

LONGEST = 2**24  # bytes of an honest description
# What has no influence on a prediction: names, training, and where a class is defined.
FREE = {"name", "trainable", "trainable_parts", "dtype", "seed", "t", "k", "momentum", "batch_input_shape"}
FREE |= {"module", "registered_name", "build_config"}
FREE_ENDINGS = ("_initializer", "_regularizer", "_constraint")
OF_THE_INPUT = {"global_pool"}  # layers that are as large as the image makes them


def check_layers(model: tf.keras.Model, path: Path) -> None:
    """Refuses the weights of layers that have the names of the model's and compute something else.

    # Raises
        ValueError: naming the first setting that differs.
    """
    stored = {layer["config"].get("name"): layer["config"] for layer in _layers(path)}
    if not stored:
        return
    for layer in json.loads(model.to_json())["config"]["layers"]:
        name = layer["config"]["name"]
        if name in OF_THE_INPUT:
            continue
        for setting, own, found in _differences(layer["config"], stored.get(name, {}), name):
            raise ValueError(
                f"`weights` must be of a network with {setting}={own}. Received: {str(path)!r}, with {found}."
            )


def _layers(path: Path) -> list[dict[str, Any]]:
    """As `model.save` describes them; none in a file of weights alone, or in one that cannot be read."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("config.json") as file:
                description = file.read(LONGEST)
        else:
            with h5py.File(path) as file:
                description = file.attrs["model_config"]
        layers = json.loads(description)["config"]["layers"]
        return [layer for layer in layers if isinstance(layer["config"], dict)]
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        return []


def _differences(own: Any, stored: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    """Names and both values of settings that are in both and differ."""
    if not (isinstance(own, dict) and isinstance(stored, dict)):
        if own != stored:
            yield name, _short(own), _short(stored)
        return
    for key in own.keys() & stored.keys():
        if key not in FREE and not key.endswith(FREE_ENDINGS):
            yield from _differences(own[key], stored[key], f"{name}.{key}" if key != "config" else name)


def _short(value: Any) -> Any:
    return value.get("class_name", value) if isinstance(value, dict) else value
