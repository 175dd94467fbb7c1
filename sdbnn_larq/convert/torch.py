"""Checkpoints in the layout of SD-BNN's authors, who use PyTorch.

Their network's logits and those of the model that loaded its checkpoint agree to rounding; the sign of an exact zero,
0 in PyTorch and +1 here, is the one difference.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from sdbnn_larq.weights import PHOTOGRAPHS, SMALL_IMAGES, description_of, named_weights
from sdbnn_larq.zoo import architecture

WRAPPERS = ("module", "_orig_mod")  # what nn.DataParallel and torch.compile put into a name
WEIGHTS_KEYS = ("state_dict", "model_state_dict", "model", "net")  # which to take where several fit, the first first
SMALLEST_PHOTOGRAPH = 96  # pixels of a side of a network's input
COUNTER = "num_batches_tracked"

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

    Everything is checked before the first weight is assigned. If the model's description does not say how its images
    are prepared, it says so afterwards, as the authors prepare them for CIFAR-10 or ImageNet.

    !!! example
        ```python
        model = zoo.ResNet18()
        convert.load_torch_checkpoint(model, "model_best.pth.tar")
        ```

    # Arguments
        model: `VGGSmall`, `ResNet20`, `CifarResNet18`, `ResNet18` or `ResNet34`, in either stage of training, or
            `FloatResNet34`, whose layout is torchvision's.
        source: a file that `torch.save` wrote (`.pth`, `.th`, `.pth.tar`), which needs PyTorch and is refused if it
            holds anything but data; a `.npz` file; or a mapping of names to arrays. The weights may lie in dictionaries
            inside dictionaries, under whatever key, and their names may have the prefixes that `nn.DataParallel`,
            `torch.compile` and a module around the network give them.

    # Returns
        The names of the entries that the model has no use for: batch normalization's counters of batches, and WSD's α
        where the model's weights are float.

    # Raises
        ValueError: if the source cannot be read, or naming the entries that are missing, surplus, of another shape, not
            finite, or variances below 0.
        ImportError: if PyTorch is needed and not installed.

    # References
        - [The authors' training code](https://arxiv.org/abs/2103.02394)
    """
    entries = _entries(model)
    state = _state_dict(source, entries)
    float_weights = not any(getattr(layer, "kernel_quantizer", None) for layer in model.layers)
    unused = [key for key in state if _is_unused(key, float_weights) and key not in entries]
    problems = [f"missing {key}" for key in entries if key not in state]
    problems += [f"surplus {key}" for key in state if key not in entries and key not in unused]
    problems += [
        f"{key} of shape {state[key].shape} instead of {entry.shape}"
        for key, entry in entries.items()
        if key in state and state[key].shape != entry.shape
    ]
    problems += [f"{key} {wrong}" for key in entries if key in state and (wrong := _impossible(key, state[key]))]
    if problems:
        raise ValueError(f"`source` must hold the weights of {model.name}. Received: {_first(problems)}.")
    for key, entry in entries.items():
        entry.weight.assign(entry.to_keras(state[key]))
    if model.description.preprocessing is None:  # the authors', on CIFAR-10 and on ImageNet
        small = max(model.description.input_shape[:2]) < SMALLEST_PHOTOGRAPH
        model.description = model.description.replace(preprocessing=SMALL_IMAGES if small else PHOTOGRAPHS)
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


def _impossible(key: str, value: np.ndarray) -> str:
    """What is wrong with the numbers of an entry, if anything is."""
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    if not np.isfinite(value).all():
        return "that is not finite"
    return "below 0" if key.endswith(".running_var") and (value < 0).any() else ""


def _is_unused(key: str, float_weights: bool) -> bool:
    return key.endswith(f".{COUNTER}") or (float_weights and key.endswith(".alpha"))


def _entries(model: tf.keras.Model) -> dict[str, _Entry]:
    """The state dict's entries of `model`, by name."""
    description = description_of(model)
    if description is None:
        raise ValueError(f"`model` must be a network that the zoo built. Received: {model.name}.")
    names = architecture(description.architecture).factory.checkpoint_names
    entries = {}
    for name, weight in named_weights(model).items():
        layer, parameter = name.rsplit("/", 1)
        module = layer
        for pattern, replacement in names:
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
    if layer == "logits" and len(shape) == 2:
        before = model.get_layer(layer).input.node.layer
        if isinstance(before, tf.keras.layers.Flatten):
            return _dense_after_flatten(weight, before.input_shape[1:])
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


