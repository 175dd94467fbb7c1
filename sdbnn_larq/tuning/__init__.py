"""Searches for the best fields of a task with Keras Tuner."""

from sdbnn_larq.tuning.recipe import adjusted
from sdbnn_larq.tuning.search import Search
from sdbnn_larq.tuning.space import Choice, Range, parse_choice, parse_range

__all__ = ["Choice", "Range", "Search", "adjusted", "parse_choice", "parse_range"]
