"""The data sets that the tasks train on, each with a training, a validation and a test split.

An example is a dictionary of `image`, the bytes of an image file or uint8 `(height, width, 3)`, and `label`, an integer
from 0. Each data set names its `preprocessing`, which turns an image into the input of a network.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import tensorflow as tf
from zookeeper import Field, component
from zookeeper.core.utils import warn
from zookeeper.tf import Dataset, TFDSDataset

from sdbnn_larq.preprocessing import fit
from sdbnn_larq.preprocessing import read_image as read_pixels
from sdbnn_larq.training._class_folders import find_classes, find_images, find_parts, shortened
from sdbnn_larq.weights.description import PHOTOGRAPHS, SMALL_IMAGES

Arrays = tuple[np.ndarray, np.ndarray]
DIVISION = ("validation_fraction", "test_fraction", "train_split", "validation_split", "test_split", "name")


def division_of(dataset: Dataset) -> dict[str, float | str]:
    """The fields that say which images of a data set train, validate and test; a later test needs the same."""
    return {name: getattr(dataset, name) for name in DIVISION if name in dataset.__component_fields__}


def checksum_of_file_names(dataset: Dataset) -> str | None:
    """Of the images in each split of a folder, wherever it lies; `None` for a data set that is no folder.

    One file more or less moves others from a split to another.
    """
    if not isinstance(dataset, FolderDataset):
        return None
    names = [
        b"/".join([split.encode(), *path.split(os.fsencode(os.sep))[-2:]])  # of its class folder, and its own
        for split, (paths, _) in sorted(dataset.splits.items())
        for path in paths.tolist()
    ]
    return hashlib.sha256(b"\0".join(names)).hexdigest()[:16]


def bytes_of_splits(dataset: Dataset) -> dict[str, int] | None:
    """The size of each split of a prepared TFDS data set; two with the same name may hold different images.

    `None` for any other data set, and if it is not prepared.
    """
    if not isinstance(dataset, PreparedTFDS) or type(dataset).load is not PreparedTFDS.load:
        return None
    return {name: split.num_bytes for name, split in sorted(dataset.info.splits.items())} or None


def check_outside(name: str, folder: str | os.PathLike, dataset: Dataset) -> None:
    """Refuses a folder to write to among a data set's images, because it would be taken for a class or a part.

    Hidden folders are not.

    # Raises
        ValueError: naming both folders.
    """
    if not isinstance(dataset, FolderDataset):
        return
    images = Path(os.path.expanduser(dataset.directory))
    inside, outer = Path(folder).resolve(), images.resolve()
    if inside.is_relative_to(outer) and not any(n.startswith(".") for n in inside.relative_to(outer).parts):
        raise ValueError(
            f"`{name}` must lie outside of the images' folder. "
            f"Received: {name}={os.fspath(folder)!r} in {os.fspath(images)!r}."
        )


class PreparedTFDS(TFDSDataset):
    """Base class of data sets that TensorFlow Datasets has prepared on this machine.

    Nothing is downloaded unless `download=True`; `data_dir`, or else the environment variable `TFDS_DATA_DIR`, says
    where the prepared set lies. Images stay encoded, so that every network's are decoded in the same way.
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
        return builder.as_dataset(split=split, decoders=decoders or {"image": tfds.decode.SkipDecoding()})


@component
class Cifar10(PreparedTFDS):
    """CIFAR-10 through TensorFlow Datasets: 45,000 images to train on, 5,000 to validate, 10,000 to test."""

    preprocessing = SMALL_IMAGES
    name = Field("cifar10:3.0.2")
    train_split = Field("train[:45000]")
    validation_split = Field("train[45000:]")
    test_split = Field("test")
    image_shape = (32, 32, 3)


class DividedDataset(Dataset):
    """Base class of data sets that are divided here into training, validation and test."""

    validation_fraction: float = Field(0.1)
    test_fraction: float = Field(0.1)

    @property
    def class_names(self) -> Sequence[str]:
        """The classes in the order of their labels."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def place(self) -> str:
        """Where the images lie, for errors."""
        return ""

    def find_splits(self) -> dict[str, Arrays]:
        """Images and labels of each split."""
        raise NotImplementedError

    @property
    def splits(self) -> dict[str, Arrays]:
        """Images, or their paths, and labels by split: `"train"`, `"validation"` and `"test"`."""
        if not hasattr(self, "_splits"):
            self._splits = self.find_splits()
        return self._splits

    def divided(self, images: np.ndarray, labels: np.ndarray, wanted: Sequence[str]) -> dict[str, Arrays]:
        """A fixed division that keeps the classes' shares, with at least one image of each class in each split.

        # Arguments
            images: of all classes.
            labels: theirs.
            wanted: the splits to take from the images, of `"validation"` and `"test"`; `"train"` has the others.

        # Raises
            ValueError: if a fraction does not fit, or if a class has fewer images than there are splits.
        """
        fractions = [getattr(self, f"{name}_fraction") if name in wanted else 0.0 for name in ("validation", "test")]
        for name in wanted:
            if getattr(self, f"{name}_fraction") <= 0:
                raise ValueError("`validation_fraction` and `test_fraction` must be greater than 0.")
        if sum(fractions) >= 1:
            raise ValueError("`validation_fraction` and `test_fraction` must sum to less than 1.")
        bounds = 1 - fractions[0] - fractions[1], 1 - fractions[1]
        order = np.random.RandomState(0).permutation(len(labels))
        split_of = np.empty(len(labels), int)
        for label, name in enumerate(self.class_names):
            members = order[labels[order] == label]
            place = (np.arange(len(members)) + 0.5) / len(members)  # in its class, from 0 to 1
            counts = np.bincount(np.digitize(place, bounds), minlength=3)
            counts[1:] = np.maximum(counts[1:], [split in wanted for split in ("validation", "test")])
            counts[0] = len(members) - counts[1] - counts[2]
            if counts[0] < 1:
                raise ValueError(
                    f"Each class must have at least {1 + len(wanted)} images, one for each of "
                    f"{', '.join(['train', *wanted])}. Received: {len(members)} of {name!r}{self.place}."
                )
            split_of[members] = np.repeat([0, 1, 2], counts)
        names = [name for name in ("train", "validation", "test") if name == "train" or name in wanted]
        chosen = {name: split_of == ("train", "validation", "test").index(name) for name in names}
        return {name: (images[mask], labels[mask]) for name, mask in chosen.items()}

    def arrays(self, split: str) -> Arrays:
        """Images, or their paths, and labels of a split, in the order in which they are given out."""
        return self.splits[split]

    def _load(self, split: str) -> tuple[tf.data.Dataset, int]:
        images, labels = self.arrays(split)
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels}), len(labels)

    def train(self, decoders=None):
        return self._load("train")

    def validation(self, decoders=None):
        return self._load("validation")

    def test(self, decoders=None):
        return self._load("test")


@component
class Digits(DividedDataset):
    """scikit-learn's 1,797 handwritten digits, enlarged from 8×8 to 32×32; they come with the library."""

    preprocessing = SMALL_IMAGES
    test_fraction: float = Field(0.2)
    image_shape = (32, 32, 3)

    @property
    def class_names(self) -> Sequence[str]:
        return list("0123456789")

    def find_splits(self) -> dict[str, Arrays]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = tf.image.resize(digits.images[..., None] * (255 / 16), self.image_shape[:2])
        images = np.repeat(np.round(images).astype(np.uint8), 3, axis=-1)
        return self.divided(images, digits.target.astype(np.int64), ("validation", "test"))


