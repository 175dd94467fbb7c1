"""The float twin of `ResNet20/cifar10`, trained for 80 epochs in two ways, on all test images.

    python benchmarks/resnet20_float_twin.py --data-dir DIR --seeds 1 --output benchmarks/resnet20_float_twin.json

"SGD" is the authors' recipe without quantizers, with what suits a float network: branches that begin at γ = 0.1 and
five times the weight decay. "taught" is the recipe of the published 1-bit weights without quantizers.
"""

from _variants import compare

FLOAT = ["model.binary=False", "epochs=80"]
VARIANTS = {
    "SGD": ["Cifar10ResNet20", *FLOAT, "learning_rate=0.1", "weight_decay=5e-4", "model.branch_gamma=0.1"],
    "taught": ["Cifar10ResNet20Distilled", *FLOAT],
}

if __name__ == "__main__":
    compare(VARIANTS, "test_accuracy", __doc__.splitlines()[0], "runs/resnet20_float_twin")
