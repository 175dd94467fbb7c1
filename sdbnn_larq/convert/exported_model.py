"""Running an exported file."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sdbnn_larq._counts import is_count
from sdbnn_larq.convert.metadata import description_in
from sdbnn_larq.convert.runtime import Run
from sdbnn_larq.convert.targets import target_of


class ExportedModel:
    """A file of `to_lce` or `to_openvino`, ready to run in its runtime.

    One instance may be used by any number of threads: as many calls of `predict` run at a time as the process has cores
    for, and the others wait for their turn. The first calls that run beside others take longer, because each makes an
    interpreter of its own, which later calls use again.

    !!! example
        ```python
        model = sdbnn_larq.zoo.load("ResNet20/cifar10")
        sdbnn_larq.convert.to_openvino(model, "resnet20.xml", uint8=True)
        network = sdbnn_larq.convert.ExportedModel("resnet20.xml")
        probabilities = network.predict(np.zeros((2, 32, 32, 3), np.uint8))
        ```

    # Arguments
        path: a `.tflite` file or OpenVINO's `.xml`.
        threads: of the processor that one call of `predict` may use.
        precision: `"f32"` or `"bf16"`, in which OpenVINO computes what is float; Larq Compute Engine has `"f32"` only.
        indirect: whether Larq Compute Engine takes its indirect 1-bit kernels: on x86 four times as fast.

    # Attributes
        runtime: `"lce"` or `"openvino"`.
        input_shape: `(batch, height, width, channels)`; the file's own batch size.
        output_shape: likewise.
        dtype: of the images, uint8 or float32.
        description: the network's, which `zoo.describe`, `zoo.preprocess_input` and `zoo.decode_predictions` take from
            it; `None` for a file of another origin.
        metadata: all that this package wrote into the file; empty for a file of another origin.

    # Raises
        ImportError: if the runtime is not installed.
        ValueError: if `path` is no such file, or another argument does not fit.
    """

    def __init__(
        self, path: str | os.PathLike, *, threads: int = 1, precision: str = "f32", indirect: bool = True
    ) -> None:
        path = Path(path)
        target = target_of(path)
        if precision not in target.precisions:
            allowed = " or ".join(f'"{name}"' for name in target.precisions)
            raise ValueError(f"`precision` must be {allowed} for {path.suffix}. Received: precision={precision!r}.")
        if not is_count(threads):
            raise ValueError(f"`threads` must be a whole number from 1. Received: threads={threads!r}.")
        target.require()
        try:
            loaded = target.load(path, threads=threads, precision=precision, indirect=indirect)
            self._runs = _Pool(loaded.start, max(1, _cores() // threads))
        except Exception as error:  # the runtimes raise many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise ValueError(f"`path` must be a whole {path.suffix} file. Received: {str(path)!r}: {reason}") from error
        self.runtime = target.name
        self.metadata = loaded.metadata
        self.input_shape = loaded.input_shape
        self.output_shape = loaded.output_shape
        self.dtype = loaded.dtype
        self.description = description_in(loaded.metadata, loaded.input_shape, loaded.output_shape)

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
        with self._runs.borrowed() as run:
            batches = [run(np.ascontiguousarray(whole[i : i + size])) for i in range(0, len(whole), size)]
        return np.concatenate(batches)[: len(images)]


class _Pool:
    """Runs that one thread at a time may borrow, made when they are wanted.

    # Arguments
        start: makes a run.
        limit: how many may be borrowed at a time.
    """

    def __init__(self, start: Callable[[], Run], limit: int) -> None:
        self._start = start
        self._starting = threading.Lock()
        self._slots = threading.Semaphore(limit)
        self._idle = deque([start()])  # a stack, whose last one is warm

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[Run]:
        with self._slots:
            try:
                run = self._idle.pop()
            except IndexError:
                with self._starting:
                    run = self._start()
            try:
                yield run
            finally:
                self._idle.append(run)


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
