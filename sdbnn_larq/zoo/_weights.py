"""Loading of weights into a freshly built model."""

import os
from pathlib import Path

import tensorflow as tf

from sdbnn_larq._files import file_sha256
from sdbnn_larq.weights import catalogue
from sdbnn_larq.weights.download import fetch
from sdbnn_larq.weights.packed import load_packed

SUFFIXES = (".h5", ".keras", ".safetensors")


def load_weights(model: tf.keras.Model, weights: str | os.PathLike | None) -> None:
    """Loads weights that fit `model`.

    # Arguments
        model: the model to fill.
        weights: `None` to leave it as it is; the path or the `https://` or `file://` URL of a file of packed weights
            (`.safetensors`, see `save_packed`) or of an HDF5 file of Keras weights (`.h5`); or a tag of the registry,
            such as `"cifar10"`. What a URL names is kept in the Keras cache folder.

    # Raises
        ValueError: if there is no such file or tag, or if what the file holds does not fit the model.
    """
    if weights is None:
        return
    if not isinstance(weights, (str, os.PathLike)):
        raise ValueError(
            "`weights` must be None, a file of weights, its URL or a tag of the registry. "
            f"Received: weights={weights!r}."
        )
    path = _find(model, os.fspath(weights))
    try:
        if path.suffix == ".safetensors":
            load_packed(model, path)
        else:
            _load_hdf5(model, path)
    except ValueError:
        if "://" in os.fspath(weights):  # not every server says how long a file is
            path.unlink(missing_ok=True)
        raise


def _find(model: tf.keras.Model, weights: str) -> Path:
    """The local file that `weights` means."""
    if "://" in weights:
        return fetch(weights, _limit(model))
    path = Path(weights)
    if path.is_file():
        return path
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        raise ValueError(
            "`weights` must be None, a file of weights, its URL or a tag of the registry. "
            f"Received: weights={weights!r}, which is not a file."
        )
    return _find_tag(model, weights)


def _find_tag(model: tf.keras.Model, tag: str) -> Path:
    known = catalogue.tags(model.name)
    if tag not in known:
        raise ValueError(
            f"`weights` must be None, a file of weights, its URL or a tag of {model.name}: "
            f"{', '.join(sorted(known)) or 'there is none yet'}. Received: weights={tag!r}."
        )
    entry = known[tag]
    if "://" in entry.file:
        return fetch(entry.file, entry.size, entry.sha256)
    path = catalogue.folder() / entry.file
    received = file_sha256(path)
    if received != entry.sha256:
        raise ValueError(f"{str(path)!r} must have SHA-256 {entry.sha256}. Received: {received}.")
    return path


def _limit(model: tf.keras.Model) -> int:
    """Bytes that no honest weights file of the model exceeds: twice its float32 parameters, and something for names."""
    return 8 * model.count_params() + 2**22


def _load_hdf5(model: tf.keras.Model, path: Path) -> None:
    try:
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"`weights` must be a file with the weights of {model.name} ({len(model.weights)} arrays, "
            f"{model.count_params():,} parameters). Received: {str(path)!r}, which does not fit: {reason}"
        ) from error
