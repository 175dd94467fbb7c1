"""The catalogue of published weights: `registry.json` is a list of what `PublishedWeights` describes."""

import dataclasses
import functools
import json
import re
from pathlib import Path

from sdbnn_larq._files import atomic_file
from sdbnn_larq.weights.description import NetworkDescription

REGISTRY = "registry.json"
PROVENANCE = (
    "dataset",
    "data",
    "recipe",
    "seeds",
    "licence",
)  # of published weights, at least


@dataclasses.dataclass(frozen=True)
class PublishedWeights:
    """A file of published weights, with what it takes to use it rightly and to recompute what is said of it.

    # Raises
        ValueError: if a field is not as described.
    """

    description: NetworkDescription  # that of the file itself
    tag: str  # what `weights=` takes, one of each kind for an architecture
    file: str  # in the folder of `registry.json`, or an https address
    size: int  # of the file, in bytes
    sha256: str  # of the file, in hexadecimal
    accuracy: float  # top-1 in per cent, to 0.01, on the test split of the data set that the description names
    images: int  # on how many

    def __post_init__(self) -> None:
        description = self.description
        rules = {
            "description": description.preprocessing
            and description.class_names
            and all(description.provenance.get(name) for name in PROVENANCE),
            "tag": re.fullmatch(r"[a-z0-9_]+", self.tag),
            "file": re.fullmatch(r"(https://.+/)?[\w.-]+\.safetensors", self.file),
            "size": self.size > 0,
            "sha256": re.fullmatch("[0-9a-f]{64}", self.sha256),
            "accuracy": 0 <= self.accuracy <= 100 and round(self.accuracy, 2) == self.accuracy,
            "images": self.images > 0,
        }
        if wrong := [name for name, right in rules.items() if not right]:
            raise ValueError(
                f"`{wrong[0]}` of published weights must be as `PublishedWeights` describes it. "
                f"Received: {getattr(self, wrong[0])!r}."
            )

    @property
    def name(self) -> str:
        """Architecture and tag, as `zoo.load` takes them."""
        return f"{self.description.architecture}/{self.tag}"


def folder() -> Path:
    """Where `registry.json` and the files it names lie."""
    return Path(__file__).parent / "published"


def published(architecture: str | None = None) -> list[PublishedWeights]:
    """All published weights, or those of one architecture."""
    everything = _read(folder() / REGISTRY)
    return [entry for entry in everything if architecture in (None, entry.description.architecture)]


@functools.cache
def _read(path: Path) -> list[PublishedWeights]:
    return [
        PublishedWeights(**{**fields, "description": NetworkDescription.from_json(fields["description"])})
        for fields in json.loads(path.read_text("utf-8"))
    ]


def publish(entry: PublishedWeights) -> None:
    """Enters weights in the registry, in the place of those of the same name."""
    entries = sorted([*(other for other in published() if other.name != entry.name), entry], key=lambda e: e.name)
    fields = [
        {
            **{field.name: getattr(e, field.name) for field in dataclasses.fields(e)},
            "description": e.description.to_json(),
        }
        for e in entries
    ]
    with atomic_file(folder() / REGISTRY) as file:
        file.write((json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode())
    _read.cache_clear()
