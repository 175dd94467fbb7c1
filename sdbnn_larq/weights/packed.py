"""Files of packed weights: one bit for a 1-bit weight, a checksum over all of it.

A file is a safetensors file with one array for each way of storing, and four entries of metadata:

- `format`: `"sdbnn-packed-1"`;
- `model`: the model's name, then line by line a layer's name and its weights, each `name=` code shape, in the order
  in which the arrays hold them; compressed by zlib and written in base 64, because it is a tenth of a small file;
- `metadata`: the caller's, as JSON;
- `sha256`: over everything else.
"""

import base64
import hashlib
import json
import math
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
import tensorflow as tf

from sdbnn_larq._files import atomic_file
from sdbnn_larq.weights.names import named_weights, stable_name, variable

FORMAT = "sdbnn-packed-1"
ARRAYS = {"1": "sign_bits", "f": "float32", "h": "float16", "l": "latent"}  # by an entry's code
MAGNITUDE = "magnitude"
DTYPES = {"sign_bits": "|u1", "float32": "<f4", "float16": "<f2", "latent": "<f4", MAGNITUDE: "<f2"}
QUANTIZERS = {
    "kernel": "kernel_quantizer",
    "depthwise_kernel": "depthwise_quantizer",
    "pointwise_kernel": "pointwise_quantizer",
}
_DAMAGE = (OSError, ValueError, LookupError, TypeError, RecursionError, zlib.error, safetensors.SafetensorError)


class _Entry(NamedTuple):
    """How a weight is stored: as bits (1), float32 (f), float16 (h) or latent values that one bit cannot give (l)."""

    code: str
    shape: tuple[int, ...]

    @property
    def stored_size(self) -> int:
        size = math.prod(self.shape)
        return (size + 7) // 8 if self.code == "1" else size


def save_packed(
    model: tf.keras.Model,
    path: str | os.PathLike,
    metadata: Mapping[str, Any] | None = None,
    half: Iterable[str] = (),
) -> None:
    """Saves a model's weights to one small file, kernels that a 1-bit quantizer reads as one bit each.

    A model that loads the file predicts bit for bit what `model`, in float32, predicts. Of a 1-bit kernel's latent
    weights there remain the signs that the quantizer gives and the mean magnitude (float16) of each output channel,
    enough to train on from. A 1-bit kernel that its quantizer would not read alike from those is saved in full. Save
    latent weights with `model.save_weights` if training is to go on exactly where it was.

    !!! example
        ```python
        zoo.save_packed(model, "vgg_small.safetensors", half=["logits/kernel", "*_asd_*"])
        ```

    # Arguments
        model: a model of Larq and Keras layers, built.
        path: the file to write; it is replaced only once it is complete.
        metadata: what else the file should say, representable in JSON.
        half: shell-style wildcards of `layer/weight` names to round to float16, for which predictions are no longer
            those of `model` to the last bit.

    # Raises
        ValueError: if `metadata` cannot be written as JSON or is too long, or if a wildcard of `half` matches no float
            weight or one outside float16's range.
    """
    weights = named_weights(model)
    entries, arrays = _pack(weights, _one_bit_quantizers(model), [half] if isinstance(half, str) else list(half))
    header = {
        "format": FORMAT,
        "model": _describe(stable_name(model), entries),
        "metadata": _to_json(metadata or {}),
    }
    header["sha256"] = _checksum(arrays, header)
    content = safetensors.numpy.save(arrays, header)
    if (length := int.from_bytes(content[:8], "little")) > _header_limit(weights):
        raise ValueError(
            f"`metadata` must be short, a header of at most {_header_limit(weights):,} bytes. "
            f"Received: {length:,} bytes."
        )
    with atomic_file(Path(path)) as file:
        file.write(content)


def load_packed(model: tf.keras.Model, path: str | os.PathLike) -> dict[str, Any]:
    """Loads the weights that `save_packed` saved.

    Everything is checked before the first weight is assigned.

    # Arguments
        model: a model of the same architecture and options.
        path: the file.

    # Returns
        The metadata given to `save_packed`.

    # Raises
        ValueError: if there is no such file, if it is damaged, or if it is not of this architecture.
    """
    weights = named_weights(model)
    try:
        entries, arrays, metadata = _read(Path(path), stable_name(model), weights, _one_bit_quantizers(model))
    except _DAMAGE as error:
        raise ValueError(
            f"`path` must be an undamaged file of packed weights of {model.name}. "
            f"Received: {str(path)!r} with {' '.join((str(error) or type(error).__name__).split())}."
        ) from error
    for name, stored in _stored(entries, arrays):
        # Nothing keeps the value: latent weights take 32 times the memory of the file.
        weights[name].assign(_restored(entries[name], *stored))
    return metadata


