"""Weights files of trained models: Keras's HDF5, with what is needed to use them rightly as an attribute."""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

ATTRIBUTE = "sdbnn_larq"


def save_weights(model: tf.keras.Model, path: str | os.PathLike, metadata: dict[str, Any]) -> None:
    """Saves a model's weights and `metadata` (as JSON) under a temporary name, then renames."""
    temporary = Path(path).with_suffix(".partial.h5")
    model.save_weights(temporary)
    with h5py.File(temporary, "r+") as file:
        file.attrs[ATTRIBUTE] = json.dumps(metadata)
    os.replace(temporary, path)


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """The `metadata` of `save_weights`, empty for a file of another origin."""
    if not h5py.is_hdf5(path):
        return {}
    with h5py.File(path, "r") as file:
        return json.loads(file.attrs.get(ATTRIBUTE, "{}"))
