"""Accuracy of the four variants of self-distribution of a whole ResNet-20 on all of CIFAR-10, 30 epochs each.

    python benchmarks/ablation_resnet20.py --data-dir DIR --seeds 2 --output benchmarks/ablation_resnet20.json

The recipe of the published weights, in larger batches and mixed precision; accuracy is of all 10,000 test images.
"""

from _variants import compare, with_each_shift

VARIANTS = with_each_shift("Cifar10ResNet20Budget", "epochs=30", "batch_size=128", "precision=mixed")

if __name__ == "__main__":
    compare(VARIANTS, "test_accuracy", __doc__.splitlines()[0], "runs/ablation_resnet20")
