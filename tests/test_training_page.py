"""The page on training names the fields that all recipes have, with their defaults, and shows a recipe file.

The table of recipes says what their runs reached.
"""

import ast
import csv
import itertools
import json
import re
from pathlib import Path

import pytest
from code_blocks import blocks

from sdbnn_larq import recipes
from sdbnn_larq.training import TrainDistilled, TrainSDBNN

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/training.md").read_text("utf-8")
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


@pytest.mark.parametrize(
    ("name", "unit", "seconds"),
    [
        ("imagenette_resnet18_cpu", "{:.0f} min", 60),
        ("imagenette_resnet18_distilled_cpu", "{:.1f} hours", 3600),
        ("cifar10_resnet18_further", "{:.1f} hours", 3600),
    ],
)
def test_figures_of_recipes(name, unit, seconds):
    run = json.loads((ROOT / f"benchmarks/{name}.json").read_text())
    table = (ROOT / "training/README.md").read_text("utf-8").splitlines()
    (row,) = [line for line in table if line.startswith(f"| `{run['command']}` |")]
    time, accuracy = row.split(" | ")[-2:]
    assert time.startswith(unit.format(run["report"]["seconds"] / seconds))
    assert accuracy.startswith(f"{run['report']['test_accuracy']:.1%}".replace("%", " %"))
    assert f"benchmarks/{name}.json" in accuracy


@pytest.mark.slow
def test_a_recipe_of_ones_own(tmp_path):
    """The page's, on digits in place of CIFAR-10."""
    (block,) = [block for block in blocks("python") if block.code.startswith("# my_recipe.py")]
    (tmp_path / "my_recipe.py").write_text(block.code)
    fields = {"dataset": "Digits", "epochs": 1, "model.filters": 4, "output_dir": str(tmp_path / "run")}
    recipes.run(str(tmp_path / "my_recipe.py"), **fields)
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert (report["task"], report["epochs"], report["test_images"]) == ("TrainMine", 1, 359)
    with (tmp_path / "run/history.csv").open() as file:
        assert next(csv.DictReader(file))["lr"] == "0.0010000000474974513"  # of float32
