"""The `.tflite` files of Larq Compute Engine: looking into them and taking them apart."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from sdbnn_larq.convert.metadata import KEY


def parse(content: bytes) -> Any:
    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def pack(file: Any) -> bytes:
    return bytes(flatbuffer_utils.convert_object_to_bytearray(file))


def operation(file: Any, operator: Any) -> str:
    """An operator's kind, `"LceBconv2d"` being the 1-bit convolution."""
    code = file.operatorCodes[operator.opcodeIndex]
    return code.customCode.decode() if code.customCode else flatbuffer_utils.opcode_to_name(file, operator.opcodeIndex)


def packed_kernel(kernel: np.ndarray) -> bytes:
    """A ±1 HWIO kernel as the file holds it: OHWI, 32 input channels in a word, 1 for a negative weight."""
    bits = kernel.transpose(3, 0, 1, 2) < 0
    bits = np.pad(bits, [(0, 0)] * 3 + [(0, -bits.shape[-1] % 32)])
    return np.packbits(bits, -1, bitorder="little").tobytes()


def without_turns(packed: bytes, filters: int, channels: int) -> tuple[bytes, np.ndarray]:
    """A packed kernel whose filters all begin with +1, and for each filter -1 if it was turned for that, else 1.

    The converter turns filters, and thresholds with them, where it writes bits and what it multiplies with is negative.
    """
    words = np.packbits(np.arange(-(-channels // 32) * 32) < channels, bitorder="little")
    rows = np.frombuffer(packed, np.uint8).reshape(filters, -1, len(words))
    first = rows[:, 0, 0] & 1
    return (rows ^ first[:, None, None] * words).tobytes(), np.where(first, np.float32(-1), np.float32(1))


def binary_operators(file: Any) -> list[tuple[Any, bytes]]:
    """The 1-bit convolutions with their kernels, in the order of the file."""
    graph = file.subgraphs[0]
    return [
        (operator, np.asarray(file.buffers[graph.tensors[operator.inputs[1]].buffer].data).tobytes())
        for operator in graph.operators
        if operation(file, operator) == "LceBconv2d"
    ]


def binary_kernels(content: bytes) -> list[tuple[bytes, np.ndarray]]:
    """Those of `binary_operators`, `without_turns`; as it is where the file does not hold it, but has it computed."""
    file = parse(content)
    found = []
    for operator, kernel in binary_operators(file):
        filters, *rest = file.subgraphs[0].tensors[operator.inputs[1]].shape
        whole = len(kernel) == 4 * filters * np.prod(rest)
        found.append(without_turns(kernel, filters, channels_in(operator)) if whole else (kernel, np.ones(filters)))
    return found


def only_output(content: bytes, names: list[str]) -> tuple[bytes, list[int]]:
    """Makes the last name the only output. Also returns the index of each name's tensor."""
    file = parse(content)
    signature = file.signatureDefs[0]
    indices = {output.name.decode(): output.tensorIndex for output in signature.outputs}
    signature.outputs = [output for output in signature.outputs if output.name.decode() == names[-1]]
    tensors = [indices[name] for name in names]
    file.subgraphs[0].outputs = np.array(tensors[-1:], np.int32)
    return pack(file), tensors


def with_output(content: bytes, tensor: int) -> bytes:
    """A file that computes one of its tensors."""
    file = parse(content)
    file.subgraphs[0].outputs = np.array([tensor], np.int32)
    file.signatureDefs = []
    return pack(file)


def allow_any_batch(content: bytes) -> bytes:
    """Marks the batch size of inputs and outputs as one that `ResizeInputTensor` may set; 1 until then.

    # Raises
        ValueError: for a graph that holds a layer which cannot be resized.
    """
    file = parse(content)
    graph = file.subgraphs[0]
    if any(operation(file, operator) == "LceDequantize" for operator in graph.operators):
        raise ValueError(
            "`batch_size` must be a number for a network with 1-bit inputs to a float layer. Received: batch_size=None."
        )
    for index in (*graph.inputs, *graph.outputs):
        tensor = graph.tensors[index]
        tensor.shapeSignature = np.array([-1, *tensor.shape[1:]], np.int32)
    for operator in graph.operators:
        if operation(file, operator) == "RESHAPE":  # to a constant shape; the batch size comes first
            buffer = file.buffers[graph.tensors[operator.inputs[1]].buffer]
            shape = np.asarray(buffer.data).view(np.int32).copy()
            if shape[0] == 1 and (shape > 0).all():
                shape[0] = -1
                buffer.data = shape.view(np.uint8)
                operator.builtinOptions = None  # they repeat the shape
    return pack(file)


def has_any_batch(content: bytes) -> bool:
    graph = parse(content).subgraphs[0]
    signature = graph.tensors[graph.inputs[0]].shapeSignature
    return signature is not None and len(signature) > 0 and signature[0] == -1


def with_batch(content: bytes, size: int) -> bytes:
    """A file of any batch size with this one: what `ResizeInputTensor` does, which the Python runtime lacks."""
    file = parse(content)
    graph = file.subgraphs[0]
    for index in graph.inputs:
        graph.tensors[index].shape = np.array([size, *graph.tensors[index].shape[1:]], np.int32)
    return pack(file)


def with_metadata(content: bytes, metadata: Mapping[str, Any]) -> bytes:
    """Adds a metadata buffer with JSON."""
    file = parse(content)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = KEY, len(file.buffers)
    file.buffers.append(buffer)
    file.metadata = [*(file.metadata or []), entry]
    return pack(file)


def read_metadata(content: bytes) -> dict[str, Any]:
    """What `with_metadata` added; empty for a file of another origin."""
    file = parse(content)
    for entry in file.metadata or []:
        if entry.name == KEY.encode():
            return json.loads(np.asarray(file.buffers[entry.buffer].data).tobytes())
    return {}


def bit_inputs(content: bytes) -> list[tuple[int, tuple[int, ...]]]:
    """The tensors of bits that the 1-bit convolutions take, each with its shape if every bit is a number."""
    file = parse(content)
    tensors = file.subgraphs[0].tensors
    return [
        (int(operator.inputs[0]), (*tensors[operator.inputs[0]].shape[:-1], channels_in(operator)))
        for operator, _ in binary_operators(file)
    ]


def channels_in(operator: Any) -> int:
    """Of a 1-bit convolution."""
    return flexbuffers.Loads(bytes(operator.customOptions))["channels_in"]


def signs(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """±1 of bits, 32 channels in a word, 1 for −1."""
    bits = np.unpackbits(np.ascontiguousarray(packed).view(np.uint8), axis=-1, count=shape[-1], bitorder="little")
    return np.where(bits, np.float32(-1), np.float32(1)).reshape(shape)


def split(content: bytes, tensors: list[int]) -> bytes:
    """Cuts a graph at each tensor: it becomes an output, and a copy of it an input that feeds what it fed.

    The input that takes the place of bits has floats, and their sign is taken.
    """
    file = parse(content)
    graph = file.subgraphs[0]
    channels = {int(operator.inputs[0]): channels_in(operator) for operator, _ in binary_operators(file)}
    for tensor in tensors:
        fed = len(graph.tensors)
        graph.tensors.append(copy.copy(graph.tensors[tensor]))
        for operator in graph.operators:
            operator.inputs = np.where(operator.inputs == tensor, fed, operator.inputs).astype(np.int32)
        if graph.tensors[fed].type == schema.TensorType.INT32:
            image = copy.copy(graph.tensors[fed])
            image.shape = np.array([*image.shape[:-1], channels[tensor]], np.int32)
            image.type = schema.TensorType.FLOAT32
            graph.tensors.append(image)
            graph.operators.insert(0, _sign_of(file, fed + 1, fed))
            fed += 1
        graph.inputs = np.append(graph.inputs, np.int32(fed))
    graph.outputs = np.concatenate([np.array(tensors, np.int32), graph.outputs])
    file.signatureDefs = []
    return pack(file)


def _sign_of(file: Any, image: int, bits: int) -> Any:
    """An operator from a tensor of floats to one of bits."""
    sign = schema.OperatorT()
    operators = file.subgraphs[0].operators
    sign.opcodeIndex = next(known.opcodeIndex for known in operators if operation(file, known) == "LceQuantize")
    sign.inputs, sign.outputs = np.array([image], np.int32), np.array([bits], np.int32)
    return sign


def binary_part(content: bytes, places: list[int]) -> tuple[bytes, list[tuple[int, ...]]]:
    """Some of the 1-bit convolutions alone, each from a float input of its own to the integers that it counts.

    What the file multiplies and adds afterwards is taken for 1 and 0.

    # Arguments
        content: the file.
        places: of the convolutions among `binary_operators`.

    # Returns
        A file, and the shapes of its inputs.
    """
    file = parse(content)
    graph = file.subgraphs[0]
    all_operators = binary_operators(file)
    inputs, outputs, operators = [], [], []

    def tensor(shape, type_: int, data: np.ndarray | None = None) -> int:
        new = schema.TensorT()
        new.name = f"binary_part_{len(graph.tensors)}"
        new.shape, new.type, new.buffer = np.array(shape, np.int32), type_, 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = data.view(np.uint8)
            new.buffer = len(file.buffers)
            file.buffers.append(buffer)
        graph.tensors.append(new)
        return len(graph.tensors) - 1

    for operator in (all_operators[place][0] for place in places):
        options = flexbuffers.Loads(bytes(operator.customOptions))
        bits, kernel = (graph.tensors[i] for i in operator.inputs[:2])
        filters = kernel.shape[0]
        image = tensor([*bits.shape[:3], options["channels_in"]], schema.TensorType.FLOAT32)
        quantized = tensor(bits.shape, schema.TensorType.INT32)
        ones, zeros = (
            tensor([filters], schema.TensorType.FLOAT32, np.full(filters, value, np.float32)) for value in (1, 0)
        )
        result = tensor([*graph.tensors[operator.outputs[0]].shape[:3], filters], schema.TensorType.FLOAT32)
        sign = _sign_of(file, image, quantized)
        operator.inputs = np.array([quantized, operator.inputs[1], ones, zeros, -1], np.int32)
        operator.outputs = np.array([result], np.int32)
        operator.customOptions = np.frombuffer(flexbuffers.Dumps({**options, "fused_activation_function": 0}), np.uint8)
        inputs.append(image)
        outputs.append(result)
        operators += [sign, operator]
    graph.operators = operators
    graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    file.signatureDefs = []
    return pack(file), [tuple(graph.tensors[i].shape) for i in inputs]
