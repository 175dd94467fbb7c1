"""The page on training names the fields that all recipes have, with their defaults."""

import ast
import itertools
import re
from pathlib import Path

from sdbnn_larq import recipes
from sdbnn_larq.training import TrainDistilled, TrainSDBNN

PAGE = (Path(__file__).parent.parent / "docs/training.md").read_text("utf-8")
SECTION = PAGE.partition("\n## Fields\n")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("| `")
]
DEFAULTS = {
    name: default
    for names, defaults, _ in ROWS
    for name, default in zip(re.findall(r"`(\w+)`", names), itertools.cycle(defaults.split(", ")))
}


def test_all_fields_are_listed():
    fields = recipes.task_class("Digits").__component_fields__
    assert DEFAULTS.keys() == fields.keys() | {"input_shape"}  # which the components have
    taught = recipes.task_class("Cifar10ResNet20Distilled").__component_fields__.keys() - fields.keys()
    assert taught == {
        name for name in vars(TrainDistilled) if f"`{name}`" in SECTION.partition("Recipes of networks")[2]
    }


def test_defaults():
    stated = {
        name: default.strip("`") for name, default in DEFAULTS.items() if re.fullmatch(r"[\d.e-]+|`\w+`", default)
    }
    assert len(stated) > 12
    for name, default in stated.items():
        field = vars(TrainSDBNN)[name]._default
        assert field == (default if isinstance(field, str) else ast.literal_eval(default)), name
