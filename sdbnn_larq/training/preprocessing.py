"""Augmentation and normalisation of small images, a batch at a time."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf
from zookeeper import Field, component
from zookeeper.tf import Preprocessing

from sdbnn_larq import preprocessing
from sdbnn_larq.weights.description import SMALL_IMAGES

Array = TypeVar("Array", np.ndarray, tf.Tensor)


def normalize(images: Array) -> Array:
    """uint8 images, any rank, to float32 of ImageNet's mean 0 and deviation 1."""
    return preprocessing.normalize(images, SMALL_IMAGES)


def random_shift_and_flip(images: tf.Tensor, shift: int, flip: bool, seed: tf.Tensor) -> tf.Tensor:
    """Moves each image of a batch by up to `shift` pixels over a black border, and mirrors half of them.

    # Arguments
        images: `(batch, height, width, channels)`.
        shift: pixels, 0 or more.
        flip: whether to mirror left and right.
        seed: integers `(2,)`; the same seed gives the same images.

    # Returns
        A tensor as `images`.
    """
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    down, right, mirror = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    rows = tf.random.stateless_uniform([batch, 1], down, 0, 2 * shift + 1, tf.int32) + tf.range(height)
    columns = tf.broadcast_to(tf.range(width), [batch, width])
    if flip:
        columns = tf.where(tf.random.stateless_uniform([batch, 1], mirror) < 0.5, width - 1 - columns, columns)
    columns += tf.random.stateless_uniform([batch, 1], right, 0, 2 * shift + 1, tf.int32)
    padded = tf.pad(images, [[0, 0], [shift, shift], [shift, shift], [0, 0]])
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


@component
class SmallImages(Preprocessing):
    """The recipe of CIFAR-10: random shifts over black borders, flips, then ImageNet's mean and deviation.

    It takes batches: `image` uint8 `(batch, height, width, 3)`, `label` integer `(batch,)`, in training a `seed` too.
    """

    batched = True
    evaluation = SMALL_IMAGES

    input_shape = Field((32, 32, 3))  # zookeeper asks for it; images of another size pass as well
    shift: int = Field(4)  # pixels
    flip: bool = Field(True)

    def __post_configure__(self) -> None:
        if self.shift < 0:
            raise ValueError(f"`shift` must be 0 or more pixels. Received: shift={self.shift}.")

    def input(self, data, training):
        images = data["image"]
        if training:
            images = random_shift_and_flip(images, self.shift, self.flip, data["seed"])
        return normalize(images)

    def output(self, data, training):
        return data["label"]


@component
class GrowingImages(SmallImages):
    """Like `SmallImages`, but the first epochs train on smaller images, which is faster.

    The model must take images of any size. Validation and test use whole images.
    """

    evaluation = SMALL_IMAGES
    any_size = True  # so must the model be
    epochs: int = Field()  # the experiment's
    # Until which share of the epochs images have how many pixels a side; after that, all of them.
    sizes: Sequence = Field(lambda: ((0.4, 24),))

    def input(self, data, training):
        images = super().input(data, training)
        if not training:
            return images
        height = tf.shape(images)[1]
        size, share = height, tf.cast(data["epoch"], tf.float32) / self.epochs
        for until, pixels in reversed(self.sizes):
            size = tf.where(share < until, pixels, size)
        shrunk = tf.cond(size == height, lambda: images, lambda: tf.image.resize(images, (size, size), antialias=True))
        return tf.ensure_shape(shrunk, (None, None, None, 3))
