"""Data sets of encoded photographs, which are read while they are used: `image` is the bytes of a file.

They go with the preprocessing `Photos`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from zookeeper import Field, component

from sdbnn_larq.training.datasets import Arrays, FolderDataset, PreparedTFDS
from sdbnn_larq.weights.description import PHOTOGRAPHS

WORDNET = {  # numbers and names of Imagenette's classes
    "n01440764": "tench",
    "n02102040": "english_springer",
    "n02979186": "cassette_player",
    "n03000684": "chain_saw",
    "n03028079": "church",
    "n03394916": "french_horn",
    "n03417042": "garbage_truck",
    "n03425413": "gas_pump",
    "n03445777": "golf_ball",
    "n03888257": "parachute",
}


@component
class TFDSPhotos(PreparedTFDS):
    """Any data set of labelled photographs in TensorFlow Datasets, e.g. `name=imagenette`."""

    preprocessing = PHOTOGRAPHS
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
    """Photographs of any size in a folder with one sub-folder per class, read from there in every epoch."""

    preprocessing = PHOTOGRAPHS

    def read_part(self, folder: Path, class_folders: Sequence[str], left_out: list[Path]) -> Arrays:
        paths, labels = super().read_part(folder, class_folders, left_out)
        order = np.random.RandomState(0).permutation(len(labels))  # the pipeline's shuffling reaches only so far
        return paths[order], labels[order]


@component
class Imagenette(PhotoFolder):
    """[Imagenette](https://github.com/fastai/imagenette): ten classes of ImageNet, in a folder with `train` and `val`.

    `val` tests, as ImageNet's own validation set does; a tenth of each class in `train` validates. The numbers by which
    the archives call the class folders are read as the classes' names.
    """

    @property
    def class_folders(self) -> dict[str, str]:
        folders = super().class_folders
        named = {WORDNET.get(folder, folder): folder for folder in folders}
        if len(named) < len(folders):
            raise ValueError(
                f"`directory` must have one folder for each class. Received: {os.fspath(self.directory)!r}, with both "
                "numbers and names."
            )
        return named

    @property
    def parts(self) -> dict[str, Path]:
        parts = super().parts
        if parts.keys() != {"train", "validation"}:
            found = [path.name for path in parts.values() if path != Path(self.directory)]
            raise ValueError(
                f"`directory` must have the parts train and val alone. Received: {os.fspath(self.directory)!r}, "
                f"which has {', '.join(found) or 'none'}."
            )
        return {"train": parts["train"], "test": parts["validation"]}
