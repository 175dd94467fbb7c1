"""OpenVINO's runtime, once a process."""

import functools
from typing import Any

from sdbnn_larq.convert._graph import require


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
