"""Running an exported file."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from sdbnn_larq.convert._graph import require
from sdbnn_larq.convert._source import KEY
from sdbnn_larq.convert.openvino.core import core


class ExportedModel:
    """A file of `to_lce` or `to_openvino`, ready to run in its runtime.

    !!! example
        ```python
        sdbnn_larq.convert.to_openvino(model, "resnet20.xml", uint8=True)
        network = sdbnn_larq.convert.ExportedModel("resnet20.xml")
        probabilities = network.predict(np.zeros((2, 32, 32, 3), np.uint8))
        ```

    # Arguments
        path: a `.tflite` file or OpenVINO's `.xml`.
        threads: of the processor that it may use.
        precision: `"f32"` or `"bf16"`, in which OpenVINO computes what is float; Larq Compute Engine has `"f32"` only.
        indirect: whether Larq Compute Engine takes its indirect 1-bit kernels: on x86 four times as fast.

    # Attributes
        input_shape: `(batch, height, width, channels)`; the file's own batch size.
        output_shape: likewise.
        dtype: of the images, uint8 or float32.
        metadata: what the export tells of the network; empty for a file of another origin.

    # Raises
        ImportError: if the runtime is not installed.
        ValueError: if `path` is no such file.
    """

    def __init__(
        self, path: str | os.PathLike, *, threads: int = 1, precision: str = "f32", indirect: bool = True
    ) -> None:
        path = Path(path)
        loaders = {".tflite": self._load_lce, ".xml": self._load_openvino}
        if path.suffix not in loaders or not path.is_file():
            raise ValueError(f"`path` must be a .tflite or .xml file. Received: path={str(path)!r}.")
        if precision not in ("f32", "bf16"):
            raise ValueError(f'`precision` must be "f32" or "bf16". Received: precision={precision!r}.')
        if path.suffix == ".xml":
            require("openvino", "openvino")
        else:
            require("larq_compute_engine", "lce")
        try:
            loaders[path.suffix](path, threads, precision, indirect)
        except Exception as error:  # the runtimes raise many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise ValueError(f"`path` must be a whole {path.suffix} file. Received: {str(path)!r}: {reason}") from error

    def _load_lce(self, path: Path, threads: int, precision: str, indirect: bool) -> None:
        from sdbnn_larq.convert.lce import _file as lce

        content = path.read_bytes()
        self.metadata: dict[str, Any] = lce.read_metadata(content)
        engine = lce.interpreter(content, threads, indirect)
        self.input_shape: tuple[int, ...] = tuple(engine.input_shapes[0])
        self.output_shape: tuple[int, ...] = tuple(engine.output_shapes[0])
        self.dtype = np.dtype(engine.input_types[0])
        self._run = lambda batch: engine.predict([batch])[0]

    def _load_openvino(self, path: Path, threads: int, precision: str, indirect: bool) -> None:
        graph = core().read_model(path)
        self.metadata = json.loads(graph.get_rt_info([KEY]).astype(str)) if graph.has_rt_info([KEY]) else {}
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
        request = core().compile_model(graph, "CPU", options).create_infer_request()
        self.input_shape = tuple(graph.input(0).shape)
        self.output_shape = tuple(graph.output(0).shape)
        self.dtype = graph.input(0).element_type.to_dtype()
        self._run = lambda batch: np.array(next(iter(request.infer([batch]).values())))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Runs the network.

        # Arguments
            images: `(n, height, width, channels)` of the file's type, any number of them.

        # Returns
            float32, `n` results; the network's probabilities, logits or features.

        # Raises
            ValueError: for images of another shape or type.
        """
        images = np.asarray(images)
        size, *shape = self.input_shape
        if images.dtype != self.dtype or images.ndim != len(self.input_shape) or list(images.shape[1:]) != shape:
            raise ValueError(
                f"`images` must be {self.dtype.name} of shape (n, {', '.join(map(str, shape))}). "
                f"Received: {images.dtype.name} of shape {images.shape}."
            )
        if not len(images):
            raise ValueError("`images` must be at least one image. Received: 0.")
        whole = np.resize(images, (-(-len(images) // size) * size, *shape))  # the last batch filled with the first
        batches = [self._run(np.ascontiguousarray(whole[i : i + size])) for i in range(0, len(whole), size)]
        return np.concatenate(batches)[: len(images)]