def _one_bit_quantizers(model: tf.keras.Model) -> dict[str, Callable]:
    """The quantizer of each kernel that takes one bit, by the kernel's name."""
    names = {id(weight): name for name, weight in named_weights(model).items()}
    found: dict[str, Callable] = {}
    for layer in model._flatten_layers():
        for kernel, attribute in QUANTIZERS.items():
            quantizer, weight = getattr(layer, attribute, None), getattr(layer, kernel, None)
            if quantizer is not None and weight is not None and getattr(quantizer, "precision", None) == 1:
                found[names[id(variable(weight))]] = quantizer
    return found


def _signs(latent: np.ndarray, quantizer: Callable) -> tuple[np.ndarray | None, np.ndarray]:
    """Signs and magnitudes from which the quantizer reads what it reads from `latent`; no signs if there are none."""
    quantized = np.asarray(quantizer(tf.constant(latent)))
    signs = quantized > 0
    limits = np.finfo(np.float16)
    magnitude = np.abs(latent).mean(axis=tuple(range(latent.ndim - 1)), dtype=np.float64)
    magnitude = magnitude.clip(limits.smallest_subnormal, limits.max).astype(np.float16)
    restored = np.asarray(quantizer(_latent(signs, magnitude)))
    return (signs if np.array_equal(restored, quantized) else None), magnitude


def _latent(signs: np.ndarray, magnitude: np.ndarray) -> tf.Tensor:
    # Made by TensorFlow, which would copy an array once more.
    magnitude = magnitude.astype(np.float32)
    return tf.where(signs.view(np.bool_), magnitude, -magnitude)


def _describe(model: str, entries: Mapping[str, _Entry]) -> str:
    lines: dict[str, list[str]] = {}
    for name, (code, shape) in entries.items():
        layer, weight = name.rsplit("/", 1)
        lines.setdefault(layer, []).append(f"{weight}={code}{','.join(map(str, shape))}")
    text = "\n".join([model, *(" ".join([layer, *weights]) for layer, weights in lines.items())])
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _parse(text: str) -> dict[str, _Entry]:
    """The entries from what `_describe` wrote, without its first line."""
    entries = {}
    for line in text.split("\n"):
        layer, *weights = line.split(" ")
        for weight in weights:
            name, entry = weight.split("=")
            shape = tuple(int(n) for n in entry[1:].split(",") if n)
            if entry[0] not in ARRAYS or any(n < 0 for n in shape):
                raise ValueError(f"an unknown storage of {layer}/{name}")
            entries[f"{layer}/{name}"] = _Entry(entry[0], shape)
    return entries


