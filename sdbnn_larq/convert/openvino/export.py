"""Export to OpenVINO, whose x86 runtime has a fast 1-bit convolution."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq.convert.graph import calls, output_call
from sdbnn_larq.convert.metadata import KEY
from sdbnn_larq.convert.openvino.verify import run_file, verify_file
from sdbnn_larq.convert.runtime import require
from sdbnn_larq.convert.source import NORMALIZED, Source, prepare
from sdbnn_larq.convert.staging import staged
from sdbnn_larq.convert.verification import Report, top1_agreement
from sdbnn_larq.layers import ActivationSelfDistribution
from sdbnn_larq.weights import ImagePreprocessing

PRECISE = '<rt_info><attribute name="precise" version="0" /></rt_info>'  # OpenVINO's mark; its Python API sets none


def to_openvino(
    model: tf.keras.Model,
    path: str | os.PathLike,
    *,
    batch_size: int = 1,
    uint8: bool = False,
    int8: bool = False,
    preprocessing: ImagePreprocessing | None = None,
    class_names: Sequence[str] | None = None,
    verify: bool = True,
    images: np.ndarray | None = None,
    allow_float: bool = False,
) -> Report:
    """Writes a network as OpenVINO IR, with 1-bit weights and 1-bit convolutions.

    The file takes images with channels last, as the Keras model does. Before anything is written, every layer is run in
    Keras and in OpenVINO on the same inputs: 1-bit layers must give the same integers, and every layer must agree to
    1e-4 of its range.

    !!! example
        ```python
        model = sdbnn_larq.zoo.load("ResNet20/cifar10")
        report = sdbnn_larq.convert.to_openvino(model, "resnet20.xml", uint8=True)
        ```

    # Arguments
        model: a functional or sequential model of Keras's, Larq's and this package's layers.
        path: the output, ending in `.xml`; the weights go beside it, ending in `.bin`.
        batch_size: the batch size of the file. OpenVINO's `Model.reshape` sets another after reading; its 1-bit
            convolution has to know one before it is compiled.
        uint8: whether the file takes pixels, 0 to 255, and normalises them, to the last bit as
            `zoo.preprocess_input` does; otherwise it takes what the model takes.
        int8: whether the float convolutions, depthwise ones excepted, and the classifier multiply 8-bit numbers: faster
            and smaller, but no longer exact. Their ranges are found on `images`. The comparison with Keras precedes
            this step; the report's top-1 agreement is that of the 8-bit file.
        preprocessing: from pixels to the model's input; that of the model's description if `None`.
        class_names: one for each output; those of the model's description if `None`. The file's `rt_info` holds the
            whole description, which `ExportedModel` gives back.
        verify: whether to compare the result with Keras.
        images: what to compare on, as the file takes it; 4 of random noise if `None`, which `int8` does not allow.
        allow_float: whether a layer that has a quantizer may compute with float inputs or float weights, as in a
            network with `binary_weights=False`.

    # Returns
        A report: the files' sizes and the agreement with Keras.

    # Raises
        ImportError: if OpenVINO is not installed.
        ValueError: for a layer that the export does not support, or an argument that does not fit.
        OSError: if `path` cannot be written.
        VerificationError: if a layer's results differ from Keras's.
    """
    require("openvino", "openvino")
    if batch_size is None:
        raise ValueError(
            "`batch_size` must be a number, because OpenVINO's 1-bit convolution has no other; "
            "`Model.reshape` changes it after reading. Received: batch_size=None."
        )
    if int8 and images is None:
        raise ValueError("With `int8`, `images` must be given: real ones, whose ranges it takes. Received: None.")
    source = prepare(
        model,
        batch_size=batch_size,
        uint8=uint8,
        preprocessing=preprocessing,
        class_names=class_names,
        images=images,
        allow_float=allow_float,
    )
    with staged(path, (".xml", ".bin")) as temporary:
        graph = _graph(source)
        _write(graph, temporary, source.model)
        report = verify_file(source, temporary) if verify else Report()
        if int8:
            from sdbnn_larq.convert.openvino.int8 import quantize

            quantize(graph, source.images)
            _write(graph, temporary, source.model)
            if verify:
                agreement = top1_agreement(source, run_file(temporary, source.images))
                report = replace(report, top1_agreement=agreement)
    files = [Path(path).with_suffix(suffix) for suffix in (".xml", ".bin")]
    return replace(report, files={str(file): file.stat().st_size for file in files})


def _graph(source: Source) -> Any:
    import openvino as ov
    import openvino.opset13 as ops

    from sdbnn_larq.convert.openvino.emitters import EMITTERS, normalized, unsupported

    model = source.model
    nodes: dict[str, Any] = {}
    for call in calls(model):
        if isinstance(call.layer, tf.keras.layers.InputLayer):
            shape = [source.batch_size, *model.input_shape[1:]]
            image = ops.parameter(shape, np.uint8 if source.uint8 else np.float32, name=f"{call.name}_image")
            image.output(0).set_names({call.name})
            node = image
            if source.uint8:
                node = normalized(image, source.preprocessing)
                node.set_friendly_name(NORMALIZED)
            node = _permute(node, (0, 3, 1, 2))
        elif type(call.layer) not in EMITTERS:
            raise unsupported(call.layer, "")
        else:
            node = EMITTERS[type(call.layer)](call.layer, *(nodes[id_] for id_ in call.inputs))
        if not any(node is other for other in nodes.values()):  # else the layer changes nothing
            node.set_friendly_name(call.name)
        if (rank := node.get_output_partial_shape(0).rank.get_length()) not in (2, 4):
            raise unsupported(call.layer, f", whose output has the rank {rank}, neither 2 nor 4")
        nodes[call.output] = node
    last = output_call(model, calls(model))
    result = ops.result(_permute(nodes[last.output], (0, 2, 3, 1)))
    result.get_output_tensor(0).set_names({last.name})
    graph = ov.Model([result], [image], model.name)
    graph.set_rt_info(json.dumps(source.metadata, separators=(",", ":")), [KEY])
    return graph


def _write(graph: Any, path: Path, model: tf.keras.Model) -> None:
    import openvino as ov

    ov.serialize(graph, path, path.with_suffix(".bin"))
    lines = (line.strip() for line in path.read_text(encoding="utf-8").split("\n"))  # indentation is a third of it
    text = "".join(re.sub(" />$", "/>", line) for line in lines)
    # An input is like the output that feeds it, where OpenVINO reads precision and shape.
    text = re.sub("<input>.*?</input>", lambda ports: re.sub(" precision.*?</port>", "/>", ports[0]), text)
    names = "|".join(map(re.escape, _precise(graph, model))) or "(?!)"
    text = re.sub(rf'<layer id="\d+" name="(?:{names})" [^>]*>', rf"\g<0>{PRECISE}", text)
    path.write_text(text, encoding="utf-8")


def _precise(graph: Any, model: tf.keras.Model) -> list[str]:
    """The nodes that compute Activation Self-Distribution's shifts and add them, which OpenVINO shall not do in bf16.

    There a shift of 0.999 would be 1, and the sign of -1 + 1 another, for all of a channel's saturated activations.
    """
    sums = {call.name for call in calls(model) if isinstance(call.layer, ActivationSelfDistribution)}
    nodes = []
    for node in graph.get_ordered_ops():
        if node.get_friendly_name() in sums:
            x, shift = (node.input_value(i).get_node() for i in (0, 1))
            if shift.get_type_name() == "Constant":  # a bias of the layer before it, as precise as that layer is
                nodes += [node, x]
                while x.get_type_name() in ("Add", "Multiply"):
                    x = x.input_value(0).get_node()
                    nodes.append(x)
            else:
                nodes += [node, shift, shift.input_value(0).get_node()]
    return [node.get_friendly_name() for node in nodes]


def _permute(node: Any, axes: tuple[int, ...]) -> Any:
    """Images to the other layout; anything else as it is."""
    import openvino.opset13 as ops

    rank = node.get_output_partial_shape(0).rank.get_length()
    return ops.transpose(node, ops.constant(list(axes))) if rank == len(axes) else node
