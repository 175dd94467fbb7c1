"""`sdbnn models` and `sdbnn summary`."""

import larq as lq
import tensorflow as tf

from sdbnn_larq import zoo
from sdbnn_larq.evaluation import load_network
from sdbnn_larq.weights import published
from sdbnn_larq.zoo.registry import is_architecture


def print_models(pattern: str, pretrained: bool) -> None:
    for name in zoo.list_models(pattern):
        if not pretrained:
            print(name)
        for entry in published(name) if pretrained else ():
            provenance = entry.description.provenance
            print(
                f"{entry.name}: {entry.accuracy:.2f}% of {entry.images:,} test images of {provenance['data']}, "
                f"{entry.size:,} bytes, {provenance['licence']}"
            )


def print_summary(name: str, weights: str | None) -> None:
    untrained = weights is None and is_architecture(name)
    network = zoo.get_model(name) if untrained else load_network(name, weights)
    if not isinstance(network, tf.keras.Model):
        raise ValueError(
            f"`name` must be a network in Keras. Received: {name!r}, which is exported; `sdbnn inspect` lists its "
            "operations."
        )
    lq.models.summary(network)
