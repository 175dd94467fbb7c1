"""The pixels that a network is evaluated on: of training, of `sdbnn evaluate` and of a user's own program the same."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from zookeeper.tf import Dataset, Preprocessing

from sdbnn_larq.preprocessing import normalize
from sdbnn_larq.training._data_check import check_examples, readable
from sdbnn_larq.training._pillow import decoded_image, fitted
from sdbnn_larq.training._pipeline import is_batched, without_autotuner
from sdbnn_larq.weights.description import SMALL_IMAGES, ImagePreprocessing


def pixel_batches(
    dataset: Dataset, split: str, input_shape: Sequence[int], preprocessing: ImagePreprocessing, batch_size: int
) -> tuple[tf.data.Dataset, int]:
    """A whole split in its order, as pixels of the size that a network takes.

    `sdbnn_larq.preprocessing.normalize` turns them into the input.

    !!! example
        ```python
        description = zoo.describe(model)
        data, count = pixel_batches(dataset, "test", description.input_shape, description.preprocessing, 250)
        for pixels, labels in data.as_numpy_iterator():
            outputs = model.predict_on_batch(normalize(pixels, description.preprocessing))
        ```

    # Arguments
        dataset: a configured data set.
        split: `"train"`, `"validation"` or `"test"`.
        input_shape: height, width and channels.
        preprocessing: crop and filter.
        batch_size: of all batches but the last.

    # Returns
        Batches of uint8 `(batch, height, width, 3)` and integer labels `(batch,)`, and the number of images.

    # Raises
        ValueError: if the data set has no such images or labels.
    """
    data, count = getattr(dataset, split)()
    check_examples(data, f"{type(dataset).__name__}'s {split} split", dataset.num_classes, None)
    batches = fitted(data, input_shape, preprocessing).map(lambda x: (x["image"], x["label"])).batch(batch_size)
    return without_autotuner(batches.prefetch(2)), count


def examples_for(
    preprocessing: Preprocessing, dataset: Dataset, split: str, input_shape: Sequence[int]
) -> tuple[tf.data.Dataset, int]:
    """The examples of a split as a task's preprocessing takes them.

    Images are pixels of the model's size for one that takes batches. For any other they stay encoded if it knows how to
    evaluate them or has decoders, and are decoded if not.

    # Arguments
        preprocessing: a configured component.
        dataset: a configured data set.
        split: `"train"`, `"validation"` or `"test"`.
        input_shape: height, width and channels.

    # Returns
        Dictionaries of `image`, `label` and whatever else the data set has, and their number.

    # Raises
        ValueError: if the data set has no such images or labels.
    """
    known = evaluation_of(preprocessing)
    if known and not is_batched(preprocessing) and tuple(preprocessing.input_shape) != tuple(input_shape):
        raise ValueError(
            "`preprocessing.input_shape` must be the size that the model takes. Received: "
            f"{tuple(preprocessing.input_shape)} and a model of {tuple(input_shape)}; set `input_shape` for both."
        )
    data, count = getattr(dataset, split)(decoders=preprocessing.decoders)
    spec = data.element_spec
    encoded = isinstance(spec, dict) and "image" in spec and spec["image"].dtype == tf.string
    resized = encoded or known is not None
    check_examples(
        data, f"{type(dataset).__name__}'s {split} split", dataset.num_classes, None if resized else tuple(input_shape)
    )
    if is_batched(preprocessing) and resized:
        default: ImagePreprocessing = getattr(dataset, "preprocessing", SMALL_IMAGES)
        data = fitted(data, input_shape, known or default)
    elif encoded and known is None and preprocessing.decoders is None:
        data = data.map(lambda x: {**x, "image": decoded_image(x)}, num_parallel_calls=8)
    return data, count


def evaluation_batches(
    preprocessing: Preprocessing, dataset: Dataset, split: str, input_shape: Sequence[int], batch_size: int
) -> tuple[tf.data.Dataset, int]:
    """A whole split in its order, as a task with this preprocessing evaluates it.

    # Arguments
        preprocessing: a configured component.
        dataset: a configured data set.
        split: `"train"`, `"validation"` or `"test"`.
        input_shape: height, width and channels.
        batch_size: of all batches but the last.

    # Returns
        Batches of the network's input, float32 `(batch, height, width, 3)`, and labels, and the number of images. For a
        preprocessing that takes batches all pixels are read now and kept in memory.

    # Raises
        ValueError: if the data set has no such images or labels.
    """

    def prepared(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return preprocessing(example, training=False)

    def normalized(pixels: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        assert known is not None
        return normalize(pixels, known), labels

    known = evaluation_of(preprocessing)
    if known:
        data, count = pixel_batches(dataset, split, input_shape, known, batch_size)
    else:
        data, count = examples_for(preprocessing, dataset, split, input_shape)
        if not is_batched(preprocessing):
            return data.map(prepared, num_parallel_calls=8).batch(batch_size), count
        data = data.batch(batch_size)
    if is_batched(preprocessing):
        data = data.cache()
        for _ in readable(data):  # fills the cache
            pass
    return data.map(normalized if known else prepared), count


def evaluation_of(preprocessing: Preprocessing) -> ImagePreprocessing | None:
    """How a task's preprocessing prepares images in evaluation.

    # Arguments
        preprocessing: a component. Its class says it as `evaluation`; one that overrides `input` must say it anew.

    # Returns
        None if it is not known: then only the component itself can prepare images.
    """
    for cls in type(preprocessing).__mro__:
        if "evaluation" in vars(cls):
            return vars(cls)["evaluation"]
        if "input" in vars(cls) or "__call__" in vars(cls):
            return None
    return None


def input_shape_of(model: tf.keras.Model, dataset: Any) -> tuple[int, int, int]:
    """Height, width and channels of the images that a model is trained and evaluated on.

    # Arguments
        model: takes images of one size, or of any.
        dataset: says the size, as `image_shape`, for a model that takes any.

    # Raises
        ValueError: if nothing says the size, or if the data set's `image_size` is another.
    """
    shape = tuple(model.input_shape[1:])
    own = getattr(dataset, "image_shape", None)
    size = getattr(dataset, "image_size", None)
    if len(shape) != 3 or shape[-1] not in (3, None):
        raise ValueError(f"A model must take images of 3 channels. Received: input shape {shape}.")
    if None in shape[:2] and own is None:
        raise ValueError(
            "`dataset.image_size` must be given for a model that takes images of any size. Received: None."
        )
    height, width = (n or own[i] for i, n in enumerate(shape[:2]))  # type: ignore[index]
    if size is not None and (height, width) != (size, size):
        raise ValueError(
            f"`dataset.image_size` must be the size that the model takes. Received: image_size={size} and "
            f"input_shape={shape}; one of them is enough."
        )
    return height, width, 3
