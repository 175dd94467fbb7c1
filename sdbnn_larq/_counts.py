"""The check of whatever counts things: channels, classes, images, threads."""

from typing import Any

import numpy as np


def is_count(value: Any) -> bool:
    """Whether a value is an integer of at least 1, Python's or NumPy's; `True` is none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 1)
