"""What a file of Larq Compute Engine computes."""

import math
from collections.abc import Iterator
from pathlib import Path

from flatbuffers import flexbuffers
from tensorflow.lite.python.schema_py_generated import TensorType

from sdbnn_larq.convert.lce import file
from sdbnn_larq.convert.operation import BINARY, Operation


def operations(path: Path) -> Iterator[Operation]:
    """The operations of a `.tflite` file."""
    types = {number: name.lower() for name, number in vars(TensorType).items() if isinstance(number, int)}
    content = file.parse(path.read_bytes())
    graph = content.subgraphs[0]
    sizes = {
        i: len(content.buffers[tensor.buffer].data)
        for i, tensor in enumerate(graph.tensors)
        if content.buffers[tensor.buffer].data is not None
    }
    for operator in graph.operators:
        kind = file.operation(content, operator)
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
