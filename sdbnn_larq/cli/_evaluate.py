"""`sdbnn evaluate`: the accuracy of a trained network."""

from collections.abc import Iterable, Mapping

from zookeeper import configure
from zookeeper.core.utils import warn
from zookeeper.tf import Dataset

from sdbnn_larq import training, zoo
from sdbnn_larq.cli._fields import parse_fields
from sdbnn_larq.evaluation import at_size, load_network
from sdbnn_larq.evaluation import evaluate as accuracy_of
from sdbnn_larq.training.datasets import DIVISION, checksum_of_file_names
from sdbnn_larq.weights import NetworkDescription

EXPORTED = [getattr(training, name) for name in training.__all__]
DATASETS = {part.__name__: part for part in EXPORTED if isinstance(part, type) and issubclass(part, Dataset)}


def test_set(description: NetworkDescription, dataset: str | None, config: Iterable[str]) -> Dataset:
    """A data set with its fields set, e.g. by `"data_dir=DIR"`; by default that on which the network was trained.

    The network's own data set is divided as it was in training, if the fields do not say otherwise.
    """
    trained = description.provenance.get("dataset")
    dataset = dataset or trained
    if dataset is None:
        raise ValueError(
            f"--dataset must be given where the weights do not say on what they were trained: {', '.join(DATASETS)}. "
            f"Received: {description.architecture} without."
        )
    if dataset not in DATASETS:
        raise ValueError(f"`dataset` must be one of {', '.join(DATASETS)}. Received: {dataset!r}.")
    source = DATASETS[dataset]()
    known = description.provenance.get("division") if dataset == trained else None
    division = {name: known[name] for name in DIVISION if name in known} if isinstance(known, Mapping) else {}
    configure(source, {**division, **parse_fields(config, DATASETS[dataset])})
    names = description.provenance.get("checksum_of_file_names") if dataset == trained else None
    if names and "test" not in getattr(source, "parts", ()) and names != checksum_of_file_names(source):
        warn("The folder's files have other names than in training: some of its test images may have been trained on.")
    return source


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
