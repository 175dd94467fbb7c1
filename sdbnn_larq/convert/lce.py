"""Export to Larq Compute Engine, whose ARM runtime has 1-bit convolutions."""

import copy
import os
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from sdbnn_larq.convert._graph import Call, calls, functional, is_binary, kernel_of, require, staged, takes_sign
from sdbnn_larq.convert._verify import Block, Report, example_images, output_call, verify
from sdbnn_larq.layers import ActivationSelfDistribution, HardTanh

# A 1-bit convolution can write bits for the next through these, and so loses speed if the export looks in between.
_FUSED = (tf.keras.layers.BatchNormalization, tf.keras.layers.MaxPool2D, lq.layers.QuantConv2D)


def to_lce(
    model: tf.keras.Model,
    path: str | os.PathLike,
    *,
    batch_size: int = 1,
    verify: bool = True,
    images: np.ndarray | None = None,
) -> Report:
    """Writes a network as a `.tflite` file for Larq Compute Engine, with 1-bit kernels and 1-bit convolutions.

    Kernel quantizers, Weight Self-Distribution among them, are folded into constant ±1 kernels. The network is run in
    parts, in Keras and in Larq Compute Engine on the same inputs, before anything is written, and must agree to 1e-4 of
    the range of each part. That finds, among others, two mistakes of Larq Compute Engine's: explicit padding before a
    convolution at stride 2, and 3×3 convolutions of images of less than 3×3 pixels.

    !!! example
        ```python
        model = sdbnn_larq.zoo.ResNet20(weights="resnet20.h5")
        report = sdbnn_larq.convert.to_lce(model, "resnet20.tflite")
        ```

    # Arguments
        model: a functional or sequential model of Keras's, Larq's and this package's layers.
        path: the output, ending in `.tflite`.
        batch_size: the batch size of the file.
        verify: whether to compare the result with Keras.
        images: what to compare on, preprocessed as the model wants it; 4 of random noise if `None`.

    # Returns
        A report: the file's size and the agreement with Keras.

    # Raises
        ImportError: if Larq Compute Engine is not installed.
        ValueError: for a 1-bit layer that would not stay 1-bit, or a path or images that do not fit.
        OSError: if `path` cannot be written.
        VerificationError: if a part's results differ from Keras's.
    """
    lce = require("larq_compute_engine", "lce")
    model = functional(model)
    with staged(path, (".tflite",)) as temporary:
        cuts = _cuts(model)
        content = _convert(lce, _folded(model, cuts, batch_size), [call.layer.name for call in cuts])
        content, tensors = _without_cuts(content, [call.layer.name for call in cuts])
        _check_kernels(content, model)
        temporary.write_bytes(content)
        report = _verify(model, content, cuts, tensors, images, batch_size) if verify else Report()
    return replace(report, files={str(path): Path(path).stat().st_size})


def _cuts(model: tf.keras.Model) -> list[Call]:
    """The tensors that separate blocks, the output last: those that the file holds as floats in any case."""
    all_calls = calls(model)
    consumers = Counter(id_ for call in all_calls for id_ in set(call.inputs))
    binary_inputs = {id_ for call in all_calls if takes_sign(call.layer) for id_ in call.inputs}
    shifted = {call.inputs[0] for call in all_calls if isinstance(call.layer, ActivationSelfDistribution)}
    last = output_call(model, all_calls)
    cuts = [
        call
        for call in all_calls
        if not isinstance(call.layer, tf.keras.layers.InputLayer)
        and call is not last
        and call.name == call.layer.name
        and (
            isinstance(call.layer, ActivationSelfDistribution)
            or call.output in shifted
            or consumers[call.output] > 1
            or (call.output in binary_inputs and not isinstance(call.layer, _FUSED))
        )
    ]
    return [*cuts, last]


