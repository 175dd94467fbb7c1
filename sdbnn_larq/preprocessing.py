"""From an image file to the input of a network, and from its outputs to names.

Training's evaluation, the command line, exported files and a user's own program all go this way, so that the same file
gives the same input to the last bit: Pillow reads it, turns it upright and resizes it, and `normalize` does the rest.
"""

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import larq_zoo
import numpy as np
import tensorflow as tf

from sdbnn_larq._counts import is_count
from sdbnn_larq.weights import ImagePreprocessing, NetworkDescription, describe

if TYPE_CHECKING:
    from PIL import Image

Array = TypeVar("Array", np.ndarray, tf.Tensor)
EXIF_ORIENTATION = 0x0112
ImageSource = Any  # a path, the bytes of a file, a Pillow image or pixels


def read_image(source: "str | os.PathLike | bytes | Image.Image") -> np.ndarray:
    """Reads an image, upright and in colour.

    The orientation that a camera noted (EXIF) is applied. Palettes, greys, CMYK and 16 bits become 8-bit RGB.
    Transparent pixels lie on black. Of an animation the first frame counts.

    !!! example
        ```python
        pixels = read_image("photo.jpg")  # uint8 (height, width, 3)
        ```

    # Arguments
        source: a path, the bytes of an image file, or a Pillow image.

    # Returns
        uint8 `(height, width, 3)`, red, green and blue.

    # Raises
        ValueError: if it is no image that Pillow reads, or one that is cut short.
    """
    from PIL import Image

    if isinstance(source, Image.Image):
        return _rgb(_upright(source))
    name = "bytes" if isinstance(source, bytes) else repr(os.fspath(source))
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return _rgb(_upright(image))
    except Exception as error:  # Pillow's decoders raise errors of all kinds for damaged files
        reason = (
            str(error).splitlines()[0] if str(error) and not isinstance(error, Image.UnidentifiedImageError) else ""
        )
        raise ValueError(
            f"An image must be a whole JPEG, PNG, GIF, BMP or other file that Pillow reads. Received: {name}"
            f"{f' ({reason})' if reason else ''}."
        ) from error


def _upright(image: "Image.Image") -> "Image.Image":
    """As `ImageOps.exif_transpose`, which also writes the EXIF anew, and fails where another of its entries is odd."""
    from PIL import Image

    turn = Image.Transpose
    image.load()  # in a PNG file, EXIF may come last
    turns = [turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE]
    turns += [turn.ROTATE_270, turn.TRANSVERSE, turn.ROTATE_90]
    orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    return image.transpose(turns[orientation - 2]) if orientation in range(2, 9) else image


