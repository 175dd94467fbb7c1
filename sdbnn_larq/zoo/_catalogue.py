"""The registry of published weights; the package `sdbnn_larq.catalogue` describes its entries."""

import functools
import json
from importlib import resources
from pathlib import Path
from typing import Any

CATALOGUE = "sdbnn_larq.catalogue"


def folder() -> Path:
    """Where `registry.json` and the files it names lie."""
    try:
        return Path(str(resources.files(CATALOGUE)))
    except ModuleNotFoundError:  # a checkout that is not installed
        return Path(__file__).parents[2] / "zoo"


@functools.cache
def entries() -> list[dict[str, Any]]:
    return json.loads((folder() / "registry.json").read_text("utf-8"))


def tags(architecture: str) -> dict[str, dict[str, Any]]:
    """The entries of an architecture by tag, whether it is named `"ResNet20"` or, as its models are, `"resnet20"`."""
    wanted = architecture.replace("_", "").lower()
    return {entry["tag"]: entry for entry in entries() if entry["architecture"].lower() == wanted}
