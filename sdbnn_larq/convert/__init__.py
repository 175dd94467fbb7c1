"""Conversion of models: from and to the authors' PyTorch checkpoints, and to the runtimes of 1-bit convolutions."""

from sdbnn_larq.convert.exported_model import ExportedModel
from sdbnn_larq.convert.inspection import inspect
from sdbnn_larq.convert.lce.export import to_lce
from sdbnn_larq.convert.openvino.export import to_openvino
from sdbnn_larq.convert.torch import load_torch_checkpoint, to_torch_state_dict
from sdbnn_larq.convert.verification import Report, VerificationError

__all__ = [
    "ExportedModel",
    "Report",
    "VerificationError",
    "inspect",
    "load_torch_checkpoint",
    "to_lce",
    "to_openvino",
    "to_torch_state_dict",
]
