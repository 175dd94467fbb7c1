"""What an OpenVINO file computes."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sdbnn_larq.convert.openvino.run import core
from sdbnn_larq.convert.operation import BINARY, Operation


def operations(path: Path) -> Iterator[Operation]:
    """The operations of an `.xml` file; what only prepares constants is none."""
    counted: set[str] = set()
    for node in core().read_model(path).get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Constant", "Parameter", "Result") or _is_constant(node):
            continue
        shape = node.get_output_shape(0)
        macs = 0
        if kind in ("BinaryConvolution", "Convolution", "GroupConvolution"):
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
    if sources and sources[0].get_type_name() == "Pad":
        sources[0] = sources[0].input_value(0).get_node()
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
