"""Files of packed weights: one bit for a 1-bit weight, a checksum over all of it.

A file is a safetensors file with one array for each way of storing, and five entries of metadata:

- `format`: `"sdbnn-packed-2"`;
- `model`: the model's name, then line by line a layer's name and its weights, each `name=` code shape, in the order
  in which the arrays hold them; compressed by zlib and written in base 64, because it is a tenth of a small file;
- `description`: which network it is, as JSON (`NetworkDescription`), or `null` for a model that has none;
- `metadata`: the caller's, as JSON;
- `sha256`: over everything else.

Files of the first format, `"sdbnn-packed-1"`, are read as well; see `_format1.py`.
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
from urllib.parse import quote, unquote

import numpy as np
import safetensors.numpy
import tensorflow as tf

from sdbnn_larq._files import atomic_file
from sdbnn_larq.weights import _format1
from sdbnn_larq.weights._kernels import kernel_of_sum, latent_kernel, one_bit_quantizers, packed_kernel
from sdbnn_larq.weights.description import NetworkDescription, description_of
from sdbnn_larq.weights.names import named_weights, stable_name

FORMAT = "sdbnn-packed-2"
# Where the values of a weight are, by its code.
ARRAYS = {"f": "float32", "h": "float16", "l": "latent", **dict.fromkeys("1stb", "sign_bits")}
MAGNITUDES = {"1": "magnitude", "s": "sum", "t": "sum", "b": "sum"}  # beside the signs
OF_A_KERNEL = (*MAGNITUDES, "l")
LONGEST_HEADER = 2**22  # bytes
DTYPES = {
    "sign_bits": "|u1",
    "float32": "<f4",
    "float16": "<f2",
    "latent": "<f4",
    "magnitude": "<f2",
    "sum": "<f4",
}
_DAMAGE = (OSError, ValueError, LookupError, TypeError, RecursionError, zlib.error, safetensors.SafetensorError)


class StoredWeight(NamedTuple):
    """How a file stores a weight.

    As signs with the mean magnitude of each output channel in float16 (1) or, where the quantizer's values have a
    scale, with the sum of the magnitudes in float32, of each output channel (s, or b for one shared evenly between both
    signs) or of the whole kernel (t); as float32 (f) or float16 (h); or as latent values that one bit cannot give (l).
    """

    code: str
    shape: tuple[int, ...]

    @property
    def stored_size(self) -> int:
        size = math.prod(self.shape)
        return (size + 7) // 8 if self.code in MAGNITUDES else size

    @property
    def magnitudes(self) -> int:
        """How many magnitudes, or sums of them, are stored beside the signs."""
        return 1 if self.code == "t" else self.shape[-1]


def save_packed(
    model: tf.keras.Model,
    path: str | os.PathLike,
    metadata: Mapping[str, Any] | None = None,
    half: Iterable[str] = (),
    description: NetworkDescription | None = None,
) -> None:
    """Saves a model's weights to one small file, kernels that a 1-bit quantizer reads as one bit each.

    A model that loads the file predicts bit for bit what `model`, in float32, predicts. Of a 1-bit kernel's latent
    weights there remain the signs that the quantizer gives and one magnitude for each output channel: the mean
    (float16) or, for a quantizer that multiplies by a scale, the sum (float32). A 1-bit kernel that its quantizer would
    not read alike from those is saved in full. Save latent weights with `model.save_weights` if training is to go on
    exactly where it was.

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
        description: the network's; that which `model` carries if `None`.

    # Raises
        ValueError: if `metadata` or the description cannot be written as JSON or is too long, if a wildcard of `half`
            matches no float weight or one outside float16's range, or if a weight has no fixed shape.
    """
    weights = named_weights(model)
    if growing := [name for name, weight in weights.items() if not weight.shape.is_fully_defined()]:
        raise ValueError(f"All weights must have a fixed shape. Received: {growing[0]} of {weights[growing[0]].shape}.")
    description = description or description_of(model)
    stored, arrays = _pack(weights, one_bit_quantizers(model, weights), [half] if isinstance(half, str) else list(half))
    header = {
        "format": FORMAT,
        "model": _layout(stable_name(model), stored),
        "description": _to_json("description", description and description.to_json()),
        "metadata": _to_json("metadata", dict(metadata or {})),
    }
    header["sha256"] = _checksum(arrays, header)
    content = _in_order(safetensors.numpy.save(arrays, header))
    if (length := int.from_bytes(content[:8], "little")) > _header_limit(weights):
        raise ValueError(
            f"`metadata` and description must be short, a header of at most {_header_limit(weights):,} bytes. "
            f"Received: {length:,} bytes."
        )
    with atomic_file(Path(path)) as file:
        file.write(content)


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with its metadata sorted: the library shuffles it, and with it the file's hash."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def load_packed(model: tf.keras.Model, path: str | os.PathLike) -> dict[str, Any]:
    """Loads the weights that `save_packed` saved.

    Everything is checked before the first weight is assigned. The model's description stays as it is.

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
        _check_size(Path(path), weights)
        legacy = read_header(path, _header_limit(weights)).get("format") == _format1.FORMAT
        weights = _format1.named_weights(model) if legacy else weights
        quantizers = one_bit_quantizers(model, weights)
        stored, arrays, metadata = _read(Path(path), stable_name(model), weights, quantizers)
    except _DAMAGE as error:
        raise ValueError(
            f"`path` must be an undamaged file of packed weights of {model.name}. "
            f"Received: {os.fspath(path)!r} with {' '.join((str(error) or type(error).__name__).split())}."
        ) from error
    if legacy:  # its arrays are in the order of the model, not in that of its header
        stored = {name: stored[name] for name in weights}
    for name, values in _values(stored, arrays):
        # Nothing keeps the value: latent weights take 32 times the memory of the file.
        weights[name].assign(tf.cast(_restored(stored[name], *values), weights[name].dtype))
    for layer in model.submodules:
        if isinstance(layer, tf.keras.layers.Normalization):  # which computes with constants made of them
            layer.finalize_state()
            model.predict_function = model.test_function = model.train_function = None  # they hold those of before
    return metadata


