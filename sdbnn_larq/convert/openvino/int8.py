"""8-bit weights and inputs for the layers of an OpenVINO graph that multiply floats."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from sdbnn_larq.convert.openvino.run import core

LARGEST = 127  # of a symmetric 8-bit number


def quantize(graph: ov.Model, images: np.ndarray) -> None:
    """Lets the float convolutions and dense layers multiply 8-bit numbers; their results stay float.

    Weights get a scale for each output channel, inputs one scale: the largest value that they have on the images.

    # Arguments
        graph: changed in place. The two small dense layers of Activation Self-Distribution stay float.
        images: what to find the inputs' ranges on.
    """
    layers = {
        place: node
        for place, node in enumerate(graph.get_ordered_ops())
        if node.get_type_name() in ("Convolution", "MatMul")
        and node.input_value(1).get_node().get_type_name() == "Constant"
        and not node.get_friendly_name().endswith(("/squeeze", "/excite"))
    }
    for layer, (low, high) in zip(layers.values(), _ranges(graph, list(layers), images), strict=True):
        before = layer.input_value(0).get_node()
        if before.get_type_name() == "Pad":  # zeros stay 0, and OpenVINO fuses the padding
            inner, *pads = before.input_values()
            # One of its own: other layers may take what is padded as it was.
            taken = ops.pad(_quantized(inner, low, high), *pads[:2], "constant", pads[2])
        else:
            taken = _quantized(layer.input_value(0), low, high)
        layer.input(0).replace_source_output(taken.output(0))
        layer.input(1).replace_source_output(_weights(layer).output(0))
    graph.validate_nodes_and_infer_types()


def _ranges(graph: ov.Model, layers: list[int], images: np.ndarray) -> list[tuple[float, float]]:
    """The smallest and largest value of the input of each layer, given by its place among the ordered operations."""
    probe = graph.clone()
    copies = probe.get_ordered_ops()  # names would not do: two uses of a layer may have the same
    inputs = [copies[place].input_value(0) for place in layers]
    probe.add_outputs(inputs)
    # One result may stand for several layers that take the same input.
    results = [result.input_value(0) for result in probe.get_results()]
    places = [results.index(value) for value in inputs]
    size = probe.input(0).shape[0]
    run = core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    whole = np.resize(images, (-(-len(images) // size) * size, *images.shape[1:]))
    found = []
    for start in range(0, len(whole), size):
        values = run(whole[start : start + size])
        found.append([(values[place].min(), values[place].max()) for place in places])
    return [(min(low for low, _ in pairs), max(high for _, high in pairs)) for pairs in zip(*found)]


def _quantized(x: Any, low: float, high: float) -> ov.Node:
    if low >= 0:
        bounds = 0.0, max(high, 1e-6)
    else:
        step = max(-low, high) / LARGEST
        bounds = -(LARGEST + 1) * step, LARGEST * step
    begin, end = (ops.constant(np.float32(bound)) for bound in bounds)
    return ops.fake_quantize(x, begin, end, begin, end, 256)


def _weights(layer: Any) -> ov.Node:
    kernel = layer.input_value(1).get_node().data
    outputs = 0 if layer.get_type_name() == "Convolution" else kernel.ndim - 1
    others = tuple(axis for axis in range(kernel.ndim) if axis != outputs)
    scale = np.maximum(np.abs(kernel).max(others, keepdims=True), 1e-12) / LARGEST
    whole = np.round(kernel / scale).astype(np.int8)
    return ops.multiply(ops.convert(ops.constant(whole), "f32"), ops.constant(scale.astype(np.float32)))
