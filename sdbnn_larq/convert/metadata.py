"""What an exported file says of its network."""

from collections.abc import Mapping, Sequence
from typing import Any

from sdbnn_larq.weights import PHOTOGRAPHS, SMALL_IMAGES, ImagePreprocessing, NetworkDescription
from sdbnn_larq.zoo import architecture, list_models

KEY = "sdbnn_larq"  # under which a file keeps its metadata, as JSON
SMALL = 32  # pixels: of the networks for CIFAR-10


def from_description(description: NetworkDescription | None) -> dict[str, Any]:
    """The metadata of a new file."""
    return {"description": None if description is None else description.to_json()}


def description_in(
    metadata: Mapping[str, Any], input_shape: Sequence[int], output_shape: Sequence[int]
) -> NetworkDescription | None:
    """The description that a file's metadata hold, or what earlier versions of this package wrote instead.

    # Arguments
        metadata: the file's.
        input_shape: with the batch size.
        output_shape: with the batch size.

    # Returns
        The description; `None` for a file of another origin.

    # Raises
        ValueError: for a description that cannot be read.
    """
    if metadata.get("description"):
        return NetworkDescription.from_json(metadata["description"])
    if "network" not in metadata:
        return None
    network = metadata["network"]
    usual = SMALL_IMAGES if max(input_shape[1:3]) <= SMALL else PHOTOGRAPHS
    return NetworkDescription(
        next((name for name in list_models() if architecture(name).factory.name == network), network),
        {"num_classes": output_shape[-1]} if len(output_shape) == 2 else {"include_top": False},
        (input_shape[1], input_shape[2], input_shape[3]),
        ImagePreprocessing(
            usual.crop, usual.resample, metadata.get("mean", usual.mean), metadata.get("deviation", usual.std)
        ),
        metadata.get("class_names"),
    )
