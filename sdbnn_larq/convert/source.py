"""What the exporters are given: arguments checked once, and what the file tells of its network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from larq_zoo.training.data import MEAN_RGB, STDDEV_RGB

from sdbnn_larq.convert.binary import should_be_binary
from sdbnn_larq.convert.graph import functional


@dataclass(frozen=True)
class Source:
    """A network to export.

    # Attributes
        model: functional.
        batch_size: of the file; `None` if it may change at run time.
        uint8: whether the file takes pixels from 0 to 255 and normalises them itself.
        images: what to verify on, as the file takes them.
        metadata: what the file tells of the network, ready for JSON.
    """

    model: tf.keras.Model
    batch_size: int | None
    uint8: bool
    images: np.ndarray
    metadata: dict[str, Any]

    @property
    def keras_images(self) -> np.ndarray:
        """The images as the model takes them."""
        return np.asarray(normalize(self.images)) if self.uint8 else self.images


def normalize(pixels: tf.Tensor) -> tf.Tensor:
    """Pixels as the recipes of `sdbnn train` feed them to a network."""
    from sdbnn_larq.training.preprocessing import normalize  # training comes before convert, but is heavy

    return normalize(pixels)


def prepare(
    model: tf.keras.Model,
    *,
    batch_size: int | None,
    uint8: bool,
    class_names: Sequence[str] | None,
    images: np.ndarray | None,
    allow_float: bool,
) -> Source:
    """Checks the arguments that `to_lce` and `to_openvino` share.

    # Raises
        ValueError: for the first that does not fit.
    """
    model = functional(model)
    if batch_size is not None and (batch_size != int(batch_size) or batch_size < 1):
        raise ValueError(f"`batch_size` must be a whole number from 1. Received: batch_size={batch_size!r}.")
    if uint8 and model.input_shape[-1] != len(MEAN_RGB):
        raise ValueError(f"With `uint8`, the model must take colour images. Received: shape {model.input_shape}.")
    if class_names is not None and len(class_names) != model.output_shape[-1]:
        raise ValueError(
            f"`class_names` must be as many as the model's {model.output_shape[-1]} outputs. "
            f"Received: {len(class_names)}."
        )
    left_float = [layer.name for layer in model.layers if should_be_binary(layer)]
    if left_float and not allow_float:
        raise ValueError(
            "Every layer with a quantizer must have 1-bit inputs and a 1-bit kernel, or `allow_float` be True. "
            f"Received: {', '.join(left_float)} with float inputs or weights."
        )
    metadata: dict[str, Any] = {"network": model.name, "input": "uint8" if uint8 else "float32"}
    if uint8:
        metadata.update(mean=MEAN_RGB, deviation=STDDEV_RGB)
    if class_names is not None:
        metadata["class_names"] = list(map(str, class_names))
    return Source(model, batch_size, uint8, _images(model, images, uint8), metadata)


def _images(model: tf.keras.Model, images: np.ndarray | None, uint8: bool) -> np.ndarray:
    shape = tuple(model.input_shape[1:])
    draw = np.random.default_rng(0)
    if images is None and uint8:
        return draw.integers(0, 256, (4, *shape), np.uint8)
    if images is None:
        return draw.standard_normal((4, *shape), np.float32)
    images = np.asarray(images)
    if images.shape[1:] != shape or not len(images):
        raise ValueError(f"`images` must have the shape (n, {', '.join(map(str, shape))}). Received: {images.shape}.")
    if uint8 and images.dtype != np.uint8:
        raise ValueError(f"With `uint8`, `images` must be uint8 pixels. Received: {images.dtype}.")
    return images if uint8 else images.astype(np.float32)
