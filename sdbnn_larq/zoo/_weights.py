"""Loading of weights into a freshly built network of the zoo."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

from sdbnn_larq.weights import NetworkDescription, description_of, load_file, locate, read_description
from sdbnn_larq.zoo.registry import architecture, get_model

# Arguments that leave the function of the weights as it is: they concern what follows the logits, and training.
FREE = ("classifier_activation", "branch_gamma", "include_top")
GIVEN = ("input_shape", "input_tensor", "weights")  # arguments that are no part of a description


def load(weights: str | os.PathLike, name: str | None = None) -> tf.keras.Model:
    """Builds the network that a file of weights, or a tag, holds.

    Architecture, arguments, input shape, preprocessing and class names are those of the weights' description.

    !!! example
        ```python
        model = zoo.load("ResNet20/cifar10")
        ```

    # Arguments
        weights: a tag of published weights, such as `"ResNet20/cifar10"`; the path or the URL (`https://`, `file://`)
            of a packed file (`.safetensors`), as training leaves it; or Keras weights (`.h5`, `.keras`), which need
            `name`.
        name: the architecture that is expected, e.g. `"ResNet20"`.

    # Returns
        A Keras model instance, with its description.

    # Raises
        ValueError: if there is no such file or tag, if it is damaged, if it holds no description and `name` is not
            given, or if it is not of the architecture `name`.
    """
    path = locate(weights, name)
    with forgetting_bad_downloads(weights, path):
        if path.suffix != ".safetensors":
            if name is None:
                raise ValueError(
                    "`name` must be the architecture of a file of Keras weights, which does not say it. "
                    "Received: name=None."
                )
            return get_model(name, weights=path)
        description = read_description(path)
        if description is None:
            raise ValueError(
                "`weights` must have a description to be built from; `zoo.load_packed` fills a model that you build. "
                f"Received: {os.fspath(weights)!r} without."
            )
        if name not in (None, description.architecture):
            raise ValueError(f"`weights` must be of {name}. Received: weights of {description.architecture}.")
        _check_counts(description, path)
        return build(description, weights=path)


def _check_counts(description: NetworkDescription, path: Path) -> None:
    """Refuses a description of more channels or classes than its file has bytes, before memory is taken for them."""
    size = path.stat().st_size
    for name in ("num_classes", "filters"):
        if isinstance(value := description.arguments.get(name), int) and value > size:
            raise ValueError(f"`weights` of {size:,} bytes must be of a smaller network. Received: {name}={value}.")


def build(description: NetworkDescription, **changes: Any) -> tf.keras.Model:
    """Instantiates the network that a description describes.

    # Arguments
        description: of a registered architecture.
        **changes: arguments of the architecture that shall differ, and `weights`.

    # Raises
        ValueError: if the architecture or one of its arguments is not known, or has a value of another type.
    """
    defaults = architecture(description.architecture).defaults
    for name, value in description.arguments.items():
        if name in GIVEN or name not in defaults or not _is_like(value, defaults[name]):
            raise ValueError(
                f"A description of {description.architecture} must have this version's arguments. "
                f"Received: {name}={value!r}."
            )
    arguments = {**description.arguments, "input_shape": description.input_shape, **changes}
    return get_model(description.architecture, **arguments)


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value has the type of an argument's default, of which `None` stands for a string."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, (int, float)):
        if isinstance(default, int):
            return isinstance(value, int) and value > 0
        return isinstance(value, (int, float)) and 0 <= value < float("inf")
    return value is None or isinstance(value, str)


def load_weights(model: tf.keras.Model, name: str, weights: str | os.PathLike) -> NetworkDescription | None:
    """Loads weights that fit a network of the zoo, with or without its top.

    # Arguments
        model: as its factory built it.
        name: its architecture.
        weights: as for `load`, or a tag of the architecture, such as `"cifar10"`.

    # Returns
        The description of the weights; `None` where the file holds none.

    # Raises
        ValueError: if there is no such file or tag, or if what it holds does not fit the model.
    """
    path = locate(weights, name, limit=_limit(model))
    own = description_of(model)
    with forgetting_bad_downloads(weights, path):
        stored = read_description(path) if path.suffix == ".safetensors" else None
        if own is not None and stored is not None:
            _check(own, stored, os.fspath(weights))
        classes = _classes(path, stored)
        if own is not None and classes is not None and own.arguments.get("include_top") is False:
            _load_body(model, own, stored, classes, path)
        else:
            load_file(model, path)
    return stored


def _load_body(
    model: tf.keras.Model, own: NetworkDescription, stored: NetworkDescription | None, classes: int, path: Path
) -> None:
    """Fills a network without top from a file that has one: all of it is built and loaded, and the body copied."""
    arguments = {**own.arguments, "include_top": True, "num_classes": classes}
    shape = stored.input_shape if stored else None
    whole = get_model(own.architecture, **arguments, input_shape=shape, weights=path)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(whole.get_layer(layer.name).get_weights())


def _classes(path: Path, stored: NetworkDescription | None) -> int | None:
    """How many classes the top in a file has; `None` for a file without top."""
    if stored is not None:
        return None if stored.arguments.get("include_top") is False else stored.arguments.get("num_classes")
    try:
        with h5py.File(path) as file:
            layers = file.get("model_weights", file)
            return int(layers["logits/logits/bias:0"].shape[0]) if "logits/logits/bias:0" in layers else None
    except Exception:  # anything may be in a stranger's file; `load_file` says what is wrong with it
        return None


def _check(own: NetworkDescription, stored: NetworkDescription, weights: str) -> None:
    """Compares the network that the user asked for with that of the weights."""
    if own.architecture != stored.architecture:
        raise ValueError(
            f"`weights` must be of {own.architecture}. Received: {weights!r}, weights of {stored.architecture}."
        )
    without_top = own.arguments.get("include_top") is False
    if not without_top and stored.arguments.get("include_top") is False:
        raise ValueError(f"`weights` must have a classifier, or `include_top` be False. Received: {weights!r} without.")
    defaults = architecture(own.architecture).defaults
    for name in sorted(own.arguments.keys() | stored.arguments.keys()):
        if name in FREE or (without_top and name == "num_classes"):
            continue
        wanted, found = (description.arguments.get(name, defaults.get(name)) for description in (own, stored))
        if wanted != found and name == "num_classes":
            raise ValueError(
                f"`num_classes` must be the {found} of the weights, or `include_top` False, for a head of your own. "
                f"Received: num_classes={wanted} with weights={weights!r}."
            )
        if wanted != found:
            raise ValueError(
                f"`{name}` must be {found!r}, with which the weights were trained; `zoo.load` takes it from them. "
                f"Received: {name}={wanted!r} with weights={weights!r}."
            )


@contextlib.contextmanager
def forgetting_bad_downloads(weights: str | os.PathLike, path: Path) -> Iterator[None]:
    """Removes a downloaded file that turns out not to fit: not every server says how long a file is."""
    try:
        yield
    except ValueError:
        if "://" in os.fspath(weights):
            path.unlink(missing_ok=True)
        raise


def _limit(model: tf.keras.Model) -> int:
    """Bytes that no honest weights file of the model exceeds: twice its float32 parameters, and something for names."""
    return 8 * model.count_params() + 2**22
