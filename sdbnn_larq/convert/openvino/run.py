"""OpenVINO's runtime, once a process, and running its files."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from sdbnn_larq.convert.metadata import KEY
from sdbnn_larq.convert.runtime import LoadedFile, Run, require


@functools.cache
def core() -> Any:
    """The `openvino.Core` that all of this process use.

    Each one's CPU plugin gives the thread another stack for signal handlers, and puts the one before back when it
    goes (`sigstack_manager.cpp` of OpenVINO 2026.4). Where the older of two goes first, the younger puts back a stack
    that is gone, and the next Ctrl-C is a segmentation fault. This one never goes.

    # Raises
        ImportError: without OpenVINO.
    """
    return require("openvino", "openvino").Core()


def load(path: Path, *, threads: int, precision: str, indirect: bool) -> LoadedFile:
    """Loads an `.xml` file; each start compiles it anew, so that a process with one thread pays for one stream."""
    graph = core().read_model(path)
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # else all streams that run at once may be on the same core
    }

    def start() -> Run:
        request = core().compile_model(graph, "CPU", options).create_infer_request()
        return lambda batch: np.array(next(iter(request.infer([batch]).values())))

    return LoadedFile(
        json.loads(graph.get_rt_info([KEY]).astype(str)) if graph.has_rt_info([KEY]) else {},
        tuple(graph.input(0).shape),
        tuple(graph.output(0).shape),
        graph.input(0).element_type.to_dtype(),
        start,
    )
