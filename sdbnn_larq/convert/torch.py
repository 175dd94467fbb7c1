"""Checkpoints in the layout of SD-BNN's authors, who use PyTorch.

Their network's logits and those of the model that loaded its checkpoint agree to rounding; the sign of an exact zero,
0 in PyTorch and +1 here, is the one difference.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from sdbnn_larq.weights import named_weights

PREFIX = "module."  # of nn.DataParallel
COUNTER = "num_batches_tracked"

# Keras layer → PyTorch module, applied in turn.
_COMMON = ((r"^layer(\d)_(\d+)_", r"layer\1.\2."),)
_CIFAR = (
    *_COMMON,
    (r"_asd_squeeze$", ".dybeta.fc.0"),
    (r"_asd_excite$", ".dybeta.fc.2"),
    (r"\.shortcut_conv$", ".shortcut.0"),
    (r"\.shortcut_bn$", ".shortcut.1"),
)
_IMAGENET = (
    *_COMMON,
    (r"\.conv_asd_squeeze$", ".binary_conv.beta.fc.0"),
    (r"\.conv_asd_excite$", ".binary_conv.beta.fc.2"),
    (r"\.conv$", ".binary_conv"),
    (r"\.bn$", ".bn1"),
    (r"\.shortcut_conv$", ".downsample.1"),
    (r"\.shortcut_bn$", ".downsample.2"),
    (r"^logits$", "fc"),
)
_TORCHVISION = (
    *_COMMON,
    (r"\.shortcut_conv$", ".downsample.0"),
    (r"\.shortcut_bn$", ".downsample.1"),
    (r"^logits$", "fc"),
)
_MODULES = {
    "resnet20": (*_CIFAR, (r"^logits$", "linear")),
    "cifar_resnet18": (*_CIFAR, (r"^logits$", "linear")),
    "vgg_small": (*_CIFAR, (r"^logits$", "fc")),
    "resnet18": _IMAGENET,
    "resnet34": _IMAGENET,
    "float_resnet34": _TORCHVISION,
}
_PARAMETERS = {
    "kernel": "weight",
    "bias": "bias",
    "alpha_bias": "alpha",  # of WSD
    "alpha": "weight",  # of PReLU
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


class _Entry(NamedTuple):
    """A weight's place in the state dict, and the way there and back."""

    weight: tf.Variable
    shape: tuple[int, ...]  # in PyTorch
    to_keras: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


def load_torch_checkpoint(model: tf.keras.Model, source: str | os.PathLike | Mapping[str, Any]) -> list[str]:
    """Loads a checkpoint of the authors' network into a model of the zoo.

    Everything is checked before the first weight is assigned.

    !!! example
        ```python
        model = zoo.ResNet18()
        convert.load_torch_checkpoint(model, "model_best.pth.tar")
        ```

    # Arguments
        model: `VGGSmall`, `ResNet20`, `CifarResNet18`, `ResNet18` or `ResNet34`, in either stage of training, or
            `FloatResNet34`, whose layout is torchvision's.
        source: a file that `torch.save` wrote (`.pth`, `.th`, `.pth.tar`), which needs PyTorch and is refused if it
            holds anything but data; a `.npz` file; or a mapping of names to arrays. The prefix `module.` is optional,
            and so is a dictionary around it with the key `state_dict`.

    # Returns
        The names of the entries that the model has no use for: batch normalization's counters of batches, and WSD's α
        where the model's weights are float.

    # Raises
        ValueError: if the source cannot be read, or listing all entries that are missing, surplus or of another shape.
        ImportError: if PyTorch is needed and not installed.

    # References
        - [The authors' training code](https://arxiv.org/abs/2103.02394)
    """
    state = _state_dict(source)
    entries = _entries(model)
    float_weights = not any(key.endswith(".alpha") for key in entries)
    unused = [key for key in state if _is_unused(key, float_weights) and key not in entries]
    problems = [f"missing {key}" for key in entries if key not in state]
    problems += [f"surplus {key}" for key in state if key not in entries and key not in unused]
    problems += [
        f"{key} of shape {state[key].shape} instead of {entry.shape}"
        for key, entry in entries.items()
        if key in state and state[key].shape != entry.shape
    ]
    if problems:
        raise ValueError(f"`source` must hold the weights of {model.name}. Received: {', '.join(problems)}.")
    for key, entry in entries.items():
        entry.weight.assign(entry.to_keras(state[key]))
    return sorted(unused)


