"""Export to OpenVINO, whose x86 runtime has a fast 1-bit convolution."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq.convert._graph import Call, calls, functional, is_binary, require, staged
from sdbnn_larq.convert._verify import Block, Report, example_images, output_call, verify


def to_openvino(
    model: tf.keras.Model,
    path: str | os.PathLike,
    *,
    batch_size: int = 1,
    verify: bool = True,
    images: np.ndarray | None = None,
) -> Report:
    """Writes a network as OpenVINO IR, with 1-bit weights and 1-bit convolutions.

    The file takes and gives what the Keras model does, channels last. Every layer is run in Keras and in OpenVINO on
    the same inputs before anything is written: 1-bit convolutions must agree exactly, other layers to 1e-4 of their
    range.

    !!! example
        ```python
        model = sdbnn_larq.zoo.ResNet20(weights="resnet20.h5")
        report = sdbnn_larq.convert.to_openvino(model, "resnet20.xml")
        ```

    # Arguments
        model: a functional or sequential model of Keras's, Larq's and this package's layers.
        path: the output, ending in `.xml`; the weights go beside it, ending in `.bin`.
        batch_size: the batch size of the file. OpenVINO's `Model.reshape` sets another after reading; its 1-bit
            convolution has to know one before it is compiled.
        verify: whether to compare the result with Keras.
        images: what to compare on, preprocessed as the model wants it; 4 of random noise if `None`.

    # Returns
        A report: the files' sizes and the agreement with Keras.

    # Raises
        ImportError: if OpenVINO is not installed.
        ValueError: for a layer that the export does not support, or a path or images that do not fit.
        OSError: if `path` cannot be written.
        VerificationError: if a layer's results differ from Keras's.
    """
    require("openvino", "openvino")
    model = functional(model)
    with staged(path, (".xml", ".bin")) as temporary:
        import openvino as ov

        ov.serialize(_graph(model, batch_size), temporary, temporary.with_suffix(".bin"))
        lines = temporary.read_text().splitlines()
        temporary.write_text("".join(line.strip() for line in lines))  # indentation is a third of the text
        report = _verify(model, temporary, example_images(model, images)) if verify else Report()
    files = [Path(path).with_suffix(suffix) for suffix in (".xml", ".bin")]
    return replace(report, files={str(file): file.stat().st_size for file in files})


def _graph(model: tf.keras.Model, batch_size: int) -> Any:
    import openvino as ov
    import openvino.opset13 as ops

    from sdbnn_larq.convert._openvino_layers import EMITTERS, unsupported

    nodes: dict[str, Any] = {}
    for call in calls(model):
        if isinstance(call.layer, tf.keras.layers.InputLayer):
            image = ops.parameter([batch_size, *model.input_shape[1:]], np.float32, name=f"{call.name}_image")
            image.output(0).set_names({call.name})
            node = _permute(image, (0, 3, 1, 2))
        elif type(call.layer) not in EMITTERS:
            raise unsupported(call.layer, "")
        else:
            node = EMITTERS[type(call.layer)](call.layer, *(nodes[id_] for id_ in call.inputs))
        if not any(node is other for other in nodes.values()):  # else the layer changes nothing
            node.set_friendly_name(call.name)
        nodes[call.output] = node
    last = output_call(model, calls(model))
    result = ops.result(_permute(nodes[last.output], (0, 2, 3, 1)))
    result.get_output_tensor(0).set_names({last.name})
    return ov.Model([result], [image], model.name)


def _permute(node: Any, axes: tuple[int, ...]) -> Any:
    """Images to the other layout; anything else as it is."""
    import openvino.opset13 as ops

    rank = node.get_output_partial_shape(0).rank.get_length()
    return ops.transpose(node, ops.constant(list(axes))) if rank == len(axes) else node


def _verify(model: tf.keras.Model, path: Path, images: np.ndarray) -> Report:
    import openvino as ov

    core = ov.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    shape = [len(images), *images.shape[1:]]
    parts, whole = core.read_model(path), core.read_model(path)
    parts.reshape(shape)
    whole.reshape(shape)
    named = {node.get_friendly_name(): node for node in parts.get_ordered_ops()}
    tested = [call for call in calls(model) if call.name in named]
    split = core.compile_model(_split(parts, [named[call.name] for call in tested]), "CPU", options)

    def run_blocks(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        fed = [_to_nchw(values[call.output]) for call in tested]
        results = split([images, *fed])
        return {call.output: _to_nhwc(results[i]) for i, call in enumerate(tested)}

    blocks = [Block(call.name, call.output, _is_exact(call)) for call in tested]
    return verify(model, images, blocks, run_blocks, lambda x: core.compile_model(whole, "CPU", options)(x)[0])


def _split(model: Any, nodes: list[Any]) -> Any:
    """Cuts a graph behind each node: a new parameter feeds what the node fed, and the node's output is a result."""
    import openvino as ov
    import openvino.opset13 as ops

    parameters = []
    for node in nodes:
        parameter = ops.parameter(node.get_output_partial_shape(0), np.float32)
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(parameter.output(0))
        parameters.append(parameter)
    return ov.Model([ops.result(node) for node in nodes], [*model.get_parameters(), *parameters], "blocks")


def _is_exact(call: Call) -> bool:
    layer = call.layer
    return is_binary(layer) and not layer.use_bias and layer.activation.__name__ == "linear"


def _to_nchw(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if value.ndim == 4 else value


def _to_nhwc(value: np.ndarray) -> np.ndarray:
    return value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
