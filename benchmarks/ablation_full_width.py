"""Trains ResNet-20 at full width on all of CIFAR-10 for 30 epochs, with and without each shift.

    python benchmarks/ablation_full_width.py --data-dir DIR --seeds 2 --output benchmarks/ablation_full_width.json

The recipe is `Cifar10ResNet20Budget` in batches of 128 and mixed precision, tested on all 10,000 test images.
"""

from _variants import compare

COMMON = ["Cifar10ResNet20Budget", "epochs=30", "batch_size=128", "precision=mixed"]
VARIANTS = {
    "none": [*COMMON, "model.self_distribution=None"],
    "both": COMMON,
    "ASD": [*COMMON, "model.self_distribution=activation"],
    "WSD": [*COMMON, "model.self_distribution=weight"],
}

if __name__ == "__main__":
    compare(VARIANTS, "test_accuracy", __doc__.splitlines()[0], "runs/ablation_full_width")
