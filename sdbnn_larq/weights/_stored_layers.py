"""Compares the layers that a file of a whole Keras model describes with those that its weights will fill."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

Config = dict[str, Any]

LARGEST = 2**24  # bytes; descriptions of the zoo's networks are far smaller
# What has no influence on a prediction: names, training, and where a class is defined.
FREE = {"name", "trainable", "trainable_parts", "dtype", "seed", "t", "k", "momentum", "batch_input_shape"}
FREE |= {"module", "registered_name", "build_config"}
FREE_ENDINGS = ("_initializer", "_regularizer", "_constraint")
ARGUMENTS = {  # of the zoo's architectures, which make the settings
    "kernel_quantizer.scale": "wsd_scale",
    "mode": "asd_mode",
    "reduction": "asd_reduction",
    "units": "num_classes",
    "kernel_quantizer": "binary and self_distribution",
    "input_quantizer": "binary",
}
OWN_KINDS = {"ActivationSelfDistribution", "HardTanh"}  # which a network may lack altogether


def check_layers(model: tf.keras.Model, path: Path) -> None:
    """Refuses a whole Keras model whose layers compute something else than those that its weights will fill.

    Layers are matched by name, or by order where all names differ. Layers without weights that are not this package's,
    such as preprocessing in front of the network, are left out.

    # Raises
        ValueError: naming the first setting that differs.
    """
    own = [config for layer in model.layers if (config := _own_config(layer))]
    stored_layers = _stored_configs(path)
    for config, stored in _pairs(own, stored_layers):
        for setting, value, found in _differences(config, stored, ""):
            setting = setting.lstrip(".")
            name = ".".join(filter(None, (config["config"]["name"], setting)))
            argument = f" ({ARGUMENTS[setting]})" if setting in ARGUMENTS else ""
            raise ValueError(
                f"`weights` must be of a network with {name}={value}{argument}. "
                f"Received: {str(path)!r}, with {name}={found}."
            )
    if surplus := _surplus(own, stored_layers):
        raise ValueError(
            f"`weights` must be of a network without {surplus['config']['name']} ({_class_of(surplus)}). "
            f"Received: {str(path)!r}."
        )


def _own_config(layer: tf.keras.layers.Layer) -> Config | None:
    """As `model.save` describes a layer; `None` for one that is not compared."""
    if not (layer.weights or type(layer).__module__.startswith("sdbnn_larq.")):
        return None
    try:
        return json.loads(json.dumps(tf.keras.utils.serialize_keras_object(layer)))
    except (NotImplementedError, TypeError, ValueError):  # a user's layer that cannot be saved
        return None


def _stored_configs(path: Path) -> list[Config]:
    """As `model.save` described the layers; none in a file of weights alone, or in one that cannot be read."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("config.json") as file:
                description = file.read(LARGEST)
        else:
            with h5py.File(path) as file:
                description = file.attrs["model_config"]
        layers = json.loads(description)["config"]["layers"]
        return [layer for layer in layers if isinstance(layer["config"]["name"], str)]
    except Exception:  # anything may be in a stranger's file; loading the weights says what is wrong with it
        return []


def _pairs(own: list[Config], stored: list[Config]) -> Iterator[tuple[Config, Config]]:
    by_name = {layer["config"]["name"]: layer for layer in stored}
    if any(layer["config"]["name"] in by_name for layer in own):
        yield from ((layer, by_name[name]) for layer in own if (name := layer["config"]["name"]) in by_name)
        return
    kinds = {_class_of(layer) for layer in own}
    alike = [layer for layer in stored if _class_of(layer) in kinds]
    if len(alike) == len(own):
        yield from zip(own, alike)


def _surplus(own: list[Config], stored: list[Config]) -> Config | None:
    """The first stored layer that the network lacks, of a kind that it compares; Keras passes over it in silence."""
    names, kinds = {layer["config"]["name"] for layer in own}, {_class_of(layer) for layer in own} | OWN_KINDS
    if not names & {layer["config"]["name"] for layer in stored}:
        return None
    return next((layer for layer in stored if _class_of(layer) in kinds and layer["config"]["name"] not in names), None)


def _differences(own: Any, stored: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    """Names and both values of the settings that are in both and differ."""
    classes = _class_of(own), _class_of(stored)
    if not (isinstance(own, dict) and isinstance(stored, dict)):
        if own != stored:
            yield name, classes[0] or own, classes[1] or stored
    elif classes[0] != classes[1]:
        yield name, *classes
    else:
        for key in sorted(own.keys() & stored.keys()):
            if key not in FREE and not key.endswith(FREE_ENDINGS):
                yield from _differences(own[key], stored[key], name if key == "config" else f"{name}.{key}")


def _class_of(value: Any) -> str | None:
    """The name of a described object's class, without that of a library."""
    name = value.get("class_name") if isinstance(value, dict) else None
    return name.split(">")[-1] if isinstance(name, str) else None
