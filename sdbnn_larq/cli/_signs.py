"""`sdbnn signs`: what the signs of a network are, in pictures and numbers."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from zookeeper.tf import Dataset

from sdbnn_larq import zoo
from sdbnn_larq.analysis import signs
from sdbnn_larq.analysis.page import write_page
from sdbnn_larq.cli._evaluate import test_set
from sdbnn_larq.cli._images import image_paths
from sdbnn_larq.evaluation import load_network
from sdbnn_larq.preprocessing import fit, known_preprocessing, normalize, read_image
from sdbnn_larq.training.evaluation_data import pixel_batches, readable
from sdbnn_larq.weights import NetworkDescription

BATCH = 100  # images


def print_signs(
    name: str,
    weights: str | None,
    dataset: str | None,
    images: tuple[str, ...],
    output: str,
    config: Iterable[str],
) -> None:
    """Shows a network a whole test set or the user's images, prints a table and writes pictures, page and figures."""
    network = load_network(name, weights)
    if not isinstance(network, tf.keras.Model):
        raise ValueError(f"`name` must be a network in Keras. Received: {name!r}, which is exported.")
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output must be a folder. Received: {output!r}, which is a file.")
    description = zoo.describe(network)
    if images and (dataset or config):
        raise ValueError(f"--images must be given without a data set. Received: both, {dataset or list(config)}.")
    if images:
        batches, shown = _own_images(image_paths(images), description), "images of your own"
    else:
        dataset = dataset or description.provenance.get("dataset")
        if dataset is None:
            raise ValueError(
                "--dataset or --images must be given where the weights do not say on what they were trained. "
                f"Received: {name} without."
            )
        source = test_set(description, dataset, config)
        batches, shown = _test_images(source, description), f"test images of {type(source).__name__}"
    report = signs(network, batches)
    folder.mkdir(parents=True, exist_ok=True)
    report.write_json(folder / "signs.json")
    report.write_csv(folder / "signs.csv")
    title = name if weights is None else f"{name} ({weights})"
    page = write_page(report, folder, title=title, shown=f"{report.images:,} {shown}")
    print(report.table())
    for layer, reasons in report.left_out.items():
        print(f"{layer}: {'; '.join(reasons)}")
    print(f"{page}: open it in a browser")


def _test_images(dataset: Dataset, description: NetworkDescription) -> Iterator[np.ndarray]:
    preprocessing = known_preprocessing(description)
    data, _ = pixel_batches(dataset, "test", description.input_shape, preprocessing, BATCH)
    return (normalize(pixels, preprocessing) for pixels, _ in readable(data))


def _own_images(paths: list[Path], description: NetworkDescription) -> Iterator[np.ndarray]:
    preprocessing, size = known_preprocessing(description), description.input_shape[:2]
    for start in range(0, len(paths), BATCH):
        pixels = [fit(read_image(path), size, preprocessing) for path in paths[start : start + BATCH]]
        yield normalize(np.stack(pixels), preprocessing)
