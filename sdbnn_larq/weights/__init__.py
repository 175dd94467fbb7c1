"""What a file of weights holds and where it lies: its description, its format, the catalogue and downloads."""

from sdbnn_larq.weights.catalogue import PublishedWeights, published
from sdbnn_larq.weights.description import (
    PHOTOGRAPHS,
    SMALL_IMAGES,
    ImagePreprocessing,
    NetworkDescription,
    description_of,
)
from sdbnn_larq.weights.files import load_file
from sdbnn_larq.weights.locate import describe, locate
from sdbnn_larq.weights.names import named_weights
from sdbnn_larq.weights.packed import load_packed, read_description, save_packed

__all__ = [
    "PHOTOGRAPHS",
    "SMALL_IMAGES",
    "ImagePreprocessing",
    "NetworkDescription",
    "PublishedWeights",
    "describe",
    "description_of",
    "load_file",
    "load_packed",
    "locate",
    "named_weights",
    "published",
    "read_description",
    "save_packed",
]
