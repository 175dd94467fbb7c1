"""The catalogue of published weights: `registry.json` is a list of entries, each of the fields of `Entry`."""

import dataclasses
import functools
import json
import re
from pathlib import Path
from typing import Any

from sdbnn_larq._files import atomic_file

REGISTRY = "registry.json"


@dataclasses.dataclass(frozen=True)
class Entry:
    """Published weights, with what it takes to use them rightly and to recompute what is said of them.

    # Raises
        ValueError: if a field is not as described.
    """

    architecture: str  # a name of `zoo.list_models()`
    tag: str  # what `weights=` takes, one of each kind for an architecture
    arguments: dict[str, Any]  # the architecture's keyword arguments that the weights need
    file: str  # in the folder of `registry.json`, or an https address
    size: int  # of the file, in bytes
    sha256: str  # of the file, in hexadecimal
    dataset: str  # of `sdbnn_larq.training`; `accuracy` is that on its test split
    data: str  # which images those are, in words
    input_size: list[int]  # height and width in pixels
    mean: list[float]  # of red, green and blue from 0 to 255, subtracted from an image
    std: list[float]  # and what it is then divided by
    class_names: list[str]  # in the order of the labels
    accuracy: float  # top-1 in per cent, to 0.01
    images: int  # on how many
    seeds: list[int]  # of the training runs
    recipe: str  # the command, or how the weights were made
    licence: str  # SPDX identifier

    def __post_init__(self) -> None:
        rules = {
            "tag": re.fullmatch(r"[a-z0-9_]+", self.tag),
            "file": re.fullmatch(r"(https://.+/)?[\w.-]+\.safetensors", self.file),
            "size": self.size > 0,
            "sha256": re.fullmatch("[0-9a-f]{64}", self.sha256),
            "input_size": len(self.input_size) == 2,
            "mean": len(self.mean) == 3,
            "std": len(self.std) == 3 and min(self.std) > 0,
            "class_names": len(set(self.class_names)) == len(self.class_names) > 1,
            "accuracy": 0 <= self.accuracy <= 100 and round(self.accuracy, 2) == self.accuracy,
            "images": self.images > 0,
            **{name: getattr(self, name) for name in ("architecture", "dataset", "data", "seeds", "recipe", "licence")},
        }
        if wrong := [name for name, right in rules.items() if not right]:
            name = wrong[0]
            raise ValueError(
                f"`{name}` of a published file must be as `Entry` describes it. Received: {getattr(self, name)!r}."
            )


def folder() -> Path:
    """Where `registry.json` and the files it names lie."""
    return Path(__file__).parent / "published"


def entries() -> list[Entry]:
    """All that is published."""
    return _read(folder() / REGISTRY)


@functools.cache
def _read(path: Path) -> list[Entry]:
    return [Entry(**fields) for fields in json.loads(path.read_text("utf-8"))]


def write(published: list[Entry]) -> None:
    """Makes `published` the registry."""
    text = json.dumps([dataclasses.asdict(entry) for entry in published], indent=2, ensure_ascii=False) + "\n"
    with atomic_file(folder() / REGISTRY) as file:
        file.write(text.encode())
    _read.cache_clear()


def tags(architecture: str) -> dict[str, Entry]:
    """The entries of an architecture by tag, whether it is named `"ResNet20"` or, as its models are, `"resnet20"`."""
    wanted = architecture.replace("_", "").lower()
    return {entry.tag: entry for entry in entries() if entry.architecture.lower() == wanted}
