"""What `train.py` writes about a run; neither PyTorch nor TensorFlow is needed to read it."""

import json
from itertools import zip_longest
from pathlib import Path


def read_run(folder):
    """The recipe of a run, the names of its classes in the outputs' order, its images, time and machine."""
    run = json.loads(Path(folder, "run.json").read_text("utf-8"))
    if "class_names" not in run:
        raise ValueError(f"A run must say its class_names; earlier versions did not. Received: {str(folder)!r}.")
    return run


def check_classes(what, class_names, expected):
    """Refuses classes with other names or in another order."""
    for i, (name, other) in enumerate(zip_longest(class_names, expected)):
        if name != other:
            raise ValueError(
                f"{what} must be of the same {len(expected)} classes, in the same order. "
                f"Received: {len(class_names)}, with class {i} {name!r}, not {other!r}."
            )