def read_description(path: str | os.PathLike) -> NetworkDescription | None:
    """The description that a packed file holds; only `load_packed` checks the whole file.

    # Arguments
        path: the file.

    # Returns
        The description; `None` if the file is of a model that has none.

    # Raises
        ValueError: if it is no file of packed weights, or if its description cannot be read.
    """
    try:
        header = read_header(path)
        if header.get("format") == _format1.FORMAT:
            name, _, layout = layout_text(header).partition("\n")
            return _format1.description(name, _parse(layout), json.loads(header["metadata"]))
        if header.get("format") != FORMAT:
            raise ValueError(f"format {header.get('format')!r}, where this version knows {FORMAT!r}")
        fields = json.loads(header["description"])
        return None if fields is None else NetworkDescription.from_json(fields)
    except _DAMAGE as error:
        raise ValueError(
            "`path` must be an undamaged file of packed weights. "
            f"Received: {os.fspath(path)!r} with {' '.join((str(error) or type(error).__name__).split())}."
        ) from error


def read_header(path: str | os.PathLike, limit: int = LONGEST_HEADER) -> dict[str, str]:
    """The text entries of a safetensors file; its arrays are not read.

    # Arguments
        path: the file.
        limit: bytes beyond which a header is refused.

    # Raises
        OSError, ValueError, safetensors.SafetensorError: if there is no such file.
    """
    with open(path, "rb") as opened:
        start = opened.read(8)
    if len(start) < 8 or int.from_bytes(start, "little") > limit:
        raise ValueError("not a file of packed weights, or one cut short")
    with safetensors.safe_open(path, "numpy") as file:
        return file.metadata() or {}


def layout_text(header: Mapping[str, str], limit: int = LONGEST_HEADER) -> str:
    """The model's name and its weights, line by line; at most `limit` bytes."""
    return zlib.decompressobj().decompress(base64.b64decode(header["model"]), limit).decode()


def _layout(model: str, stored: Mapping[str, StoredWeight]) -> str:
    """The model's name and its weights, compressed. Weights of a layer follow one another."""
    lines: dict[str, list[str]] = {}
    for name, (code, shape) in stored.items():
        layer, weight = (quote(part, safe="/") for part in name.rsplit("/", 1))
        lines.setdefault(layer, []).append(f"{weight}={code}{','.join(map(str, shape))}")
    text = "\n".join([quote(model), *(" ".join([layer, *weights]) for layer, weights in lines.items())])
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _parse(text: str) -> dict[str, StoredWeight]:
    """The stored weights from what `_layout` wrote, without its first line."""
    stored: dict[str, StoredWeight] = {}
    for line in text.split("\n"):
        layer, *weights = line.split(" ")
        for weight in weights:
            name, entry = weight.split("=")
            name = f"{unquote(layer)}/{unquote(name)}"
            shape = tuple(int(n) for n in entry[1:].split(",") if n)
            if entry[0] not in ARRAYS or any(n < 0 for n in shape) or name in stored:
                raise ValueError(f"an unknown storage of {name}")
            stored[name] = StoredWeight(entry[0], shape)
    return stored


