"""Choices for `recipes/cifar10_resnet20_budget.py`, one changed at a time: half the width, 10,000 images, 6 epochs.

    python benchmarks/budget_choices.py --data-dir DIR --seeds 1 --output benchmarks/budget_choices.json

All but "whole images", which the recipe has, begin with smaller ones to save time. The accuracies are of the 5,000
validation images after the last epoch; the test images play no part. Two phases have three epochs each; the six that a
teacher takes come on top.
"""

from pathlib import Path

from _variants import compare

SEARCH, PHASES = (str(Path(__file__).parent / name) for name in ("budget_search.py", "budget_phases.py"))
TEACHER = "teacher.weights={runs}/float twin-{seed}/weights.safetensors"
TWIN = "teacher.weights={runs}/float twin, 3 epochs-{seed}/weights.safetensors"
FLOAT_WEIGHTS = "float_weights={runs}/float weights, 3 epochs-{seed}/weights.safetensors"
VARIANTS = {
    "smaller images first": [SEARCH],
    "branch_gamma 1": [SEARCH, "model.branch_gamma=1.0"],
    "SGD 1e-1": [SEARCH, "optimization=sgd-1e-1"],
    "batch of 128": [SEARCH, "batch_size=128"],
    "t from 1e-3 to 10, as the authors": [SEARCH, "t_min=1e-3", "t_max=10.0"],
    "t from 1 to 2": [SEARCH, "t_min=1.0", "t_max=2.0"],
    "whole images": [SEARCH, "preprocessing.sizes=()"],
    "float twin": [SEARCH, "model.binary=False"],
    "float twin, 3 epochs": [SEARCH, "epochs=3", "model.binary=False"],
    "float weights, 3 epochs": [SEARCH, "epochs=3", "model.binary_weights=False"],
    "from float weights": [PHASES, "epochs=3", "alpha=0.0", TWIN, FLOAT_WEIGHTS],
    "from the float twin": [PHASES, "epochs=3", "alpha=0.0", TWIN, "from_teacher=True"],
    "distilled from the float twin": [PHASES, "alpha=0.5", "temperature=4.0", TEACHER],
}

if __name__ == "__main__":
    compare(VARIANTS, "validation_accuracy", __doc__.splitlines()[0], "runs/budget_choices")
