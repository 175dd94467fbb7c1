"""What a name of weights means: a file, an address or a tag of the catalogue."""

import os
from pathlib import Path
from typing import Any

from sdbnn_larq._files import file_sha256
from sdbnn_larq.weights import catalogue
from sdbnn_larq.weights.description import NetworkDescription, description_of
from sdbnn_larq.weights.download import fetch
from sdbnn_larq.weights.packed import read_description

SUFFIXES = (".safetensors", ".h5", ".hdf5", ".keras")
LARGEST = 2**28  # bytes of a file whose network is not known yet
KINDS = "a packed file (.safetensors), a file of Keras weights (.h5, .keras), its URL or a tag of published weights"


def locate(weights: str | os.PathLike, architecture: str | None = None, limit: int = LARGEST) -> Path:
    """The local file that `weights` names.

    # Arguments
        weights: a path, an `https://` or `file://` URL, or a tag: `"ResNet20/cifar10"`, or `"cifar10"` where the
            architecture is given. A tag goes before a file or folder that happens to have its name.
        architecture: whose weights are wanted.
        limit: bytes beyond which a download is refused.

    # Raises
        ValueError: if there is no such file or tag.
    """
    if not isinstance(weights, (str, os.PathLike)):
        raise ValueError(f"`weights` must be {KINDS}. Received: weights={weights!r}.")
    name = os.fspath(weights)
    if isinstance(name, str) and "://" in name:
        return fetch(name, limit)
    known = {entry.name: entry for entry in catalogue.published(architecture)}
    tag = f"{architecture}/{name}" if architecture and "/" not in name else name
    if tag in known:
        return _published_file(known[tag])
    path = Path(name)
    if path.is_file() and path.suffix in SUFFIXES:
        return path
    if path.suffix in SUFFIXES or path.exists():
        what = "which is not a file" if not path.is_file() else f"which does not end in {', '.join(SUFFIXES)}"
        raise ValueError(f"`weights` must be {KINDS}. Received: weights={name!r}, {what}.")
    of = f" of {architecture}" if architecture else ""
    tags = ", ".join(sorted(known)) or "there is none yet"
    raise ValueError(f"`weights` must be {KINDS}{of}: {tags}. Received: weights={name!r}.")


def _published_file(entry: catalogue.PublishedWeights) -> Path:
    if "://" in entry.file:
        return fetch(entry.file, entry.size, entry.sha256)
    path = catalogue.folder() / entry.file
    received = file_sha256(path)
    if received != entry.sha256:
        raise ValueError(f"{str(path)!r} must have SHA-256 {entry.sha256}. Received: {received}.")
    return path


def describe(model_or_weights: Any) -> NetworkDescription:
    """The description of a network.

    !!! example
        ```python
        zoo.describe("ResNet20/cifar10").input_shape  # (32, 32, 3)
        ```

    # Arguments
        model_or_weights: a model of the zoo, a `convert.ExportedModel`, a packed file, its URL or a tag such as
            `"ResNet20/cifar10"`.

    # Returns
        The network's description.

    # Raises
        ValueError: if it has none, or if there is no such file or tag.
    """
    if isinstance(model_or_weights, (str, os.PathLike)):
        path = locate(model_or_weights)
        if path.suffix != ".safetensors":
            raise ValueError(f"A file must be packed (.safetensors) to hold a description. Received: {str(path)!r}.")
        found = read_description(path)
    else:
        found = description_of(model_or_weights)
    if found is None:
        raise ValueError(
            "A network must have a description, as those of `zoo.load` and of the zoo's architectures have. "
            f"Received: {model_or_weights!r} without."
        )
    return found