def to_torch_state_dict(model: tf.keras.Model, prefix: str = "") -> dict[str, np.ndarray]:
    """The weights of a model of the zoo in the layout of the authors' checkpoints.

    # Arguments
        model: `VGGSmall`, `ResNet20`, `CifarResNet18`, `ResNet18`, `ResNet34` or
            `FloatResNet34`.
        prefix: put before every name; the authors' files have `"module."`.

    # Returns
        Arrays by name, batch normalization's counters of batches among them (0).
    """
    state = {}
    for key, entry in _entries(model).items():
        state[prefix + key] = np.ascontiguousarray(entry.to_torch(entry.weight.numpy()))
        if key.endswith(".running_var"):
            state[f"{prefix}{key.removesuffix('running_var')}{COUNTER}"] = np.array(0, np.int64)
    return state


def _is_unused(key: str, float_weights: bool) -> bool:
    return key.endswith(f".{COUNTER}") or (float_weights and key.endswith(".alpha"))


def _entries(model: tf.keras.Model) -> dict[str, _Entry]:
    """The state dict's entries of `model`, by name."""
    if model.name not in _MODULES:
        raise ValueError(f"`model` must be one of {', '.join(_MODULES)}. Received: {model.name}.")
    entries = {}
    for name, weight in named_weights(model).items():
        layer, parameter = name.rsplit("/", 1)
        module = layer
        for pattern, replacement in _MODULES[model.name]:
            module = re.sub(pattern, replacement, module)
        key = f"{module}.{_PARAMETERS[parameter]}"
        if module.endswith(".binary_conv") and parameter == "kernel":
            key += "s"
        entries[key] = _entry(model, layer, key, weight)
    return entries


def _entry(model: tf.keras.Model, layer: str, key: str, weight: tf.Variable) -> _Entry:
    shape = tuple(weight.shape)
    if key.endswith(".binary_conv.weights"):
        return _flat_convolution(weight)
    if len(shape) == 4 and key.endswith(".weight"):
        height, width, inputs, outputs = shape
        return _Entry(weight, (outputs, inputs, height, width), _hwio, _oihw)
    if layer == "logits" and model.name == "vgg_small" and key.endswith(".weight"):
        return _dense_after_flatten(weight, model.get_layer("flatten").input_shape[1:])
    if len(shape) == 2:
        return _Entry(weight, shape[::-1], np.transpose, np.transpose)
    return _Entry(weight, (weight.shape.num_elements(),), lambda value: value.reshape(shape), np.ravel)


def _hwio(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(2, 3, 1, 0)


def _oihw(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(3, 2, 0, 1)


def _flat_convolution(weight: tf.Variable) -> _Entry:
    """The authors' ImageNet kernels are one column."""
    height, width, inputs, outputs = weight.shape
    return _Entry(
        weight,
        (outputs * inputs * height * width, 1),
        lambda column: _hwio(column.reshape(outputs, inputs, height, width)),
        lambda kernel: _oihw(kernel).reshape(-1, 1),
    )


def _dense_after_flatten(weight: tf.Variable, features: tuple[int, int, int]) -> _Entry:
    """PyTorch flattens channels first, Keras channels last."""
    height, width, channels = features
    units = weight.shape[-1]
    return _Entry(
        weight,
        (units, channels * height * width),
        lambda kernel: _hwio(kernel.reshape(units, channels, height, width)).reshape(-1, units),
        lambda kernel: _oihw(kernel.reshape(height, width, channels, units)).reshape(units, -1),
    )


def _state_dict(source: str | os.PathLike | Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The entries of `source` without their prefix, as arrays."""
    raw = source if isinstance(source, Mapping) else _read(Path(source))
    raw = raw.get("state_dict", raw) if isinstance(raw, Mapping) else raw
    if not isinstance(raw, Mapping) or not raw:
        raise ValueError(f"`source` must hold a mapping of names to arrays. Received: {type(raw).__name__}.")
    state: dict[str, np.ndarray] = {}
    for name, value in raw.items():
        key = str(name).removeprefix(PREFIX)
        if key in state:
            raise ValueError(f"`source` must hold each entry once. Received: {key} with and without {PREFIX!r}.")
        state[key] = _array(key, value)
    return state


def _array(key: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # a tensor of PyTorch
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"`source` must hold real numbers. Received: {key} of type {type(value).__name__}.")
    return array


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"`source` must be a file or a mapping. Received: {str(path)!r}, which is not a file.")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        return _load_with_torch(path)
    except ImportError:
        raise
    except Exception as error:  # zipfile, pickle, numpy and torch raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"`source` must be a checkpoint that holds arrays only. Received: {str(path)!r}, {reason}"
        ) from error


def _load_with_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading {str(path)!r} must have PyTorch: pip install sdbnn_larq[torch]. Received: {error}."
        ) from error
    return torch.load(path, map_location="cpu", weights_only=True)
