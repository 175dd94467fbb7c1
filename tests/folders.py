"""Data sets in folders, configured."""

import os

import pytest
from zookeeper import configure

from sdbnn_larq.training import ImageFolder, PhotoFolder

FOLDERS = pytest.mark.parametrize("kind", [ImageFolder, PhotoFolder])


def data_of(kind, directory, **fields):
    dataset = kind()
    configure(dataset, {"directory": os.fspath(directory), **fields})
    return dataset
