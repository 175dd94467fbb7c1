"""What an exported file computes, operation by operation, so that nobody has to guess whether a layer stayed 1-bit."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdbnn_larq.convert.openvino.core import core

BINARY = "1-bit"


@dataclass(frozen=True)
class Operation:
    """One operation of an exported file.

    # Attributes
        name: what the file calls its output.
        kind: the runtime's name for what it does.
        precision: in which it computes, `"1-bit"` or the type of its output.
        macs: multiplications with an addition, for one image.
        bytes: of the constants that only it, or it first, takes.
    """

    name: str
    kind: str
    precision: str
    macs: int
    bytes: int


@dataclass(frozen=True)
class Inspection:
    """The operations of an exported file, in the order of computation.

    # Attributes
        bytes: size of the file, or of both files of OpenVINO's.
        binary_share: 1-bit share of the multiplications with an addition, 0 to 1.
    """

    operations: tuple[Operation, ...]
    bytes: int

    @property
    def binary_share(self) -> float:
        macs = sum(operation.macs for operation in self.operations)
        return sum(operation.macs for operation in self.operations if operation.precision == BINARY) / max(macs, 1)


def inspect(path: str | os.PathLike) -> Inspection:
    """Lists the operations of a file that `to_lce` or `to_openvino` wrote, or another of these formats.

    !!! example
        ```python
        sdbnn_larq.convert.to_openvino(model, "resnet20.xml")
        inspection = sdbnn_larq.convert.inspect("resnet20.xml")
        print(f"{inspection.binary_share:.1%} of {len(inspection.operations)} operations' MACs")
        ```

    # Arguments
        path: a `.tflite` file or OpenVINO's `.xml`.

    # Returns
        An inspection: the operations, the 1-bit share and the size.

    # Raises
        ImportError: if it is OpenVINO's file and OpenVINO is not installed.
        ValueError: if `path` is no such file.
    """
    path = Path(path)
    readers = {".tflite": _tflite, ".xml": _openvino}
    if path.suffix not in readers or not path.is_file():
        raise ValueError(f"`path` must be a .tflite or .xml file. Received: path={str(path)!r}.")
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    try:
        operations = tuple(readers[path.suffix](path))
        return Inspection(operations, sum(file.stat().st_size for file in files))
    except ImportError:
        raise
    except Exception as error:  # the readers raise many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise ValueError(f"`path` must be a whole {path.suffix} file. Received: {str(path)!r}: {reason}") from error


def _tflite(path: Path) -> Iterator[Operation]:
    from flatbuffers import flexbuffers
    from tensorflow.lite.python.schema_py_generated import TensorType

    from sdbnn_larq.convert.lce import _file as lce

    types = {number: name.lower() for name, number in vars(TensorType).items() if isinstance(number, int)}
    file = lce.parse(path.read_bytes())
    graph = file.subgraphs[0]
    sizes = {
        i: len(file.buffers[tensor.buffer].data)
        for i, tensor in enumerate(graph.tensors)
        if file.buffers[tensor.buffer].data is not None
    }
    for operator in graph.operators:
        kind = lce.operation(file, operator)
        inputs = [graph.tensors[i] for i in operator.inputs if i >= 0]
        output = graph.tensors[operator.outputs[0]]
        pixels = math.prod(output.shape[1:-1])
        macs = 0
        if kind == "LceBconv2d":
            channels = flexbuffers.Loads(bytes(operator.customOptions))["channels_in"]
            macs = pixels * math.prod(inputs[1].shape[:3]) * channels
        elif kind == "CONV_2D" or kind == "DEPTHWISE_CONV_2D":
            macs = pixels * math.prod(inputs[1].shape)
        elif kind == "FULLY_CONNECTED":
            macs = math.prod(inputs[1].shape)
        yield Operation(
            name=output.name.decode(),
            kind=kind,
            precision=BINARY if kind in ("LceBconv2d", "LceQuantize") else types[output.type],
            macs=int(macs),
            bytes=sum(sizes.pop(i, 0) for i in operator.inputs),
        )


def _openvino(path: Path) -> Iterator[Operation]:
    counted: set[str] = set()
    for node in core().read_model(path).get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Constant", "Parameter", "Result") or _is_constant(node):
            continue
        shape = node.get_output_shape(0)
        macs = 0
        if kind in ("BinaryConvolution", "Convolution"):
            macs = math.prod(shape[2:]) * math.prod(node.get_input_shape(1))
        elif kind == "MatMul":
            macs = math.prod(node.get_input_shape(1))
        binary = kind == "BinaryConvolution" or (kind == "FakeQuantize" and node.get_attributes()["levels"] == 2)
        yield Operation(
            name=node.get_friendly_name(),
            kind=kind,
            precision=BINARY if binary else _precision(node),
            macs=macs,
            bytes=sum(_constant_bytes(value.get_node(), counted) for value in node.input_values()),
        )


def _is_constant(node: Any) -> bool:
    """Whether a node prepares constants, as the 8-bit weights of a convolution."""
    sources = [value.get_node() for value in node.input_values()]
    return node.get_type_name() == "Constant" or (bool(sources) and all(map(_is_constant, sources)))


def _precision(node: Any) -> str:
    sources = [value.get_node() for value in node.input_values()]
    if len(sources) == 2 and sources[0].get_type_name() == "FakeQuantize" and _is_constant(sources[1]):
        return "int8"
    return np.dtype(node.get_output_element_type(0).to_dtype()).name


def _constant_bytes(node: Any, counted: set[str]) -> int:
    if not _is_constant(node) or node.get_name() in counted:
        return 0
    counted.add(node.get_name())
    if node.get_type_name() == "Constant":
        return node.get_byte_size()
    return sum(_constant_bytes(value.get_node(), counted) for value in node.input_values())
