"""What the runtimes of exported files have in common."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LoadedFile:
    """An exported file in its runtime.

    # Attributes
        metadata: what the export wrote of the network; empty for a file of another origin.
        input_shape: `(batch, height, width, channels)`.
        output_shape: likewise.
        dtype: of the images.
        start: makes a function that runs one batch; it serves one thread at a time.
    """

    metadata: dict[str, Any]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    dtype: np.dtype
    start: Callable[[], Run]


def require(module: str, extra: str) -> ModuleType:
    """Imports a runtime.

    # Raises
        ImportError: naming the extra that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"`{module}` must be installed: pip install sdbnn_larq[{extra}]. Received: {error}."
        ) from error
