"""What both exporters need to know of a Keras model, and how they write their files."""

import contextlib
import importlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Call:
    """One use of a layer in a model; tensors are known by their Keras ids."""

    name: str  # the layer's, numbered from its second use on
    layer: tf.keras.layers.Layer
    inputs: tuple[str, ...]
    output: str
    keras_output: Any


def functional(model: tf.keras.Model) -> tf.keras.Model:
    """The model as a graph of layers with one image-shaped input and one output.

    # Raises
        ValueError: if it is none.
    """
    if not getattr(model, "_is_graph_network", False):
        raise ValueError(f"`model` must be a functional or built sequential model. Received: {model!r}.")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        counts = f"{len(model.inputs)} and {len(model.outputs)}"
        raise ValueError(f"`model` must have one input and one output. Received: {counts}.")
    if not model.inputs[0].shape[1:].is_fully_defined():
        raise ValueError(f"`model` must have an input of fixed size. Received: shape {model.inputs[0].shape}.")
    return tf.keras.Model(model.inputs, model.outputs, name=model.name)


def calls(model: tf.keras.Model) -> list[Call]:
    """The uses of a functional model's layers, in an order in which they can be computed."""
    result = []
    uses: Counter = Counter()
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            uses[node.layer.name] += 1
            name = node.layer.name if uses[node.layer.name] == 1 else f"{node.layer.name}_{uses[node.layer.name]}"
            if len(node.flat_output_ids) != 1:
                raise ValueError(f"A layer must have one output. Received: {name!r} ({type(node.layer).__name__}).")
            inputs = () if node.is_input else tuple(str(id_) for id_ in node.flat_input_ids)
            output = tf.nest.flatten(node.outputs)[0]
            result.append(Call(name, node.layer, inputs, str(node.flat_output_ids[0]), output))
    return result


def kernel_of(layer: tf.keras.layers.Layer) -> np.ndarray:
    """A layer's kernel as inference uses it: quantized where the layer quantizes it."""
    with lq.context.quantized_scope(True):
        return tf.convert_to_tensor(layer.kernel).numpy()


def takes_sign(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer's inputs are ±1, decided by its input quantizer's values, not by its name."""
    quantizer = getattr(layer, "input_quantizer", None)
    if quantizer is None:
        return False
    values = quantizer(tf.constant([[-2.0, -0.3, -1e-6, 0.0, 1e-6, 0.3, 2.0]]))
    return np.array_equal(values, [[-1, -1, -1, 1, 1, 1, 1]])


def scale_of(kernel: np.ndarray) -> np.ndarray | None:
    """The size of the weights in each output channel, where all of a channel's are ±that; `None` where they are not."""
    sizes = np.abs(kernel).reshape(-1, kernel.shape[-1])
    return sizes[0] if sizes[0].all() and (sizes == sizes[0]).all() else None


def is_binary(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer multiplies 1-bit inputs with a 1-bit kernel."""
    return (
        getattr(layer, "kernel_quantizer", None) is not None
        and takes_sign(layer)
        and scale_of(kernel_of(layer)) is not None
    )


def should_be_binary(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer quantizes its inputs or its kernel and yet does not multiply 1 bit with 1 bit."""
    quantizers = ("input_quantizer", "kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer")
    return any(getattr(layer, name, None) is not None for name in quantizers) and not is_binary(layer)


def one_bit_part(layer: tf.keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    """What a 1-bit layer computes before its scale, bias and activation: integers, by Keras and with its padding."""
    config = {"input_quantizer": "ste_sign", "kernel_quantizer": None, "use_bias": False, "activation": None}
    bare = type(layer).from_config({**layer.get_config(), **config})
    bare.build(x.shape)
    bare.kernel.assign(np.sign(kernel_of(layer)))
    return np.asarray(bare(x))


def require(module: str, extra: str) -> ModuleType:
    """Imports a runtime.

    # Raises
        ImportError: naming the extra that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"`{module}` must be installed: pip install sdbnn_larq[{extra}]. Received: {error}."
        ) from error


@contextlib.contextmanager
def staged(path: str | os.PathLike, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Gives a temporary path to write to; its files move to `path` when all went well, and vanish when not.

    # Arguments
        path: the output, ending in the first of `suffixes`.
        suffixes: of all files that the export writes; the first is moved last.

    # Raises
        ValueError: for another suffix.
        OSError: if the folder cannot be written.
    """
    path = Path(path)
    if path.suffix != suffixes[0]:
        raise ValueError(f"`path` must end in {suffixes[0]}. Received: path={str(path)!r}.")
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-")
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"`path` must be a file in a writable folder. Received: path={str(path)!r} ({reason})."
        ) from error
    with folder:
        temporary = Path(folder.name) / path.name
        yield temporary
        for suffix in reversed(suffixes):
            os.replace(temporary.with_suffix(suffix), path.with_suffix(suffix))
