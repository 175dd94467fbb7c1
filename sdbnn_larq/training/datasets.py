"""The data sets that the tasks train on, each with a training, a validation and a test split.

An example is a dictionary of `image`, uint8 `(height, width, 3)`, and `label`, an integer from 0.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from zookeeper import Field, component
from zookeeper.core.utils import warn
from zookeeper.tf import Dataset, TFDSDataset

Arrays = tuple[np.ndarray, np.ndarray]


class PreparedTFDS(TFDSDataset):
    """Base class of data sets that TensorFlow Datasets has prepared on this machine.

    Nothing is downloaded unless `download=True`; `data_dir`, or else the environment variable `TFDS_DATA_DIR`, says
    where the prepared set lies.
    """

    @property
    def class_names(self) -> list[str]:
        return self.info.features["label"].names

    def load(self, split, decoders, shuffle) -> tf.data.Dataset:
        import tensorflow_datasets as tfds

        builder = tfds.builder(self.name, data_dir=self.data_dir)
        if self.download:
            builder.download_and_prepare()
        if not builder.data_path.exists():
            raise ValueError(
                f"`data_dir` must be a folder with the prepared data set {self.name}, or `download` True. "
                f"Received: data_dir={self.data_dir!r}; there is no {builder.data_path}."
            )
        # The files are read in order: the pipeline shuffles.
        return builder.as_dataset(split=split, decoders=decoders)


@component
class Cifar10(PreparedTFDS):
    """CIFAR-10 through TensorFlow Datasets: 45,000 images to train on, 5,000 to validate, 10,000 to test."""

    name = Field("cifar10:3.0.2")
    train_split = Field("train[:45000]")
    validation_split = Field("train[45000:]")
    test_split = Field("test")
    image_shape = (32, 32, 3)


class ArrayDataset(Dataset):
    """Base class of data sets that lie in memory as arrays."""

    validation_fraction: float = Field(0.1)
    test_fraction: float = Field(0.1)

    @property
    def class_names(self) -> Sequence[str]:
        """The classes in the order of their labels."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def read(self) -> Arrays:
        """All images and labels."""
        raise NotImplementedError

    @property
    def splits(self) -> dict[str, Arrays]:
        """A fixed division that keeps the classes' shares."""
        if not hasattr(self, "_splits"):
            if min(self.validation_fraction, self.test_fraction) <= 0:
                raise ValueError("`validation_fraction` and `test_fraction` must be greater than 0.")
            if self.validation_fraction + self.test_fraction >= 1:
                raise ValueError("`validation_fraction` and `test_fraction` must sum to less than 1.")
            images, labels = self.read()
            order = np.random.RandomState(0).permutation(len(labels))
            order = order[np.argsort(labels[order], kind="stable")]
            place = np.empty(len(labels))  # of an image among those of its class, from 0 to 1
            for label in np.unique(labels):
                members = order[labels[order] == label]
                place[members] = (np.arange(len(members)) + 0.5) / len(members)
            bounds = {
                "train": (0.0, 1 - self.validation_fraction - self.test_fraction),
                "validation": (1 - self.validation_fraction - self.test_fraction, 1 - self.test_fraction),
                "test": (1 - self.test_fraction, 1.0),
            }
            self._splits = {}
            for name, (low, high) in bounds.items():
                chosen = (low <= place) & (place < high)
                if not chosen.any():
                    raise ValueError(
                        f"A data set must have enough images for its {name} split. Received: {len(labels)} images."
                    )
                self._splits[name] = images[chosen], labels[chosen]
        return self._splits

    def _load(self, split: str) -> tuple[tf.data.Dataset, int]:
        images, labels = self.splits[split]
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels}), len(labels)

    def train(self, decoders=None):
        return self._load("train")

    def validation(self, decoders=None):
        return self._load("validation")

    def test(self, decoders=None):
        return self._load("test")


@component
class Digits(ArrayDataset):
    """scikit-learn's 1,797 hand-written digits, enlarged from 8×8 to 32×32; they come with the library."""

    test_fraction: float = Field(0.2)
    image_shape = (32, 32, 3)

    @property
    def class_names(self) -> Sequence[str]:
        return list("0123456789")

    def read(self) -> Arrays:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = tf.image.resize(digits.images[..., None] * (255 / 16), self.image_shape[:2])
        return np.repeat(np.round(images).astype(np.uint8), 3, axis=-1), digits.target.astype(np.int64)


class FolderDataset(ArrayDataset):
    """Base class of data sets in a folder with one sub-folder a class."""

    directory: str = Field()
    strict: bool = Field(False)  # refuse a folder with an unreadable image instead of leaving the image out

    @property
    def class_names(self) -> Sequence[str]:
        if not Path(self.directory).is_dir():
            raise ValueError(
                f"`directory` must be a folder with one sub-folder a class. Received: {self.directory!r}, "
                "which is no folder."
            )
        names = sorted(
            entry.name for entry in os.scandir(self.directory) if entry.is_dir() and not entry.name.startswith(".")
        )
        if not names:
            raise ValueError(
                f"`directory` must have one sub-folder a class. Received: {self.directory!r}, which has none."
            )
        return names

    def read_file(self, path: Path) -> np.ndarray:
        """What is kept of a file; a ValueError if it is no image."""
        raise NotImplementedError

    def read(self) -> Arrays:
        images, labels, unreadable = [], [], []
        for label, name in enumerate(self.class_names):
            for path in sorted(Path(self.directory, name).iterdir()):
                if path.name.startswith(".") or not path.is_file():
                    continue
                try:
                    images.append(self.read_file(path))
                    labels.append(label)
                except ValueError:
                    unreadable.append(str(path))
        if unreadable and self.strict:
            raise ValueError(f"With `strict`, every image must be readable. Received: {', '.join(unreadable)}.")
        if unreadable:
            warn(f"Left out {len(unreadable)} unreadable image(s): {', '.join(unreadable)}")
        if not images:
            raise ValueError(
                f"`directory` must hold at least one readable image. Received: {self.directory!r}, which holds none."
            )
        return np.stack(images), np.array(labels, np.int64)


@component
class ImageFolder(FolderDataset):
    """Images in a folder with one sub-folder a class, cropped in the middle to a square and resized.

    They are kept in memory, decoded: 3 kB each at 32 pixels, 150 kB each at 224.
    """

    image_size: int = Field(32)  # pixels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.image_size, self.image_size, 3

    def read_file(self, path: Path) -> np.ndarray:
        return read_image(path, self.image_size)


def read_image(path: str | os.PathLike, size: int) -> np.ndarray:
    """Reads a JPEG, PNG, GIF or BMP file as a square.

    # Arguments
        path: the file.
        size: pixels of a side.

    # Returns
        uint8 `(size, size, 3)`, the middle of the image, resized.

    # Raises
        ValueError: if the file is no image.
    """
    try:
        image = tf.io.decode_image(Path(path).read_bytes(), channels=3, expand_animations=False)
    except (OSError, tf.errors.OpError) as error:
        raise ValueError(f"An image must be a JPEG, PNG, GIF or BMP file. Received: {str(path)!r}.") from error
    side = min(image.shape[:2])
    image = tf.image.resize_with_crop_or_pad(image, side, side)
    image = tf.image.resize(image, (size, size), antialias=True)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
