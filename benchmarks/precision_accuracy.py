"""Does the rounding of mixed precision cost accuracy? ResNet-18, whose sums it rounds most, in both precisions.

    python benchmarks/precision_accuracy.py --data-dir IMAGENETTE --output benchmarks/precision_accuracy.json

Trains `ImagenetteResNet18` for ten epochs, at 64 pixels to save time and on half of the photographs, so that the other
half validates. `benchmarks/exact_sums.py` counts the sums that are rounded.
"""

from _variants import compare

RECIPE = ["ImagenetteResNet18", "input_shape=(64,64,3)", "dataset.validation_fraction=0.5", "epochs=10"]
VARIANTS = {precision: [*RECIPE, f"precision={precision}"] for precision in ("float32", "mixed")}

if __name__ == "__main__":
    compare(VARIANTS, "validation_accuracy", __doc__.splitlines()[0], "runs/precision_accuracy", "dataset.directory")
