"""Choices for `recipes/imagenette_resnet18.py`, one changed at a time: 64 pixels, 6 epochs.

    python benchmarks/imagenette_choices.py --data-dir IMAGENETTE --seeds 1 --output benchmarks/imagenette_choices.json

The accuracies are of the tenth of the training photographs that validates, after the last epoch; the test photographs
play no part.
"""

from _variants import compare

RECIPE = ["ImagenetteResNet18", "input_shape=(64,64,3)", "epochs=6"]
VARIANTS = {
    "the recipe": RECIPE,
    "Adam 1e-3": [*RECIPE, "learning_rate=1e-3"],
    "Adam 4e-3": [*RECIPE, "learning_rate=4e-3"],
    "batch of 128": [*RECIPE, "batch_size=128"],
    "averaged weights": [*RECIPE, "averaging_momentum=0.99"],
    "mixup 0.2": [*RECIPE, "mixup=0.2"],
}

if __name__ == "__main__":
    compare(VARIANTS, "validation_accuracy", __doc__.splitlines()[0], "runs/imagenette_choices", "dataset.directory")
