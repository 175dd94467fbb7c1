"""Looks at every example before the first epoch, so that bad data is an error of its own and not a NaN loss later."""

import numpy as np
import tensorflow as tf


def check_examples(dataset: tf.data.Dataset, name: str, num_classes: int, image_shape: tuple[int, ...]) -> None:
    """Checks shapes, finiteness and labels of a data set of dictionaries.

    # Arguments
        dataset: examples with an `image` and a `label`.
        name: of the data set, for the errors.
        num_classes: labels must be from 0 to this minus 1.
        image_shape: height, width and channels that the model takes.

    # Raises
        ValueError: naming the first example that does not fit.
    """
    spec = dataset.element_spec
    if not isinstance(spec, dict) or not {"image", "label"} <= spec.keys():
        raise ValueError(f"An example of {name} must be a dictionary with `image` and `label`. Received: {spec}.")
    if not spec["image"].shape.is_compatible_with(image_shape):
        raise ValueError(f"Images of {name} must have the shape {tuple(image_shape)}. Received: {spec['image'].shape}.")
    count = 0
    # Not `batch`: images of different shapes cannot be batched, and each is to be named.
    for example in dataset.as_numpy_iterator():
        image, label = example["image"], example["label"]
        if image.shape != tuple(image_shape):
            raise ValueError(
                f"Images of {name} must have the shape {tuple(image_shape)}. Received: {image.shape} in image {count}."
            )
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            raise ValueError(f"Pixels of {name} must be finite. Received: NaN or infinity in image {count}.")
        if not 0 <= label < num_classes:
            raise ValueError(f"Labels of {name} must be from 0 to {num_classes - 1}. Received: {label} at {count}.")
        count += 1
    if not count:
        raise ValueError(f"{name} must hold at least one image. Received: none.")
