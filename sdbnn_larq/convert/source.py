"""What the exporters are given: arguments checked once, and what the file tells of its network."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq._counts import is_count
from sdbnn_larq.convert import metadata
from sdbnn_larq.convert.graph import functional
from sdbnn_larq.layers.binary import should_be_binary
from sdbnn_larq.preprocessing import normalize
from sdbnn_larq.weights import ImagePreprocessing, NetworkDescription, description_of

NORMALIZED = "normalized_pixels"  # in a file that takes pixels, the name of what the model takes


@dataclass(frozen=True)
class Source:
    """A network to export.

    # Attributes
        model: functional, one graph of layers.
        given: the user's, of which `model` may be a copy.
        batch_size: of the file; `None` if it may change at run time.
        uint8: whether the file takes pixels from 0 to 255 and normalises them itself.
        images: what to verify on, as the file takes them.
        description: what the file tells of the network; `None` for one that takes no images.
    """

    model: tf.keras.Model
    given: tf.keras.Model
    batch_size: int | None
    uint8: bool
    images: np.ndarray
    description: NetworkDescription | None

    @property
    def preprocessing(self) -> ImagePreprocessing:
        """How the file normalises pixels, if it does."""
        assert self.description is not None
        assert self.description.preprocessing is not None
        return self.description.preprocessing

    @property
    def keras_images(self) -> np.ndarray:
        """The images as the model takes them."""
        return normalize(self.images, self.preprocessing) if self.uint8 else self.images

    @functools.cached_property
    def given_output(self) -> np.ndarray:
        """What the user's model makes of the images; it may have its one output in a dictionary or a tuple."""
        return np.asarray(tf.nest.flatten(self.given(self.keras_images, training=False))[0])

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file tells of the network, ready for JSON."""
        return metadata.from_description(self.description)


def prepare(
    model: tf.keras.Model,
    *,
    batch_size: int | None,
    uint8: bool,
    preprocessing: ImagePreprocessing | None,
    class_names: Sequence[str] | None,
    images: np.ndarray | None,
    allow_float: bool,
) -> Source:
    """Checks the arguments that `to_lce` and `to_openvino` share.

    # Raises
        ValueError: for the first that does not fit.
    """
    given, model = model, functional(model)
    if batch_size is not None and not is_count(batch_size):
        raise ValueError(f"`batch_size` must be a whole number from 1. Received: batch_size={batch_size!r}.")
    if class_names is not None and len(class_names) != model.output_shape[-1]:
        raise ValueError(
            f"`class_names` must be as many as the model's {model.output_shape[-1]} outputs. "
            f"Received: {len(class_names)}."
        )
    description = _described(model, description_of(given), preprocessing, class_names)
    if uint8 and (description is None or description.input_shape[-1] != 3):
        raise ValueError(f"With `uint8`, the model must take colour images. Received: shape {model.input_shape}.")
    if uint8 and (description is None or description.preprocessing is None):
        raise ValueError(
            "With `uint8`, `preprocessing` must be given for a model whose description does not say it, e.g. "
            "`zoo.SMALL_IMAGES`. Received: None."
        )
    if uint8 and NORMALIZED in (layer.name for layer in model.layers):
        raise ValueError(f"With `uint8`, layers must have other names than the pixels'. Received: {NORMALIZED!r}.")
    left_float = [layer.name for layer in model.layers if should_be_binary(layer)]
    if left_float and not allow_float:
        raise ValueError(
            "Every layer with a quantizer must have 1-bit inputs and a 1-bit kernel, or `allow_float` be True. "
            f"Received: {', '.join(left_float)} with float inputs or weights."
        )
    return Source(model, given, batch_size, uint8, _images(model, images, uint8), description)


def _described(
    model: tf.keras.Model,
    own: NetworkDescription | None,
    preprocessing: ImagePreprocessing | None,
    class_names: Sequence[str] | None,
) -> NetworkDescription | None:
    """The description of the file's network, with what the caller gave; a network of the user's own has its name."""
    if len(model.input_shape) != 4:
        return None
    shape = model.input_shape[1:]
    classes = {"num_classes": model.output_shape[-1]} if len(model.output_shape) == 2 else {}
    description = NetworkDescription(model.name, classes, shape) if own is None else own.replace(input_shape=shape)
    if preprocessing is not None:
        description = description.replace(preprocessing=preprocessing)
    if class_names is not None:
        description = description.replace(class_names=tuple(map(str, class_names)))
    return description


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
