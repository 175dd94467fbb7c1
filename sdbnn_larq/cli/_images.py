"""The images that a user names on the command line, as a network takes them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from sdbnn_larq.preprocessing import fit, known_preprocessing, normalize, read_image
from sdbnn_larq.weights import NetworkDescription

MOST = 64  # images of a folder; a comparison keeps all activations of all images


def read_images(paths: Iterable[str], description: NetworkDescription, uint8: bool) -> np.ndarray:
    """Reads images and the images in folders, prepared as the description says.

    # Arguments
        paths: images, and folders of images or of folders of images; of a folder with more than 64, 64 are read, evenly
            chosen.
        description: of the network that takes them.
        uint8: whether to leave them pixels.

    # Raises
        ValueError: for an image that cannot be read, or a folder without images.
    """
    preprocessing, size = known_preprocessing(description), description.input_shape[:2]
    files = [file for path in paths for file in (_some(path) if os.path.isdir(path) else [path])]
    pixels = np.stack([fit(read_image(file), size, preprocessing) for file in files])
    return pixels if uint8 else normalize(pixels, preprocessing)


def image_paths(paths: Iterable[str]) -> list[Path]:
    """Images, and all images in folders and in their folders, each folder in the order of their paths.

    # Raises
        ValueError: for a folder without images.
    """
    return [file for path in paths for file in (_all(path) if os.path.isdir(path) else [Path(path)])]


def _all(folder: str) -> list[Path]:
    files = sorted(_image_files(Path(folder)))
    if not files:
        raise ValueError(f"--images must be images or folders with images. Received: {folder!r} without.")
    return files


def _some(folder: str) -> list[Path]:
    """At most `MOST` of the images in a folder and its folders."""
    files = _all(folder)
    return [files[i] for i in np.linspace(0, len(files) - 1, min(len(files), MOST)).round().astype(int)]


def _image_files(folder: Path) -> Iterator[Path]:
    """The files in a folder and its folders that have an image's suffix; hidden ones are skipped."""
    from PIL import Image

    suffixes = Image.registered_extensions()
    for directory, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                yield Path(directory, name)