def _rgb(image: "Image.Image") -> np.ndarray:
    from PIL import Image

    if image.mode == "F":
        image = Image.fromarray(_bytes(np.asarray(image)))
    if image.mode.startswith("I;16") or image.mode == "I":  # Pillow would clip 16 bits at 255
        values = np.asarray(image)
        low, high = values.min(initial=0), values.max(initial=0)
        if low < 0 or high > 65535:
            raise ValueError(f"pixels must be from 0 to 255 or to 65535, not from {low} to {high}")
        sixteen_bits = image.mode != "I" or high > 255  # in mode I, integers of 32 bits, a file may hold either
        values = np.where(values == image.info.get("transparency", -1), 0, values)  # black, as below
        image = Image.fromarray((values // 257 if sixteen_bits else values).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return np.array(image.convert("RGB"))


def fit(pixels: np.ndarray, size: Sequence[int], preprocessing: ImagePreprocessing) -> np.ndarray:
    """Cuts out the middle of an image and resizes it.

    # Arguments
        pixels: uint8 `(height, width, 3)`.
        size: height and width of the result.
        preprocessing: which share of the image is kept, and the filter.

    # Returns
        uint8 `(*size, 3)`; an image that has this size and is kept whole comes back as it is.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    # The largest crop with the aspect ratio of `size`, in whole pixels and in the middle.
    share = preprocessing.crop * min(height / size[0], width / size[1])
    rows, columns = (max(int(share * n + 1e-6), 1) for n in size)
    top, left = (height - rows + 1) // 2, (width - columns + 1) // 2
    if (rows, columns) == (height, width) == tuple(size):
        return pixels
    crop = np.ascontiguousarray(pixels[top : top + rows, left : left + columns])
    resample = Image.Resampling[preprocessing.resample.upper()]
    return np.array(Image.fromarray(crop).resize((size[1], size[0]), resample))


def normalize(pixels: Array, preprocessing: ImagePreprocessing) -> Array:
    """Subtracts the mean of each channel and multiplies by the reciprocal of its deviation.

    A subtraction and a multiplication give the same float32 in NumPy, in TensorFlow's graphs and in the runtimes; a
    division is replaced by some of them.

    # Arguments
        pixels: uint8 or float `(..., 3)` from 0 to 255, a NumPy array or a tensor.
        preprocessing: with mean and deviation.

    # Returns
        float32 of the same shape and kind.
    """
    mean, scale = mean_and_scale(preprocessing)
    if tf.is_tensor(pixels):
        return (tf.cast(pixels, tf.float32) - mean) * scale
    return (np.asarray(pixels).astype(np.float32) - mean) * scale


def mean_and_scale(preprocessing: ImagePreprocessing) -> tuple[np.ndarray, np.ndarray]:
    """What `normalize` subtracts and multiplies by, float32 `(3,)` each."""
    return np.array(preprocessing.mean, np.float32), np.float32(1) / np.array(preprocessing.std, np.float32)


def preprocess_input(images: ImageSource | Sequence[ImageSource], model: Any = None) -> np.ndarray:
    """Turns images of any size into the input of a network.

    !!! example
        ```python
        model = zoo.load("ResNet20/cifar10")
        x = zoo.preprocess_input("photo.jpg", model)  # float32 (1, 32, 32, 3)
        zoo.decode_predictions(model.predict(x), top=3, model=model)
        ```

    # Arguments
        images: a path, a Pillow image, or pixels from 0 to 255, `(height, width, 3)`, as integers or floats; a list of
            these; or a batch of pixels `(n, height, width, 3)`.
        model: a network with a description: built by `zoo.load`, by an architecture with `weights`, or a
            `convert.ExportedModel`; or such a description. If `None`, the images are prepared for ImageNet by
            `larq_zoo.preprocess_input`.

    # Returns
        float32 `(n, height, width, 3)`, one image being a batch of 1; uint8 for an exported network that takes pixels.

    # Raises
        ValueError: for anything else, or if the model's description does not say how its images are prepared.
    """
    images = _as_list(images)
    if not images:
        raise ValueError("`images` must be at least one image. Received: none.")
    if model is None:
        return np.stack([np.asarray(larq_zoo.preprocess_input(_pixels(image))) for image in images])
    description = model if isinstance(model, NetworkDescription) else describe(model)
    size = description.input_shape[:2]
    # One at a time: a photograph takes 36 MB as it is.
    fitted = np.stack([fit(_pixels(image), size, known_preprocessing(description)) for image in images])
    takes_pixels = getattr(model, "dtype", None) == np.uint8
    return fitted if takes_pixels else normalize(fitted, known_preprocessing(description))


def known_preprocessing(description: NetworkDescription) -> ImagePreprocessing:
    """The preprocessing of a description.

    # Raises
        ValueError: if it has none.
    """
    if description.preprocessing is None:
        raise ValueError(
            "`model` must have a description that says how its images are prepared, as trained or published weights "
            f"have. Received: an untrained {description.architecture}."
        )
    return description.preprocessing


def decode_predictions(outputs: Any, top: int = 5, model: Any = None) -> list[list[tuple]]:
    """Names the most probable classes.

    !!! example
        ```python
        zoo.decode_predictions(np.eye(10)[3:4], top=1, model=zoo.load("ResNet20/cifar10"))  # [[("cat", 1.0)]]
        ```

    # Arguments
        outputs: `(n, classes)`, what the network gives for a batch: probabilities, or logits if its
            `classifier_activation` is `None`.
        top: how many classes to name, from 1; no more than there are.
        model: as for `preprocess_input`. If `None`, the outputs are those of an ImageNet network, which
            `larq_zoo.decode_predictions` names.

    # Returns
        For each image a list of `(name, probability)`, the most probable first; as larq-zoo's
        `(WordNet id, name, probability)` without a model.

    # Raises
        ValueError: if the outputs are not those of the model, or if its class names are not known.
    """
    outputs = np.asarray(outputs)
    if not is_count(top):
        raise ValueError(f"`top` must be a whole number from 1. Received: top={top!r}.")
    if model is None:
        return larq_zoo.decode_predictions(outputs, top=top)
    description = model if isinstance(model, NetworkDescription) else describe(model)
    names = description.class_names
    if names is None:
        raise ValueError(
            "`model` must have a description with class names, as trained or published weights have. "
            f"Received: {description.architecture} without."
        )
    if outputs.ndim != 2 or outputs.shape[1] != len(names):
        raise ValueError(f"`outputs` must have the shape (n, {len(names)}). Received: {outputs.shape}.")
    if not np.isfinite(outputs).all():
        raise ValueError("`outputs` must be finite. Received: NaN or infinity.")
    if description.arguments.get("classifier_activation", "softmax") is None:
        outputs = tf.nn.softmax(outputs.astype(np.float32)).numpy()
    order = np.argsort(-outputs, axis=1, kind="stable")[:, :top]
    return [[(names[i], float(row[i])) for i in best] for row, best in zip(outputs, order)]


def _as_list(images: Any) -> list[Any]:
    from PIL import Image

    if isinstance(images, (str, bytes, os.PathLike, Image.Image)):
        return [images]
    if isinstance(images, (list, tuple)):
        return list(images)
    values = np.asarray(images)
    if values.ndim not in (3, 4):
        raise ValueError(
            "`images` must be pixels of shape (height, width, 3) or (n, height, width, 3), paths or Pillow images. "
            f"Received: shape {values.shape}."
        )
    return list(values) if values.ndim == 4 else [values]


def _pixels(image: Any) -> np.ndarray:
    """One image as uint8 `(height, width, 3)`."""
    from PIL import Image

    if isinstance(image, (str, bytes, os.PathLike, Image.Image)):
        return read_image(image)
    values = np.asarray(image)
    if values.ndim != 3 or values.shape[-1] != 3 or values.dtype.kind not in "uif" or 0 in values.shape:
        raise ValueError(
            "An image must be pixels of shape (height, width, 3), a path or a Pillow image. "
            f"Received: {values.dtype} of shape {values.shape}."
        )
    return values if values.dtype == np.uint8 else _bytes(values)


def _bytes(values: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 255 as uint8."""
    low, high = float(np.min(values)), float(np.max(values))
    if not (low >= 0 and high <= 255):  # NaN too
        raise ValueError(f"Pixels must be from 0 to 255. Received: from {low:g} to {high:g}.")
    if values.dtype.kind == "f" and 0 < high <= 1 and np.any(values != np.round(values)):
        raise ValueError(f"Pixels must be from 0 to 255, not from 0 to 1. Received: from {low:g} to {high:g}.")
    return np.round(values).astype(np.uint8)
