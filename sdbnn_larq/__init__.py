"""SD-BNN for Larq: binary networks without scaling factors, as Keras layers and a zoo of architectures.

Data flows through the sub-packages in this order: `quantizers` → `layers` → `zoo` → `training` → `convert`.
"""

import importlib
from types import ModuleType

from sdbnn_larq._keras2 import use_keras_2
from sdbnn_larq._version import __version__

use_keras_2()  # before anything imports Larq

from sdbnn_larq import analysis, callbacks, layers, optimizers, quantizers, zoo  # noqa: E402
from sdbnn_larq.self_distribution import self_distribute  # noqa: E402

# Loaded at their first use, because they are heavy.
_LAZY = ("cli", "convert", "evaluation", "recipes", "training", "tuning", "weights")

__all__ = [
    "__version__",
    "analysis",
    "callbacks",
    "layers",
    "optimizers",
    "quantizers",
    "self_distribute",
    "zoo",
    *_LAZY,
]


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
