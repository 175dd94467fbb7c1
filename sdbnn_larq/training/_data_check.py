"""Looks at the examples before the first epoch, so that bad data is an error of its own and not a NaN loss later.

Arrays are all looked at, a batch at a time. Encoded pictures are too many and too slow to be read twice: of those only
the first `PICTURES` are decoded.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq.training._pillow import decoded_image

BATCH = 1024
PICTURES = 256


def check_examples(dataset: tf.data.Dataset, name: str, num_classes: int, image_shape: tuple[int, ...] | None) -> None:
    """Checks shapes, finiteness and labels of a data set of dictionaries.

    # Arguments
        dataset: examples with a `label`, an integer, and an `image`: an array, or a string, the bytes of a picture.
        name: of the data set, for the errors.
        num_classes: labels must be from 0 to this minus 1.
        image_shape: height, width and channels of all arrays, as the model takes them; None for 8-bit pixels with 3
            channels, which are resized. Encoded pictures may have any size.

    # Raises
        ValueError: naming the first example that does not fit.
    """
    spec = dataset.element_spec
    if not isinstance(spec, dict) or not {"image", "label"} <= spec.keys():
        raise ValueError(f"An example of {name} must be a dictionary with `image` and `label`. Received: {spec}.")
    if not (spec["label"].dtype.is_integer and spec["label"].shape.is_compatible_with(())):
        raise ValueError(f"Labels of {name} must be integers. Received: {spec['label']}.")
    shape = None if image_shape is None else tuple(image_shape)
    step = BATCH
    if spec["image"].dtype == tf.string:
        dataset, shape, step = dataset.take(PICTURES).map(_decode, num_parallel_calls=2), None, 1
    elif shape is None:
        if spec["image"].dtype != tf.uint8 or not spec["image"].shape.is_compatible_with((None, None, 3)):
            raise ValueError(f"Images of {name} must be files or uint8 (height, width, 3). Received: {spec['image']}.")
    elif not spec["image"].shape.is_compatible_with(shape):
        raise ValueError(f"Images of {name} must have the shape {shape}. Received: {spec['image'].shape}.")

    # Images of different shapes cannot be batched.
    one_shape = dataset.element_spec["image"].shape.is_fully_defined()
    checks = dataset.batch(BATCH if one_shape else 1).map(lambda batch: _are_good(batch, num_classes, shape))
    count = 0
    try:
        for good in checks.rebatch(step).as_numpy_iterator():
            if not good.all():
                count += int(np.argmin(good))
                example = next(dataset.skip(count).as_numpy_iterator())
                raise ValueError(_fault(example, count, name, num_classes, shape))
            count += len(good)
    except tf.errors.OpError as error:
        raise ValueError(f"{reason(error)} It comes after {count} good images of {name}.") from error
    if not count:
        raise ValueError(f"{name} must hold at least one image. Received: none.")


@contextlib.contextmanager
def readable_pictures() -> Iterator[None]:
    """Turns TensorFlow's error about a picture that cannot be decoded, met in training, into one line."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if "IteratorGetNext" not in str(error):  # not the data's
            raise
        raise ValueError(
            f"{reason(error)} With a whole image in its place the same command goes on from the last checkpoint."
        ) from error


def readable(data: tf.data.Dataset) -> Iterator[Any]:
    """The elements of a data set, as NumPy arrays; what cannot be read is a ValueError of one line."""
    try:
        yield from data.as_numpy_iterator()
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(reason(error)) from error


def reason(error: tf.errors.OpError) -> str:
    """What Pillow or TensorFlow says of a picture, without where in its graph."""
    raised = re.search(r"ValueError: (.*)", error.message)  # in Python
    if raised:
        return raised[1]
    said = error.message.partition("\n\t [[")[0].splitlines()[-1].split("}} ")[-1]
    return f"All images must be readable. Received: {said.rstrip('.')}."


def _decode(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {"image": decoded_image(example), "label": example["label"]}


def _are_good(batch: dict[str, tf.Tensor], num_classes: int, shape: tuple[int, ...] | None) -> tf.Tensor:
    """Of each example of a batch."""
    image, label = batch["image"], tf.cast(batch["label"], tf.int64)
    good = (label >= 0) & (label < num_classes)
    if image.dtype.is_floating:
        good &= tf.reduce_all(tf.math.is_finite(image), axis=tf.range(1, tf.rank(image)))
    if shape and not image.shape[1:].is_fully_defined():  # its rank may be any, too
        received = tf.strings.reduce_join(tf.strings.as_string(tf.shape(image)[1:]), separator=" ")
        good &= received == " ".join(map(str, shape))
    return good


def _fault(example: dict[str, Any], index: int, name: str, num_classes: int, shape: tuple[int, ...] | None) -> str:
    image, label = example["image"], example["label"]
    if shape and image.shape != shape:
        return f"Images of {name} must have the shape {shape}. Received: {image.shape} in image {index}."
    if not 0 <= label < num_classes:
        return f"Labels of {name} must be from 0 to {num_classes - 1}. Received: {label} at {index}."
    return f"Pixels of {name} must be finite. Received: NaN or infinity in image {index}."
