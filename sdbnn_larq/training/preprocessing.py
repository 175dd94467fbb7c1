"""Augmentation and normalisation of small images, a batch at a time."""

import tensorflow as tf
from larq_zoo.training.data import MEAN_RGB, STDDEV_RGB
from zookeeper import Field, component
from zookeeper.tf import Preprocessing


def normalize(images: tf.Tensor) -> tf.Tensor:
    """uint8 images, any rank, to float32 of ImageNet's mean 0 and deviation 1."""
    return (tf.cast(images, tf.float32) - tf.constant(MEAN_RGB)) / tf.constant(STDDEV_RGB)


def random_shift_and_flip(images: tf.Tensor, shift: int, flip: bool) -> tf.Tensor:
    """Moves each image of a batch by up to `shift` pixels over a black border, and mirrors half of them.

    # Arguments
        images: `(batch, height, width, channels)`.
        shift: pixels, 0 or more.
        flip: whether to mirror left and right.

    # Returns
        A tensor as `images`.
    """
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    rows = tf.random.uniform([batch, 1], 0, 2 * shift + 1, tf.int32) + tf.range(height)
    columns = tf.broadcast_to(tf.range(width), [batch, width])
    if flip:
        columns = tf.where(tf.random.uniform([batch, 1]) < 0.5, width - 1 - columns, columns)
    columns += tf.random.uniform([batch, 1], 0, 2 * shift + 1, tf.int32)
    padded = tf.pad(images, [[0, 0], [shift, shift], [shift, shift], [0, 0]])
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


@component
class SmallImages(Preprocessing):
    """The recipe of CIFAR-10: random shifts over black borders, flips, then ImageNet's mean and deviation.

    It takes batches: `image` uint8 `(batch, height, width, 3)`, `label` integer `(batch,)`.
    """

    input_shape = Field((32, 32, 3))  # zookeeper asks for it; images of another size pass as well
    shift: int = Field(4)  # pixels
    flip: bool = Field(True)

    def input(self, data, training):
        images = data["image"]
        if training:
            images = random_shift_and_flip(images, self.shift, self.flip)
        return normalize(images)

    def output(self, data, training):
        return data["label"]
