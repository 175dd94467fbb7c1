"""Finds the images of a folder with one sub-folder per class, and says in one line what is wrong with it."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
PART_OF = {name: part for part, names in PARTS.items() for name in names}
# What operating systems and archives leave beside images; names with a leading dot are skipped as well.
LEFTOVERS = ("__macosx", "@eadir", "thumbs.db", "desktop.ini")
JPEG_ENDING = b"\xff\xd9"


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without hidden files and leftovers.

    # Raises
        ValueError: if the folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ValueError(
            f"A folder of images must be readable. Received: {str(folder)!r} ({error.strerror})."
        ) from error
    return [path for path in entries if not path.name.startswith(".") and path.name.lower() not in LEFTOVERS]


def sub_folders(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.is_dir()]


def find_parts(directory: str | os.PathLike) -> dict[str, Path]:
    """The folders that hold class folders: `directory` itself, or its parts for training, validation and test.

    # Arguments
        directory: the folder of a data set. Parts may be called `train` or `training`; `val`, `valid`, `validation` or
            `dev`; `test` or `testing`, in capitals or not.

    # Returns
        Folders by split. There is always one for `"train"`; the splits that have none are parts of that one.

    # Raises
        ValueError: if it is no readable folder, or if two folders are the same part.
    """
    folder = Path(os.path.expanduser(directory))
    if not os.fspath(directory) or not folder.is_dir():
        raise ValueError(
            f"`directory` must be a folder with one sub-folder per class. Received: {os.fspath(directory)!r}, "
            "which is no folder."
        )
    inner = sub_folders(folder)
    names = [PART_OF.get(path.name.lower()) for path in inner]
    training = [path for path, part in zip(inner, names) if part == "train"]
    if not training or not sub_folders(training[0]):  # a class called "train" holds images
        return {"train": folder}
    if None in names:
        other = inner[names.index(None)].name
        raise ValueError(
            f"Beside the folders for training, validation and test there must be no other. Received: {str(folder)!r} "
            f"with {other!r}."
        )
    for part in set(names):
        if names.count(part) > 1:
            same = ", ".join(path.name for path, name in zip(inner, names) if name == part)
            raise ValueError(f"`directory` must have one {part} folder. Received: {str(folder)!r} with {same}.")
    return {str(part): path for path, part in zip(inner, names)}


def find_classes(parts: dict[str, Path]) -> list[str]:
    """The names of the class folders, which must be the same in all parts.

    # Raises
        ValueError: if there are fewer than two, if parts differ, or if a name is not UTF-8.
    """
    folder = parts["train"]
    inner = sub_folders(folder)
    if len(inner) < 2:
        raise ValueError(
            f"`directory` must have one sub-folder per class, and at least two. Received: {str(folder)!r}, which has "
            f"{f'only {inner[0].name!r}' if inner else 'none'}."
        )
    names = [path.name for path in inner]
    for name in names:
        if not _is_utf8(name):
            raise ValueError(
                f"The names of class folders must be in UTF-8. Received: {os.fsencode(name)!r} in {str(folder)!r}."
            )
    for part in parts.values():
        others = {path.name for path in sub_folders(part)}
        for name in sorted(others.symmetric_difference(names)):
            without, has = (folder, part) if name in others else (part, folder)
            raise ValueError(
                f"All parts of a data set must have the same class folders. Received: {str(without)!r} without "
                f"{name!r}, which {has.name!r} has."
            )
    return names


def find_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a class folder: those that are whole images, and all others.

    Of most photographs only the beginning and the end are read.

    # Raises
        ValueError: if the class has no image, or if it has folders.
    """
    entries = visible(folder)
    for path in entries:
        if path.is_dir() and visible(path):
            raise ValueError(
                "A class folder must hold images and no folders. "
                f"Received: {str(folder)!r}, which holds the folder {path.name!r}."
            )
    files = [path for path in entries if path.is_file() or (path.is_symlink() and not path.is_dir())]
    with ThreadPoolExecutor(8) as pool:
        whole = list(pool.map(is_whole_image, files))
    images = [path for path, good in zip(files, whole) if good]
    if not images:
        raise ValueError(
            f"Each class folder must hold at least one readable image. Received: {str(folder)!r}, which holds none."
        )
    return images, [path for path, good in zip(files, whole) if not good]


def is_whole_image(path: Path) -> bool:
    """Whether Pillow reads a file. It decodes neither a PNG, which has checksums, nor a JPEG with a good end."""
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.verify()
            elif not (image.format == "JPEG" and _ends_with(path, JPEG_ENDING)):
                image.load()
        return True
    except Exception:  # Pillow's decoders raise errors of all kinds for damaged files
        return False


def shortened(paths: Sequence[Path], most: int = 5) -> str:
    """A list of files for a line of text."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(repr(str(path)) for path in paths[:most]) + more


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # how Python holds other bytes of a file's name
        return False
    return True


def _ends_with(path: Path, ending: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(-len(ending), os.SEEK_END)
        return file.read() == ending
