"""What the pages say of the ablations is what was measured."""

import json
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reproducing-the-paper.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
SHIFTS = {
    "none": "none",
    "ASD": "of the activations",
    "WSD": "of the weights",
    "both": "both",
    "both, ASD static": "both, that of the activations static",
}


def figures(name):
    return json.loads((ROOT / f"benchmarks/{name}.json").read_text())


SHORT_RUNS = {
    "imagenette_choices": {
        "the recipe": "`ImagenetteResNet18`",
        "Adam 1e-3": "… with Adam at 1e-3, not 2e-3",
        "Adam 4e-3": "… with Adam at 4e-3",
        "batch of 128": "… in batches of 128, not 64",
        "averaged weights": "… with averaged weights (`averaging_momentum=0.99`)",
        "mixup 0.2": "… with mixup (α = 0.2)",
    },
    "resnet20_choices": {
        "the recipe": "`Cifar10ResNet20Distilled`",
        "no teacher": "… without a teacher (`Cifar10ResNet20Budget precision=mixed`)",
        "t from 0.1 to 10": "… with the sharpness t from 0.1 to 10, not 2 to 4",
        "the authors' recipe": "`Cifar10ResNet20`, the authors' recipe",
    },
}


@pytest.mark.parametrize(("benchmark", "rows"), SHORT_RUNS.items(), ids=SHORT_RUNS)
def test_short_runs(benchmark, rows):
    found = figures(benchmark)["validation_accuracy"]
    assert found.keys() == rows.keys()
    for name, accuracy in found.items():
        assert [rows[name], f"{100 * accuracy['mean']:.1f} %"] in ROWS


def test_the_float_twin():
    found = figures("resnet20_float_twin")["test_accuracy"]
    twin, other = (f"{100 * found[name]['mean']:.2f} %" for name in ("taught", "SGD"))
    card = (ROOT / "zoo/resnet20_cifar10.md").read_text("utf-8")
    assert f"it classifies {twin} after 80 epochs; by SGD and\nwithout a teacher, {other} (" in PAGE
    assert f"| float twin | 0 | 80 | 2.25 | float32 | 91.74 % | 87.10 % | {twin} |" in card
    assert f"a second twin reached {other}" in card
    assert f"| the same | 81.47 % | {twin} |" in README
    assert f"{100 * found['taught']['mean'] - 81.47:.1f} points below the better one" in PAGE


def test_half_width():
    shown = [[row[0], row[-1]] for row in ROWS]
    for name, found in figures("ablation")["test_accuracy"].items():
        seeds = [100 * accuracy for accuracy in found["of each seed"]]
        assert len(seeds) == 3
        assert [SHIFTS[name], f"{statistics.mean(seeds):.1f} ± {statistics.stdev(seeds):.1f} %"] in shown


def test_full_width():
    means = {}
    for network in ("resnet18", "resnet20"):
        for name, found in figures(f"ablation_{network}")["test_accuracy"].items():
            seeds = [100 * accuracy for accuracy in found["of each seed"]]
            mean = f"{statistics.mean(seeds):.1f} %"
            assert [SHIFTS[name], *(f"{accuracy:.2f} %" for accuracy in seeds), mean] in ROWS
            means.setdefault(name, []).append(mean)
    assert set(means) == {"none", "ASD", "WSD", "both"}
    for name, row in means.items():
        assert f"| {SHIFTS[name]} | {' | '.join(row)} |" in README


def test_costs():
    found = figures("ablation_resnet20")
    sizes = {name: f"{size / 1000:.1f} kB" for name, size in found["model_bytes"].items()}
    seconds = found["seconds of each seed"]
    more = sorted(round(100 * (both / none - 1)) for both, none in zip(seconds["both"], seconds["none"], strict=True))
    page = " ".join(PAGE.split())
    assert f"the network's weights take {sizes['both']}, without shifts {sizes['none']}" in page
    assert f"a training takes {more[0]} to {more[1]} % longer" in page
    minutes = [second / 60 for one in seconds.values() for second in one]
    assert f"{min(minutes):.0f} to {max(minutes):.0f} minutes a run" in PAGE
    bytes_of = figures("ablation_resnet18")["model_bytes"]
    megabytes = {name: f"{size / 1e6:.2f} MB" for name, size in bytes_of.items()}
    assert f"{megabytes['both']} with both, {megabytes['none']} without" in page
    assert f"weights take {megabytes['both']} with them, {megabytes['none']} without" in " ".join(README.split())