def _folded(model: tf.keras.Model, cuts: list[Call], batch_size: int) -> tf.keras.Model:
    """A copy with constant kernels whose outputs are the tensors to look at."""

    def fold(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        config = layer.get_config()
        if config.get("kernel_quantizer") is not None:
            config["kernel_quantizer"] = None
        if takes_sign(layer):
            config["input_quantizer"] = "ste_sign"
        return type(layer).from_config(config)

    image = tf.keras.Input(batch_shape=(batch_size, *model.input_shape[1:]), name=model.inputs[0].node.layer.name)
    clone = tf.keras.models.clone_model(model, input_tensors=image, clone_function=fold)
    for layer in model.layers:
        if getattr(layer, "kernel_quantizer", None) is None:
            clone.get_layer(layer.name).set_weights(layer.get_weights())
        else:
            clone.get_layer(layer.name).kernel.assign(kernel_of(layer))
            if layer.use_bias:
                clone.get_layer(layer.name).bias.assign(layer.bias)
    return tf.keras.Model(
        clone.inputs, [clone.get_layer(call.layer.name).get_output_at(0) for call in cuts], name=model.name
    )


def _convert(lce: ModuleType, model: tf.keras.Model, names: list[str]) -> bytes:
    """Converts a model whose outputs get these names."""
    module = tf.Module()
    module.weights = model.variables  # a bare module, because saving a Keras model traces it many times over
    image = tf.TensorSpec(model.input_shape, name=model.input_names[0])
    module.predict = tf.function(
        lambda x: dict(zip(names, tf.nest.flatten(model(x, training=False)))), input_signature=[image]
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=module.predict)
        return lce.convert_saved_model(folder)


def _parse(content: bytes) -> Any:
    from larq_compute_engine.mlir.python import util

    return util._convert_model_from_bytearray_to_object(bytearray(content))


def _pack(file: Any) -> bytes:
    from larq_compute_engine.mlir.python import util

    return util._convert_model_from_object_to_bytearray(file)


def _without_cuts(content: bytes, names: list[str]) -> tuple[bytes, list[int]]:
    """Makes the last name the only output. Also returns the index of each name's tensor."""
    file = _parse(content)
    signature = file.signatureDefs[0]
    indices = {output.name.decode(): output.tensorIndex for output in signature.outputs}
    signature.outputs = [output for output in signature.outputs if output.name.decode() == names[-1]]
    tensors = [indices[name] for name in names]
    file.subgraphs[0].outputs = np.array(tensors[-1:], np.int32)
    return _pack(file), tensors


def _check_kernels(content: bytes, model: tf.keras.Model) -> None:
    """Raises if a 1-bit layer of the model multiplies floats in the file."""
    file = _parse(content)
    graph = file.subgraphs[0]
    binary = [i for i, code in enumerate(file.operatorCodes) if code.customCode == b"LceBconv2d"]
    kernels = Counter(op.opcodeIndex in binary for op in graph.operators)[True]
    floats = Counter(
        tuple(tensor.shape)
        for tensor in graph.tensors
        if tensor.type == 0 and file.buffers[tensor.buffer].data is not None
    )
    layers = [layer for layer in model.layers if is_binary(layer)]
    if kernels >= len(layers):
        return
    left = [layer.name for layer in layers if _tflite_shape(kernel_of(layer)) in floats]
    raise ValueError(
        f"Every 1-bit layer must become a 1-bit convolution. Received: {kernels} of {len(layers)} did, "
        f"perhaps not {', '.join(left) or 'the last'}."
    )


def _tflite_shape(kernel: np.ndarray) -> tuple[int, ...]:
    return tuple(kernel.transpose(-1, *range(kernel.ndim - 1)).shape)


def _verify(
    model: tf.keras.Model,
    content: bytes,
    cuts: list[Call],
    tensors: list[int],
    images: np.ndarray | None,
    batch_size: int,
) -> Report:
    images = example_images(model, images, batch_size)
    parts = _split(content, tensors[:-1])
    blocks = [
        Block(call.name, call.output, unclipped=call.inputs[0] if isinstance(call.layer, HardTanh) else None)
        for call in cuts
    ]

    def run_blocks(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = _run(parts, [images, *(values[block.output] for block in blocks[:-1])], batch_size)
        return {block.output: result for block, result in zip(blocks, results)}

    return verify(model, images, blocks, run_blocks, lambda x: _run(content, [x], batch_size)[0])


def _split(content: bytes, tensors: list[int]) -> bytes:
    """Cuts a graph at each tensor: it becomes an output, and a copy of it an input that feeds what it fed."""
    file = _parse(content)
    graph = file.subgraphs[0]
    for tensor in tensors:
        fed = len(graph.tensors)
        graph.tensors.append(copy.copy(graph.tensors[tensor]))
        for operator in graph.operators:
            operator.inputs = np.where(operator.inputs == tensor, fed, operator.inputs).astype(np.int32)
        graph.inputs = np.append(graph.inputs, np.int32(fed))
    graph.outputs = np.concatenate([np.array(tensors, np.int32), graph.outputs])
    file.signatureDefs = []
    return _pack(file)


def _run(content: bytes, inputs: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
    """All outputs of a file, computed batch by batch."""
    from larq_compute_engine.tflite.python import interpreter_wrapper_lite

    interpreter = interpreter_wrapper_lite.LiteInterpreter(content, 1, False, True, False)
    batches = [
        interpreter.predict([np.ascontiguousarray(value[i : i + batch_size]) for value in inputs])
        for i in range(0, len(inputs[0]), batch_size)
    ]
    return [np.concatenate(outputs) for outputs in zip(*batches)]
