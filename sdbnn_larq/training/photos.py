"""ImageNet's preprocessing of photographs, one at a time, from the encoded bytes."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from larq_zoo.training.data import IMAGE_SIZE
from zookeeper import Field, component
from zookeeper.tf import Preprocessing

from sdbnn_larq.preprocessing import normalize
from sdbnn_larq.training._pillow import decoded_image, fitted_image, jpeg_orientation, upright
from sdbnn_larq.weights.description import PHOTOGRAPHS

Window = Callable[[tf.Tensor], tf.Tensor]


def central_window(shape: tf.Tensor) -> tf.Tensor:
    """The central square that ImageNet's evaluation shows: 224 of 256 parts of the shorter side.

    # Arguments
        shape: int32 `(3,)`, height, width and channels of a photograph.

    # Returns
        int32 `(4,)`: top, left, height and width in pixels.
    """
    height, width, _ = tf.unstack(shape)
    side = tf.maximum(tf.cast(PHOTOGRAPHS.crop * tf.cast(tf.minimum(height, width), tf.float32), tf.int32), 1)
    return tf.stack([(height - side + 1) // 2, (width - side + 1) // 2, side, side])


def random_window(shape: tf.Tensor, seed: tf.Tensor, min_area: float) -> tf.Tensor:
    """A random part of a photograph whose sides are as 3 to 4 up to 4 to 3; the central one if ten trials fail.

    # Arguments
        shape: int32 `(3,)`, height, width and channels of a photograph.
        seed: integer `(2,)`; the same seed gives the same window.
        min_area: least share of the photograph's area, from 0 to 1.

    # Returns
        int32 `(4,)`: top, left, height and width in pixels.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=tf.constant([0.0, 0.0, 1.0, 1.0], shape=(1, 1, 4)),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(min_area, 1.0),
        max_attempts=10,
    )
    failed = tf.reduce_all(size[:2] == shape[:2])  # then the operation gives the whole photograph
    return tf.where(failed, central_window(shape), tf.concat([begin[:2], size[:2]], axis=0))


def decode_window(example: dict[str, tf.Tensor], window: Window) -> tf.Tensor:
    """A part of a photograph, upright; of a JPEG file nothing but that part is decoded.

    # Arguments
        example: `image`, string `()`, the bytes of a file, or uint8 `(height, width, 3)`; perhaps `file`, its path.
        window: gives the part, as `central_window`, for the photograph's shape as it is stored.

    # Returns
        uint8 `(height, width, 3)`.
    """

    def cut(image):
        top, left, height, width = tf.unstack(window(tf.shape(image)))
        return image[top : top + height, left : left + width]

    def decode_jpeg():
        part = window(tf.image.extract_jpeg_shape(encoded))
        # Pillow decodes with this method too.
        part = tf.image.decode_and_crop_jpeg(encoded, part, channels=3, dct_method="INTEGER_ACCURATE")
        return upright(part, orientation)

    encoded = tf.convert_to_tensor(example["image"])
    if encoded.dtype != tf.string:
        return cut(encoded)
    orientation = jpeg_orientation(encoded)
    return tf.cond(orientation > 0, decode_jpeg, lambda: cut(decoded_image(example)))


@component
class Photos(Preprocessing):
    """ImageNet's recipe: random-resized crops and flips to train, the centre to evaluate, then ImageNet's statistics.

    It takes one example at a time: `image`, string `()`, the bytes of a file, `label`, an integer, and for training
    `seed`, int64 `(2,)`, on which alone crop and flip depend. Evaluation gives the input that `zoo.preprocess_input`
    gives of the same file; training resizes its crops with TensorFlow's antialiased bicubic filter, which comes near
    to Pillow's and does not round to whole numbers.
    """

    evaluation = PHOTOGRAPHS
    decoders: Any = Field(lambda: {"image": tfds.decode.SkipDecoding()})
    input_shape: Any = Field((IMAGE_SIZE, IMAGE_SIZE, 3))
    min_area: float = Field(0.08)  # share of a photograph that a training crop shows at least

    def __post_configure__(self) -> None:
        if not 0 < self.min_area <= 1:
            raise ValueError(f"`min_area` must be greater than 0, at most 1. Received: min_area={self.min_area}.")

    def input(self, data, training):
        if not training:
            return normalize(fitted_image(data, self.input_shape, self.evaluation), self.evaluation)
        seeds = tf.random.split(data["seed"], 2)
        image = decode_window(data, lambda shape: random_window(shape, seeds[0], self.min_area))
        image = tf.image.resize(image, self.input_shape[:2], "bicubic", antialias=True)
        image = tf.image.stateless_random_flip_left_right(tf.clip_by_value(image, 0, 255), seeds[1])
        return normalize(tf.ensure_shape(image, self.input_shape), self.evaluation)

    def output(self, data, training):
        return data["label"]