def _to_json(metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`metadata` must be a mapping that JSON can represent. Received: {error}.") from error


def _checksum(arrays: Mapping[str, np.ndarray], header: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted((k, v) for k, v in header.items() if k != "sha256")).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """The metadata given to `save_packed`, empty for a file of another kind; only `load_packed` checks the file."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            header = file.metadata() or {}
            return json.loads(header["metadata"]) if header.get("format") == FORMAT else {}
    except _DAMAGE:
        return {}


def _read(
    path: Path, model: str, weights: Mapping[str, tf.Variable], quantizers: Mapping[str, Callable]
) -> tuple[dict[str, _Entry], dict[str, np.ndarray], dict[str, Any]]:
    """Entries, arrays and metadata of an undamaged file of the model's weights.

    What is read is bounded step by step: the header and its description by what the model's could be, the arrays by the
    size that the description, once it is the model's, says.
    """
    limit = _header_limit(weights)
    with path.open("rb") as opened:
        start = opened.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > limit:
        raise ValueError("not a file of packed weights, or one cut short")
    size, most = path.stat().st_size, limit + 8 * sum(weight.shape.num_elements() for weight in weights.values())
    if size > most:
        raise ValueError(f"{size:,} bytes, more than {most:,}")
    with safetensors.safe_open(path, "numpy") as file:
        header = file.metadata() or {}
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
        text = zlib.decompressobj().decompress(base64.b64decode(header["model"]), limit).decode()
        name, _, description = text.partition("\n")
        if name != model:
            raise ValueError(f"weights of {name}")
        if description.count("=") > 2 * len(weights):
            raise ValueError(f"more than twice the {len(weights)} weights")
        entries = _parse(description)
        if differences := _differences(entries, weights, quantizers):
            raise ValueError(differences)
        sizes = _sizes(entries.values())
        honest = 8 + length + sum(n * np.dtype(DTYPES[array]).itemsize for array, n in sizes.items())
        if size != honest:
            raise ValueError(f"{size:,} bytes instead of {honest:,}")
        arrays = {array: file.get_tensor(array) for array in file.keys()}  # noqa: SIM118
    if header["sha256"] != _checksum(arrays, header):
        raise ValueError("content that does not match its checksum")
    if {name: (array.dtype.str, array.shape) for name, array in arrays.items()} != {
        name: (DTYPES[name], (size,)) for name, size in sizes.items()
    }:
        raise ValueError("arrays that are not those of its model")
    return entries, arrays, json.loads(header["metadata"])


def _pack(
    weights: Mapping[str, tf.Variable], quantizers: Mapping[str, Callable], half: list[str]
) -> tuple[dict[str, _Entry], dict[str, np.ndarray]]:
    for pattern in half:
        if not any(fnmatchcase(name, pattern) for name in weights.keys() - quantizers.keys()):
            raise ValueError(f"`half` must match names of float weights. Received: {pattern!r}, which matches none.")
    entries: dict[str, _Entry] = {}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in DTYPES}
    for name, weight in weights.items():
        value = weight.numpy().astype(np.float32)
        code = "h" if name not in quantizers and any(fnmatchcase(name, pattern) for pattern in half) else "f"
        if code == "h" and np.abs(value).max(initial=0) > np.finfo(np.float16).max:
            raise ValueError(f"`half` must match weights within float16's range. Received: {name}.")
        if name in quantizers:
            signs, magnitude = _signs(value, quantizers[name])
            code = "l" if signs is None else "1"
            if signs is not None:
                parts[MAGNITUDE].append(magnitude)
                value = np.packbits(signs)
        entries[name] = _Entry(code, tuple(weight.shape))
        parts[ARRAYS[code]].append(value.astype(DTYPES[ARRAYS[code]]).ravel())
    return entries, {name: np.concatenate(values) for name, values in parts.items() if values}


def _header_limit(weights: Mapping[str, tf.Variable]) -> int:
    return 2**16 + 256 * len(weights)


def _sizes(entries: Iterable[_Entry]) -> Counter[str]:
    """How many values each array of a file holds."""
    sizes: Counter[str] = Counter()
    for entry in entries:
        sizes[ARRAYS[entry.code]] += entry.stored_size
        if entry.code == "1":
            sizes[MAGNITUDE] += entry.shape[-1]
    return sizes


def _stored(entries: Mapping[str, _Entry], arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """What the arrays hold of each weight: its values, or its bits and its magnitudes."""
    ends = dict.fromkeys(DTYPES, 0)

    def take(array: str, size: int) -> np.ndarray:
        ends[array] += size
        return arrays[array][ends[array] - size : ends[array]]

    for name, entry in entries.items():
        stored = [take(ARRAYS[entry.code], entry.stored_size)]
        if entry.code == "1":
            stored.append(take(MAGNITUDE, entry.shape[-1]))
        yield name, stored


def _restored(entry: _Entry, values: np.ndarray, magnitude: np.ndarray | None = None) -> np.ndarray | tf.Tensor:
    """The weight in float32."""
    if magnitude is None:
        return values.reshape(entry.shape).astype(np.float32)
    return _latent(np.unpackbits(values, count=math.prod(entry.shape)).reshape(entry.shape), magnitude)


def _differences(
    entries: Mapping[str, _Entry], weights: Mapping[str, tf.Variable], quantizers: Mapping[str, Callable]
) -> str:
    """What of a file does not fit the model, in a few words; empty if all fits."""
    found = []
    for name in {**weights, **entries}:
        if name not in entries:
            found.append(f"no {name}")
        elif name not in weights:
            found.append(f"surplus {name}")
        elif entries[name].shape != tuple(weights[name].shape):
            found.append(f"{name} of shape {entries[name].shape} instead of {tuple(weights[name].shape)}")
        elif (entries[name].code in "1l") != (name in quantizers):
            found.append(f"{name} for {'a' if entries[name].code in '1l' else 'no'} 1-bit quantizer")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more
