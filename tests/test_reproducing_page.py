"""What the pages say of the ablations is what was measured."""

import json
import statistics
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reproducing-the-paper.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
SHIFTS = {
    "none": "none",
    "ASD": "of the activations",
    "WSD": "of the weights",
    "both": "both",
    "both, ASD static": "both, that of the activations static",
}


def accuracies(name):
    return json.loads((ROOT / f"benchmarks/{name}.json").read_text())["test_accuracy"]


def test_half_width():
    shown = [[row[0], row[-1]] for row in ROWS]
    for name, found in accuracies("ablation").items():
        seeds = [100 * accuracy for accuracy in found["of each seed"]]
        assert len(seeds) == 3
        assert [SHIFTS[name], f"{statistics.mean(seeds):.1f} ± {statistics.stdev(seeds):.1f} %"] in shown


def test_full_width():
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, found in accuracies("ablation_resnet20").items():
        seeds = [100 * accuracy for accuracy in found["of each seed"]]
        mean = f"{statistics.mean(seeds):.1f} %"
        assert [SHIFTS[name], *(f"{accuracy:.2f} %" for accuracy in seeds), mean] in ROWS
        assert mean in readme
