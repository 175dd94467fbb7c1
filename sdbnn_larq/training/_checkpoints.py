"""Checkpoints of a run: complete or not there, and checked before they are used."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from zookeeper.core.utils import warn

from sdbnn_larq._files import atomic_file

KEPT = 2  # the newest, and the one before it should the newest be damaged


class Checkpoints:
    """The newest states of a run in a folder, one safetensors file each.

    A file's name ends with the start of its SHA-256, so that a torn or altered one is known before its use.

    # Arguments
        folder: made by the first `save`.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, arrays: Mapping[str, np.ndarray], progress: Mapping[str, Any]) -> Path:
        """Writes a state, then removes the old ones.

        # Arguments
            arrays: all variables by name.
            progress: anything JSON holds, with the number of steps taken as `total_steps`.

        # Raises
            OSError: if there is no room; the checkpoints that exist are left as they are.
        """
        content = safetensors.numpy.save(dict(arrays), {"progress": json.dumps(progress)})
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{progress['total_steps']:010d}-{digest(content)}.safetensors"
        with atomic_file(path) as file:
            file.write(content)
        for old in self.paths()[KEPT:]:
            old.unlink()
        return path

    def paths(self) -> list[Path]:
        """Files of checkpoints, damaged ones included, the newest first."""
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def newest(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest state that is whole; a damaged one is named in a warning.

        # Returns
            Arrays and progress as given to `save`, or None if there is no checkpoint.
        """
        for path in self.paths():
            content = path.read_bytes()
            if path.stem.split("-")[-1] == digest(content):
                return safetensors.numpy.load(content), json.loads(header(content)["progress"])
            warn(f"The checkpoint {path} is damaged; the one before it is used.")
        return None

    def remove_partial(self) -> None:
        """Removes what a killed process left half-written."""
        for path in self.folder.glob(".step-*"):
            os.unlink(path)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def header(content: bytes) -> dict[str, str]:
    """The text entries of a safetensors file, for which the library has no reader of bytes."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]
