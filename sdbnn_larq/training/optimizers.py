"""The optimizers under the name that models saved by earlier versions give."""

from sdbnn_larq.optimizers import SGDL2

__all__ = ["SGDL2"]