def _first(problems: list[str], count: int = 3) -> str:
    more = f" and {len(problems) - count} more" if len(problems) > count else ""
    return ", ".join(problems[:count]) + more


def _state_dict(source: str | os.PathLike | Mapping[str, Any], expected: Iterable[str]) -> dict[str, np.ndarray]:
    """The entries of `source` under the names that `expected` has, as arrays."""
    if not isinstance(source, str | os.PathLike | Mapping):
        raise ValueError(f"`source` must be a file or a mapping. Received: {type(source).__name__}.")
    raw = source if isinstance(source, Mapping) else _read(Path(source))
    found = [(key, _unwrapped(names), entries) for key, names, entries in _mappings(raw)]
    if not found:
        raise ValueError(f"`source` must hold a mapping of names to arrays. Received: {type(raw).__name__}.")
    fits = [len(set(expected) & set(names)) for _, names, _ in found]
    best = [candidate for candidate, fit in zip(found, fits) if fit == max(fits)]
    if len(best) > 1:
        keys = [key for key, *_ in best]
        preferred = [key for key in WEIGHTS_KEYS if keys.count(key) == 1]
        if not preferred:
            raise ValueError(f"`source` must hold the weights of one network. Received: {', '.join(keys)}.")
        best = [best[keys.index(preferred[0])]]
    _, names, entries = best[0]
    state: dict[str, np.ndarray] = {}
    for name, value in zip(names, entries):
        if name in state:
            raise ValueError(f"`source` must hold each entry once. Received: {name} with and without a prefix.")
        state[name] = _array(name, value)
    return state


def _mappings(raw: Any, key: str = "") -> Iterator[tuple[str, list[str], list[Any]]]:
    """The key, the names and the values of each mapping inside mappings that holds anything but mappings."""
    if not isinstance(raw, Mapping):
        return
    inner = {name: value for name, value in raw.items() if isinstance(value, Mapping)}
    values = {str(name): value for name, value in raw.items() if name not in inner}
    if values and (not inner or any(map(_is_array, values.values()))):
        yield key, list(values), list(values.values())
    for name, value in inner.items():
        yield from _mappings(value, str(name))


def _is_array(value: Any) -> bool:
    return getattr(value, "ndim", 0) > 0


def _unwrapped(names: list[str]) -> list[str]:
    """Names without what wrappers put into them, nor a first part that they all have."""
    parts = [[part for part in name.split(".") if part not in WRAPPERS] for name in names]
    while len({part[0] for part in parts if part}) == 1 and all(len(part) > 2 for part in parts):
        parts = [part[1:] for part in parts]
    return [".".join(part) for part in parts]


def _array(key: str, value: Any) -> np.ndarray:
    try:
        if hasattr(value, "detach"):  # a tensor of PyTorch
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() else value
        array = np.asarray(value)
    except (TypeError, NotImplementedError, RuntimeError) as error:  # sparse, quantized or without data
        raise ValueError(f"`source` must hold plain arrays. Received: {key}, {type(value).__name__}.") from error
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
        if match := re.search(r"GLOBAL (\S+)", str(error)):  # torch's own text is a page long
            reason = f"with an object of {match[1]}"
        raise ValueError(
            f"`source` must be a checkpoint that holds arrays only. Received: {str(path)!r}, {reason}."
        ) from error


class _Unread:
    """Stands for an object beside the weights; what the file gives to make it of is thrown away.

    The object's own class would not do: a `numpy.dtype` takes any state that a file has for it, and then reads memory
    where the file says.
    """

    def __init__(self, *arguments: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


_UNREAD = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
)


def _load_with_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading {str(path)!r} must have PyTorch: pip install sdbnn_larq[torch]. Received: {error}."
        ) from error
    with torch.serialization.safe_globals([(_Unread, name) for name in _UNREAD]):
        return torch.load(path, map_location="cpu", weights_only=True)
