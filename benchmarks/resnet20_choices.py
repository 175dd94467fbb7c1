"""Choices for `recipes/cifar10_resnet20_distilled.py`, one changed at a time: 15 epochs.

    python benchmarks/resnet20_choices.py --data-dir DIR --seeds 1 --output benchmarks/resnet20_choices.json

The accuracies are of the 5,000 validation images after the last epoch; the test images play no part. The teacher was
trained on all 50,000 training images, those that validate here among them.
"""

from _variants import compare

RECIPE = ["Cifar10ResNet20Distilled", "epochs=15"]
VARIANTS = {
    "the recipe": RECIPE,
    "no teacher": ["Cifar10ResNet20Budget", "precision=mixed", "epochs=15"],
    "t from 0.1 to 10": [*RECIPE, "t_min=0.1", "t_max=10.0"],
    "the authors' recipe": ["Cifar10ResNet20", "epochs=15"],
}

if __name__ == "__main__":
    compare(VARIANTS, "validation_accuracy", __doc__.splitlines()[0], "runs/resnet20_choices")
