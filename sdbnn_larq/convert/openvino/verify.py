"""Comparison of an OpenVINO file with its Keras model, layer by layer."""

from pathlib import Path
from typing import Any

import numpy as np

from sdbnn_larq._errors import one_line
from sdbnn_larq.convert.graph import calls
from sdbnn_larq.convert.openvino.run import core
from sdbnn_larq.convert.source import NORMALIZED, Source
from sdbnn_larq.convert.verification import Block, Report, Values, VerificationError, verify
from sdbnn_larq.layers.binary import is_binary

FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}  # OpenVINO's own choice is bf16 where the processor has it


def verify_file(source: Source, path: Path) -> Report:
    """Compares every layer that is a node of the file with Keras, and each sign with that of Keras's number.

    # Raises
        VerificationError: naming the first that differs.
    """
    model, images = source.model, source.images
    parts = core().read_model(path)
    parts.reshape(list(images.shape))
    named = {node.get_friendly_name(): node for node in parts.get_ordered_ops()}
    tested = [call for call in calls(model) if call.name in named]
    binary = [call for call in tested if is_binary(call.layer)]
    integers = [_binary_convolution(named[call.name]) for call in binary]
    # Where the last sum of the layer before is now the threshold of a sign, that sum is no node.
    known = {key for call in tested for key in (call.name, call.output)}
    signs = {}
    for call, node in zip(binary, integers):
        sign = node.input_value(0).get_node()
        before = sign.input_value(0).get_node()
        if before.get_type_name() != "Pad" and not known & {before.get_friendly_name(), call.inputs[0]}:
            signs[call.inputs[0]] = sign
    outputs = [*(named[call.name] for call in tested), *(node.input_value(0).get_node() for node in signs.values())]
    split = _compiled(_split(parts, outputs, integers))

    def run_parts(values: Values) -> tuple[Values, Values]:
        fed = [images, *(_to_nchw(values[call.output]) for call in tested)]
        unknown = [np.zeros(node.get_output_shape(0), np.float32) for node in signs.values()]
        results = list(split([*fed, *unknown]).values())
        sums = dict(zip(signs, results[len(tested) :]))
        bits = {id_: x > signs[id_].input_value(1).get_node().data for id_, x in sums.items()}
        right = [_with_signs(x, bits[id_], values[id_] >= 0) for id_, x in sums.items()]
        if signs:
            results = list(split([*fed, *right]).values())
        return (
            {
                **{call.output: _to_nhwc(result) for call, result in zip(tested, results)},
                **{id_: np.where(_to_nhwc(bit), 1, -1).reshape(values[id_].shape) for id_, bit in bits.items()},
            },
            {
                call.output: _to_nhwc(result).reshape(-1, *call.keras_output.shape[1:])
                for call, result in zip(binary, results[len(outputs) :])
            },
        )

    names = {call.output: call.name for call in calls(model)}
    blocks = [Block(call.name, call.output) for call in tested]
    blocks[-1:-1] = [Block(names[id_], id_, signs=True) for id_ in signs]
    return verify(
        source, blocks, binary, run_parts, lambda pixels: run_file(path, pixels, NORMALIZED), run_file(path, images)
    )


def _with_signs(x: np.ndarray, bits: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Numbers of the given signs: `x` but for those that rounding turned, since one turned sign would spread."""
    positive = _to_nchw(positive).reshape(x.shape)
    return np.where(bits == positive, x, np.where(positive, np.float32(1e30), np.float32(-1e30)))


def run_file(path: Path, images: np.ndarray, node: str | None = None) -> np.ndarray:
    """The output of the file, or of one of its nodes."""
    import openvino as ov

    graph = core().read_model(path)
    graph.reshape(list(images.shape))
    if node is not None:
        (found,) = (other for other in graph.get_ordered_ops() if other.get_friendly_name() == node)
        graph = ov.Model([found.output(0)], graph.get_parameters(), node)
    return _compiled(graph)(images)[0]


def _compiled(graph: Any) -> Any:
    try:
        return core().compile_model(graph, "CPU", FLOAT32)
    except RuntimeError as error:
        raise VerificationError(f"OpenVINO must compile the file. Received: {one_line(error)[-200:]}") from error


def _split(model: Any, nodes: list[Any], also: list[Any]) -> Any:
    """Cuts a graph behind each node: a new parameter feeds what the node fed, and the node's output is a result.

    The outputs of the nodes in `also` are results, too.
    """
    import openvino as ov
    import openvino.opset13 as ops

    parameters = []
    for node in nodes:
        parameter = ops.parameter(node.get_output_partial_shape(0), np.float32)
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(parameter.output(0))
        parameters.append(parameter)
    results = [ops.result(node) for node in (*nodes, *also)]
    return ov.Model(results, [*model.get_parameters(), *parameters], "blocks")


def _binary_convolution(node: Any) -> Any:
    """The 1-bit convolution from which a layer's output is computed."""
    while node.get_type_name() != "BinaryConvolution":
        node = node.input_value(0).get_node()
    return node


def _to_nchw(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if value.ndim == 4 else value


def _to_nhwc(value: np.ndarray) -> np.ndarray:
    return value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
