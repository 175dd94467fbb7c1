"""The rule by which golden values draw parameters, so that any implementation can be compared number by number."""

import zlib

import numpy as np


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The golden parameter `name` of the authors' state dict, in PyTorch's layout."""
    r = np.random.RandomState(zlib.crc32(name.encode()))
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.ones(shape, np.float32)
    if last == "running_mean":
        value = 0.1 * r.standard_normal(shape)
    elif last == "running_var":
        value = r.uniform(0.5, 2, shape)
    elif last == "alpha":
        value = r.standard_normal(shape)
    elif last == "bias":
        value = 0.1 * r.standard_normal(shape)
    elif len(shape) == 1:
        value = r.uniform(0.5, 1.5, shape)
    else:
        value = r.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return value.astype(np.float32)


def golden_input(size: int = 32) -> np.ndarray:
    """Four images, NHWC."""
    return np.random.RandomState(7).standard_normal((4, 3, size, size)).astype(np.float32).transpose(0, 2, 3, 1)
