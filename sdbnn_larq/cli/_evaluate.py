"""`sdbnn evaluate`: the accuracy of a trained network."""

from collections.abc import Iterable

from zookeeper import configure
from zookeeper.tf import Dataset

from sdbnn_larq import training, zoo
from sdbnn_larq.cli._fields import parse_fields
from sdbnn_larq.evaluation import evaluate as accuracy_of
from sdbnn_larq.evaluation import load_network

EXPORTED = [getattr(training, name) for name in training.__all__]
DATASETS = {part.__name__: part for part in EXPORTED if isinstance(part, type) and issubclass(part, Dataset)}


def test_set(dataset: str, config: Iterable[str]) -> Dataset:
    """A data set with its fields set, e.g. by `"data_dir=DIR"`."""
    if dataset not in DATASETS:
        raise ValueError(f"`dataset` must be one of {', '.join(DATASETS)}. Received: {dataset!r}.")
    source = DATASETS[dataset]()
    configure(source, parse_fields(config, DATASETS[dataset]))
    return source


def evaluate(name: str, weights: str | None, dataset: str | None, precision: str, config: Iterable[str]) -> None:
    """Prints the accuracy on a whole test set, by default that of the data set on which the network was trained."""
    network = load_network(name, weights, precision=precision)
    description = zoo.describe(network)
    dataset = dataset or description.provenance.get("dataset")
    if dataset is None:
        raise ValueError(
            f"--dataset must be given where the weights do not say on what they were trained: {', '.join(DATASETS)}. "
            f"Received: {name} without."
        )
    accuracy = accuracy_of(network, test_set(dataset, config))
    print(f"{name}: {accuracy.share:.2%} of {accuracy.images:,} test images of {dataset} ({accuracy.right} right)")
