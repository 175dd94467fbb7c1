"""`sdbnn models` and `sdbnn summary`."""

import larq as lq

from sdbnn_larq import zoo
from sdbnn_larq.cli._use import build


def print_models(pattern: str) -> None:
    for name in zoo.list_models(pattern):
        print(name)


def print_summary(name: str, weights: str | None) -> None:
    model, _ = build(name, weights) if weights else (zoo.get_model(name), [])
    lq.models.summary(model)
