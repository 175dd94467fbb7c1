"""`sdbnn evaluate`: the accuracy of a trained network."""

from collections.abc import Iterable, Mapping
from typing import Any

from zookeeper import configure
from zookeeper.core.utils import warn
from zookeeper.tf import Dataset

from sdbnn_larq import training, zoo
from sdbnn_larq.cli._fields import parse_fields
from sdbnn_larq.evaluation import at_size, load_network
from sdbnn_larq.evaluation import evaluate as accuracy_of
from sdbnn_larq.recipes import task_class
from sdbnn_larq.training.components import default_of
from sdbnn_larq.training.datasets import DIVISION, checksum_of_file_names
from sdbnn_larq.weights import NetworkDescription

EXPORTED = [getattr(training, name) for name in training.__all__]
DATASETS = {part.__name__: part for part in EXPORTED if isinstance(part, type) and issubclass(part, Dataset)}


def test_set(description: NetworkDescription, dataset: str | None, config: Iterable[str]) -> Dataset:
    """A data set with its fields set, e.g. by `"data_dir=DIR"`; by default that on which the network was trained.

    `dataset` is the name of one of this package, or a recipe file, whose data set is meant.
    The network's own data set is divided as it was in training, if the fields do not say otherwise.
    """
    trained = description.provenance.get("dataset")
    dataset = dataset or trained
    if dataset is None:
        raise ValueError(
            "--dataset must be given where the weights do not say on what they were trained: "
            f"{', '.join(DATASETS)}, or a recipe file. Received: {description.architecture} without."
        )
    chosen, fields = _find(dataset)
    provenance = description.provenance if chosen.__name__ == trained else {}
    known = provenance.get("division")
    division = {name: known[name] for name in DIVISION if name in known} if isinstance(known, Mapping) else {}
    source = chosen()
    configure(source, {**fields, **division, **parse_fields(config, chosen)})
    names = provenance.get("checksum_of_file_names")
    if names and "test" not in getattr(source, "parts", ()) and names != checksum_of_file_names(source):
        warn("The folder's files have other names than in training: some of its test images may have been trained on.")
    return source


def _find(dataset: str) -> tuple[type[Dataset], dict[str, Any]]:
    """The class that a name or a recipe file stands for, and the fields that the recipe sets there."""
    if dataset.endswith(".py"):
        found, fields = default_of(task_class(dataset), "dataset")
        if not (isinstance(found, type) and issubclass(found, Dataset)):
            raise ValueError(f"A recipe file must say its `dataset`. Received: {dataset!r}, which leaves it open.")
        return found, fields
    if dataset not in DATASETS:
        raise ValueError(
            f"`dataset` must be one of {', '.join(DATASETS)}, or a recipe file, which has its own. "
            f"Received: {dataset!r}."
        )
    return DATASETS[dataset], {}


def evaluate(
    name: str,
    *,
    weights: str | None,
    dataset: str | None,
    precision: str,
    input_size: int | None,
    config: Iterable[str],
) -> None:
    """Prints the accuracy on a whole test set."""
    network = load_network(name, weights, precision=precision)
    if input_size:
        network = at_size(network, input_size)
    source = test_set(zoo.describe(network), dataset, config)
    accuracy = accuracy_of(network, source)
    low, high = accuracy.interval
    print(
        f"{name}: {accuracy.share:.2%} of {accuracy.images:,} test images of {type(source).__name__} "
        f"({accuracy.right} right; 95 % interval {low:.2%} to {high:.2%})"
    )
