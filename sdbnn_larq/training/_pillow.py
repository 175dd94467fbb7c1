"""Pillow's decoding and resizing inside TensorFlow's input pipelines.

An example is a dictionary of `image`, the bytes of a file or uint8 `(height, width, 3)`, and perhaps `file`, its path.
"""

import io
import os
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from PIL import Image

from sdbnn_larq.preprocessing import EXIF_ORIENTATION, fit, read_image
from sdbnn_larq.weights.description import ImagePreprocessing

Example = dict[str, tf.Tensor]
Value: TypeAlias = np.ndarray | bytes  # of a string tensor: an array outside of graphs


def decoded_image(example: Example) -> tf.Tensor:
    """uint8 `(height, width, 3)`, upright."""
    image = tf.convert_to_tensor(example["image"])
    if image.dtype != tf.string:
        return image
    pixels = tf.numpy_function(_decode, [image, example.get("file", b"")], tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, (None, None, 3))


def fitted_image(example: Example, input_shape: Sequence[int], preprocessing: ImagePreprocessing) -> tf.Tensor:
    """uint8 `(height, width, 3)` of one size: decoded, upright, cropped and resized."""
    size = tuple(input_shape[:2])

    def pixels(image: Value, file: Value) -> np.ndarray:
        if isinstance(image, bytes) or image.dtype != np.uint8:
            image = _decode(image, file)
        return fit(image, size, preprocessing)

    image = tf.numpy_function(pixels, [example["image"], example.get("file", b"")], tf.uint8, stateful=False)
    return tf.ensure_shape(image, (*size, 3))


def fitted(data: tf.data.Dataset, input_shape: Sequence[int], preprocessing: ImagePreprocessing) -> tf.data.Dataset:
    """A data set whose images are fitted."""

    def fit_example(example: Example) -> Example:
        others = {name: value for name, value in example.items() if name not in ("image", "file")}
        return {"image": fitted_image(example, input_shape, preprocessing), **others}

    return data.map(fit_example, num_parallel_calls=8)


def jpeg_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation, 1 to 8, of a JPEG file that TensorFlow decodes as Pillow does; 0 for all other files."""
    orientation = tf.numpy_function(_jpeg_orientation, [encoded], tf.int32, stateful=False)
    return tf.ensure_shape(orientation, ())


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image as its EXIF orientation, 1 to 8, says."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(_is_one_of(orientation, 2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(_is_one_of(orientation, 3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)


def _is_one_of(value: tf.Tensor, *values: int) -> tf.Tensor:
    return tf.reduce_any(value == tf.constant(values))


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else value.item()


def _decode(image: Value, file: Value) -> np.ndarray:
    try:
        return read_image(_bytes(image))
    except ValueError:
        if _bytes(file):
            read_image(os.fsdecode(_bytes(file)))  # the same error, which names the file
        raise


def _jpeg_orientation(encoded: Value) -> np.int32:
    try:
        with Image.open(io.BytesIO(_bytes(encoded))) as image:
            plain = image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L")
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:
        return np.int32(0)  # `read_image` says what is wrong
    if not plain:
        return np.int32(0)
    return np.int32(orientation if orientation in range(1, 9) else 1)
