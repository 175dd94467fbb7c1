"""SD-BNN for Larq: binary networks without scaling factors, as Keras layers and a zoo of architectures.

Data flows through the sub-packages in this order: `quantizers` → `layers` → `zoo` → `training` → `convert`.
"""

from importlib import metadata

from sdbnn_larq._keras2 import use_keras_2

use_keras_2()  # before anything imports Larq

from sdbnn_larq import callbacks, convert, layers, quantizers, zoo  # noqa: E402

__version__ = metadata.version("sdbnn_larq")

__all__ = ["callbacks", "convert", "layers", "quantizers", "zoo"]