def _to_json(name: str, value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        return text
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be what JSON can represent. Received: {error}.") from error


def _checksum(arrays: Mapping[str, np.ndarray], header: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted((k, v) for k, v in header.items() if k != "sha256")).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(
    path: Path, model: str, weights: Mapping[str, tf.Variable], quantizers: Mapping[str, Callable]
) -> tuple[dict[str, StoredWeight], dict[str, np.ndarray], dict[str, Any]]:
    """Entries, arrays and metadata of an undamaged file of the model's weights.

    What is read is bounded step by step: the header and its description by what the model's could be, the arrays by the
    size that the description, once it is the model's, says.
    """
    limit = _header_limit(weights)
    with path.open("rb") as opened:
        length, size = int.from_bytes(opened.read(8), "little"), path.stat().st_size
    with safetensors.safe_open(path, "numpy") as file:
        header = file.metadata() or {}
        if header["format"] not in (FORMAT, _format1.FORMAT):
            raise ValueError(f"format {header['format']!r}, where this version knows {FORMAT!r}")
        name, _, description = layout_text(header, limit).partition("\n")
        if unquote(name) != model:
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
) -> tuple[dict[str, StoredWeight], dict[str, np.ndarray]]:
    for pattern in half:
        if not any(fnmatchcase(name, pattern) for name in weights.keys() - quantizers.keys()):
            raise ValueError(f"`half` must match names of float weights. Received: {pattern!r}, which matches none.")
    stored: dict[str, StoredWeight] = {}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in DTYPES}
    for name, weight in weights.items():
        value = weight.numpy().astype(np.float32)
        code = "h" if name not in quantizers and any(fnmatchcase(name, pattern) for pattern in half) else "f"
        if code == "h" and np.abs(value).max(initial=0) > np.finfo(np.float16).max:
            raise ValueError(f"`half` must match weights within float16's range. Received: {name}.")
        if name in quantizers:
            code, value, channels = packed_kernel(value, quantizers[name])
            if channels is not None:
                parts[MAGNITUDES[code]].append(channels)
                value = np.packbits(value)
        stored[name] = StoredWeight(code, tuple(weight.shape))
        parts[ARRAYS[code]].append(value.astype(DTYPES[ARRAYS[code]]).ravel())
    return stored, {name: np.concatenate(values) for name, values in parts.items() if values}


def _check_size(path: Path, weights: Mapping[str, tf.Variable]) -> None:
    size = path.stat().st_size
    most = _header_limit(weights) + 8 * sum(weight.shape.num_elements() for weight in weights.values())
    if size > most:
        raise ValueError(f"{size:,} bytes, more than {most:,}")


def _header_limit(weights: Mapping[str, tf.Variable]) -> int:
    return 2**16 + 256 * len(weights)


def _sizes(entries: Iterable[StoredWeight]) -> Counter[str]:
    """How many values each array of a file holds."""
    sizes: Counter[str] = Counter()
    for entry in entries:
        sizes[ARRAYS[entry.code]] += entry.stored_size
        if entry.code in MAGNITUDES:
            sizes[MAGNITUDES[entry.code]] += entry.magnitudes
    return sizes


def _values(
    entries: Mapping[str, StoredWeight], arrays: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """What the arrays hold of each weight: its values, or its bits and its magnitudes."""
    ends = dict.fromkeys(DTYPES, 0)

    def take(array: str, size: int) -> np.ndarray:
        ends[array] += size
        return arrays[array][ends[array] - size : ends[array]]

    for name, entry in entries.items():
        stored = [take(ARRAYS[entry.code], entry.stored_size)]
        if entry.code in MAGNITUDES:
            stored.append(take(MAGNITUDES[entry.code], entry.magnitudes))
        yield name, stored


def _restored(entry: StoredWeight, values: np.ndarray, magnitude: np.ndarray | None = None) -> np.ndarray | tf.Tensor:
    """The weight in float32."""
    if magnitude is None:
        return values.reshape(entry.shape).astype(np.float32)
    signs = np.unpackbits(values, count=math.prod(entry.shape)).reshape(entry.shape)
    return latent_kernel(signs, magnitude) if entry.code == "1" else kernel_of_sum(entry.code, signs, magnitude)


def _differences(
    entries: Mapping[str, StoredWeight], weights: Mapping[str, tf.Variable], quantizers: Mapping[str, Callable]
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
        elif (entries[name].code in OF_A_KERNEL) != (name in quantizers):
            found.append(f"{name} for {'a' if entries[name].code in OF_A_KERNEL else 'no'} 1-bit quantizer")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more
