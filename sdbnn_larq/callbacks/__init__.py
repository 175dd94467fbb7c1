"""Keras callbacks for training SD-BNNs."""

from sdbnn_larq.callbacks.ede_schedule import EDESchedule, ede_parameters

__all__ = ["EDESchedule", "ede_parameters"]
