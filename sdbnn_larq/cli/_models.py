"""`sdbnn models` and `sdbnn summary`."""

import larq as lq

from sdbnn_larq import zoo
from sdbnn_larq.cli._use import build
from sdbnn_larq.weights import catalogue


def print_models(pattern: str, pretrained: bool) -> None:
    for name in zoo.list_models(pattern, pretrained):
        if not pretrained:
            print(name)
        for entry in catalogue.tags(name).values() if pretrained else ():
            print(
                f"{name} {entry.tag}: {entry.accuracy:.2f}% of {entry.images:,} test images of {entry.data}, "
                f"{entry.size:,} bytes, {entry.licence}"
            )


def print_summary(name: str, weights: str | None) -> None:
    model, _ = build(name, weights) if weights else (zoo.get_model(name), [])
    lq.models.summary(model)