class FolderDataset(DividedDataset):
    """Base class of data sets in a folder with one sub-folder per class.

    The folder may have a part for training, `train`, and parts for validation and test, `val` and `test`, with one
    sub-folder a class each. `validation_fraction` and `test_fraction` say which share of the images validate and test
    where there is no part for it. An example is `image`, the bytes of a file, `label`, and `file`, its path.
    """

    directory: str = Field()
    strict: bool = Field(False)  # refuse a folder with a file that is no image instead of leaving the file out

    @property
    def place(self) -> str:
        return f" in {os.fspath(self.directory)!r}"

    @property
    def parts(self) -> dict[str, Path]:
        """Folders of class folders by split."""
        return find_parts(self.directory)

    @property
    def class_folders(self) -> dict[str, str]:
        """The names of the class folders by those of the classes, in the order of the labels."""
        return {name: name for name in find_classes(self.parts)}

    @property
    def class_names(self) -> Sequence[str]:
        return list(self.class_folders)

    def find_splits(self) -> dict[str, Arrays]:
        parts, folders = self.parts, list(self.class_folders.values())
        left_out: list[Path] = []
        splits = {part: self.read_part(folder, folders, left_out) for part, folder in parts.items()}
        if left_out and self.strict:
            raise ValueError(f"With `strict`, every file must be a whole image. Received: {shortened(left_out)}.")
        splits |= self.divided(*splits["train"], [name for name in ("validation", "test") if name not in parts])
        if left_out:
            warn(f"Left out {len(left_out)} file(s) that are no whole image: {shortened(left_out)}")
        return splits

    def read_part(self, folder: Path, class_folders: Sequence[str], left_out: list[Path]) -> Arrays:
        """Paths, as bytes, and labels; files that are no images are added to `left_out`."""
        paths: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(class_folders):
            images, others = find_images(folder / name)
            left_out += others
            paths += images
            labels += [label] * len(images)
        return np.array([os.fsencode(path) for path in paths]), np.array(labels, np.int64)

    def _load(self, split: str) -> tuple[tf.data.Dataset, int]:
        data, count = super()._load(split)
        return data.map(
            lambda x: {"image": tf.io.read_file(x["image"]), "label": x["label"], "file": x["image"]},
            num_parallel_calls=8,
        ), count


@component
class ImageFolder(FolderDataset):
    """Images in a folder with one sub-folder per class, for networks that take small images.

    The images have the size that the model takes, its `input_shape`; `image_size` sets it too. With the preprocessing
    `SmallImages` they are kept in memory, decoded: 3 kB each at 32 pixels, 150 kB each at 224.
    """

    preprocessing = SMALL_IMAGES
    image_size: Optional[int] = Field(None)  # pixels a side

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        if self.image_size is not None and self.image_size < 1:
            raise ValueError(f"`image_size` must be at least 1. Received: image_size={self.image_size}.")
        return None if self.image_size is None else (self.image_size, self.image_size, 3)

    def arrays(self, split: str) -> Arrays:
        paths, labels = super().arrays(split)
        order = np.random.RandomState(0).permutation(len(labels))  # the first images stand for all in a calibration
        return paths[order], labels[order]


def read_image(path: str | os.PathLike, size: int) -> np.ndarray:
    """Reads an image file as a square, with `read_image` and `fit` of `sdbnn_larq.preprocessing`.

    # Arguments
        path: the file.
        size: pixels of a side. More than 64 are taken as a photograph's, whose borders are cut off as ImageNet's are.

    # Returns
        uint8 `(size, size, 3)`, the middle of the image, resized.

    # Raises
        ValueError: if the file is no image.
    """
    return fit(read_pixels(path), (size, size), SMALL_IMAGES if size <= 64 else PHOTOGRAPHS)
