"""A folder that one process at a time writes into."""

import contextlib
import fcntl
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from zookeeper.core.utils import warn

FILE = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a folder for this process inside the block.

    The lock is the operating system's: it ends with the process, however that ends.

    # Arguments
        folder: made if there is none.

    # Raises
        ValueError: if another process, or another thread of this one, has the folder; it says which.
        OSError: if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / FILE, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ValueError(
                f"`output_dir` must be a folder that is not in use. Received: {str(folder)!r}, in use by {holder}."
            ) from error
        except OSError as error:  # some network file systems have no locks
            warn(f"{folder} cannot be locked ({error.strerror}): nothing keeps a second run out of it.")
            yield
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()} since {datetime.now():%Y-%m-%d %H:%M:%S}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
