"""Keras callbacks for training SD-BNNs."""

from sdbnn_larq.callbacks.ede_schedule import EDESchedule, ede_parameters
from sdbnn_larq.callbacks.sign_statistics import SignStatistics

__all__ = ["EDESchedule", "SignStatistics", "ede_parameters"]
