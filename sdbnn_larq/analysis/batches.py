"""Images as a user has them, batch by batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq._counts import is_count


def batches(images: Any, batch_size: int) -> Iterator[Any]:
    """Takes inputs in any form that `model.predict` takes.

    # Arguments
        images: an array or a tensor; a list, tuple or dictionary of them for a model with several inputs; or a
            `tf.data.Dataset` or another iterable of batches, each alone or first in a tuple, as `model.fit` takes them.
        batch_size: into which arrays are cut.

    # Returns
        The inputs of the model, each with its batch axis.

    # Raises
        ValueError: if there is no image, or for another batch size.
    """
    if not is_count(batch_size):
        raise ValueError(f"`batch_size` must be a whole number from 1. Received: batch_size={batch_size!r}.")
    found = _slices(images, batch_size) if _is_array(images) else _firsts(images)
    empty = True
    for batch in found:
        if all(len(part) for part in tf.nest.flatten(batch)):
            empty = False
            yield batch
    if empty:
        raise ValueError("`images` must have at least one image. Received: none.")


def _is_array(images: Any) -> bool:
    if isinstance(images, dict | list | tuple):
        return all(_is_array(part) for part in (images.values() if isinstance(images, dict) else images))
    return hasattr(images, "shape") and hasattr(images, "__getitem__")


def _slices(images: Any, batch_size: int) -> Iterator[Any]:
    lengths = {part.shape[0] if len(part.shape) else 0 for part in tf.nest.flatten(images)}
    if len(lengths) != 1:
        raise ValueError(f"`images` must have as many for each input. Received: {sorted(lengths)}.")
    for start in range(0, lengths.pop(), batch_size):
        yield tf.nest.map_structure(lambda part, i=start: np.asarray(part[i : i + batch_size]), images)


def _firsts(images: Any) -> Iterator[Any]:
    try:
        each = iter(images)
    except TypeError as error:
        raise ValueError(
            f"`images` must be an array, a data set or an iterable of batches. Received: {type(images).__name__}."
        ) from error
    for batch in each:
        yield tf.nest.map_structure(np.asarray, batch[0] if isinstance(batch, tuple) else batch)
