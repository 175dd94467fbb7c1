"""Writing the files of an export all together or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def staged(path: str | os.PathLike, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Gives a temporary path to write to; its files move to `path` when all went well, and vanish when not.

    # Arguments
        path: the output, ending in the first of `suffixes`.
        suffixes: of all files that the export writes; the first is moved last.

    # Raises
        ValueError: for another suffix.
        OSError: if the folder cannot be written.
    """
    path = Path(path)
    if path.suffix != suffixes[0]:
        raise ValueError(f"`path` must end in {suffixes[0]}. Received: path={str(path)!r}.")
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-")
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"`path` must be a file in a writable folder. Received: path={str(path)!r} ({reason})."
        ) from error
    with folder:
        temporary = Path(folder.name) / path.name
        yield temporary
        for suffix in reversed(suffixes):
            os.replace(temporary.with_suffix(suffix), path.with_suffix(suffix))
