"""What `sdbnn benchmark` compares: a network, its float twin and its 8-bit twin, each in the runtimes that have it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import larq_zoo
import numpy as np
import tensorflow as tf

from sdbnn_larq import convert
from sdbnn_larq.convert.lce.file import with_batch
from sdbnn_larq.convert.lce.run import interpreter
from sdbnn_larq.convert.openvino.run import core

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Contestant:
    """A network in a runtime.

    # Attributes
        name: as in the table.
        bytes: of its files; `None` where there is none.
        start: makes a function that runs batches of the given shape.
        network: which it is: the one that is measured, its float `"twin"`, or another.
    """

    name: str
    bytes: int | None
    start: Callable[[tuple[int, ...]], Run]
    network: str = "measured"


def contestants(
    model: tf.keras.Model, twin: tf.keras.Model, folder: Path, images: np.ndarray, threads: int
) -> list[Contestant]:
    """Exports everything that is compared.

    # Arguments
        model: the 1-bit network in Keras.
        twin: the float network of the same architecture.
        folder: for the files.
        images: as the network takes them; what the exports are verified on and 8-bit ranges found on.
        threads: of the processor that each may use.
    """
    shape = model.input_shape[1:]
    convert.to_lce(model, folder / "model.tflite", images=images[:4])
    convert.to_openvino(model, folder / "model.xml", images=images[:4])
    convert.to_openvino(model, folder / "int8.xml", images=images, int8=True, verify=False)
    convert.to_openvino(twin, folder / "twin.xml", images=images[:4])
    _to_tflite(twin, folder / "twin.tflite")
    _quantize(folder / "twin.xml", folder / "twin_int8.xml", images)
    found = [
        Contestant("Keras", None, lambda _: _keras(model)),
        _lce("LCE", folder / "model.tflite", threads),
        _openvino("OpenVINO", folder / "model.xml", threads),
        _openvino("OpenVINO, bf16", folder / "model.xml", threads, "bf16"),
        _openvino("OpenVINO, int8 stem and shortcuts", folder / "int8.xml", threads),
        Contestant(
            "float32 twin, TFLite",
            (folder / "twin.tflite").stat().st_size,
            lambda shape: _tflite(folder / "twin.tflite", shape, threads),
            "twin",
        ),
        _openvino("float32 twin, OpenVINO", folder / "twin.xml", threads, network="twin"),
        _openvino("bf16 twin, OpenVINO", folder / "twin.xml", threads, "bf16", network="twin"),
        _openvino("int8 twin, OpenVINO", folder / "twin_int8.xml", threads, network="twin"),
    ]
    if shape == (224, 224, 3):
        bireal = larq_zoo.literature.BiRealNet(weights=None)
        convert.to_lce(bireal, folder / "bireal.tflite", verify=False)  # its speed alone counts
        found.append(_lce("larq-zoo's BiRealNet, LCE", folder / "bireal.tflite", threads, network="BiRealNet"))
    return found


def _keras(model: tf.keras.Model) -> Run:
    call = tf.function(lambda x: model(x, training=False))
    return lambda x: call(tf.constant(x)).numpy()


def _lce(name: str, path: Path, threads: int, network: str = "measured") -> Contestant:
    def start(shape: tuple[int, ...]) -> Run:
        engine = interpreter(with_batch(path.read_bytes(), shape[0]), threads)
        return lambda x: engine.predict([x])[0]

    return Contestant(name, path.stat().st_size, start, network)


def _openvino(name: str, path: Path, threads: int, precision: str = "f32", network: str = "measured") -> Contestant:
    def start(shape: tuple[int, ...]) -> Run:
        graph = core().read_model(path)
        graph.reshape(list(shape))
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
        request = core().compile_model(graph, "CPU", options).create_infer_request()
        return lambda x: next(iter(request.infer([x]).values()))

    size = path.stat().st_size + path.with_suffix(".bin").stat().st_size
    return Contestant(name, size, start, network)


def _tflite(path: Path, shape: tuple[int, ...], threads: int) -> Run:
    engine = tf.lite.Interpreter(str(path), num_threads=threads)  # with XNNPACK
    index = engine.get_input_details()[0]["index"]
    engine.resize_tensor_input(index, shape)
    engine.allocate_tensors()

    def run(x: np.ndarray) -> np.ndarray:
        engine.set_tensor(index, x)
        engine.invoke()
        return engine.get_tensor(engine.get_output_details()[0]["index"])

    return run


def _to_tflite(model: tf.keras.Model, path: Path) -> None:
    image = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    call = tf.function(lambda x: model(x, training=False)).get_concrete_function(image)
    module = tf.Module()
    module.weights = model.variables  # a bare module, because saving a Keras model traces it many times over
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([call], module).convert())


def _quantize(path: Path, output: Path, images: np.ndarray) -> None:
    """OpenVINO's own 8-bit quantization, by NNCF."""
    import nncf
    import openvino as ov

    graph = core().read_model(path)
    batches: Any = nncf.Dataset([image[None] for image in images])
    ov.save_model(nncf.quantize(graph, batches, subset_size=len(images)), output, compress_to_fp16=False)
