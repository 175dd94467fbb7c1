"""Data sets of encoded photographs, which are read while they are used: `image` is the bytes of a file.

They go with the preprocessing `Photos`.
"""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from zookeeper import Field, component

from sdbnn_larq.training.datasets import Arrays, FolderDataset, PreparedTFDS

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")  # how JPEG, PNG, GIF and BMP files begin


@component
class TFDSPhotos(PreparedTFDS):
    """Any data set of labelled photographs in TensorFlow Datasets, e.g. `name=imagenette`."""

    name: str = Field()
    train_split = Field("train[:95%]")
    validation_split = Field("train[95%:]")
    test_split = Field("test")


@component
class ImageNet(TFDSPhotos):
    """ImageNet: 1,271,167 images to train on and 10,000 to validate; its own validation set of 50,000 tests."""

    name = Field("imagenet2012:5.*.*")
    train_split = Field("train[10000:]")
    validation_split = Field("train[:10000]")
    test_split = Field("validation")


@component
class PhotoFolder(FolderDataset):
    """Photographs of any size in a folder with one sub-folder a class, read from there in every epoch.

    At the start only the first bytes of each file are looked at.
    """

    def read_file(self, path: Path) -> np.ndarray:
        with path.open("rb") as file:
            if not file.read(4).startswith(SIGNATURES):
                raise ValueError(f"An image must be a JPEG, PNG, GIF or BMP file. Received: {str(path)!r}.")
        return np.array(os.fsencode(path))

    def read(self) -> Arrays:
        paths, labels = super().read()
        order = np.random.RandomState(0).permutation(len(labels))  # the pipeline's shuffling reaches only so far
        return paths[order], labels[order]

    def _load(self, split: str) -> tuple[tf.data.Dataset, int]:
        data, count = super()._load(split)
        return data.map(lambda x: {**x, "image": tf.io.read_file(x["image"])}, num_parallel_calls=8), count
