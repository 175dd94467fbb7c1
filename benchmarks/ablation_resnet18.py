"""Accuracy of the four variants of self-distribution of ResNet-18 on Imagenette, 30 epochs each at 64 pixels.

    python benchmarks/ablation_resnet18.py --data-dir IMAGENETTE --seeds 2 --output benchmarks/ablation_resnet18.json

64 pixels, not the 128 of the published weights, to save time; accuracy is of the 2,925 test photographs.
"""

from _variants import compare, with_each_shift

VARIANTS = with_each_shift("ImagenetteResNet18", "input_shape=(64,64,3)", "epochs=30")

if __name__ == "__main__":
    compare(VARIANTS, "test_accuracy", __doc__.splitlines()[0], "runs/ablation_resnet18", "dataset.directory")
