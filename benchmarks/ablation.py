"""Accuracy of the four variants of self-distribution, and of the static form, at a small equal budget.

    python benchmarks/ablation.py --data-dir DIR --output benchmarks/ablation.json

Runs the tasks of `recipes/ablation.py`, three seeds each, on all 10,000 test images.
"""

from _variants import compare

VARIANTS = {
    "none": ["AblationNone"],
    "ASD": ["AblationActivation"],
    "WSD": ["AblationWeight"],
    "both": ["AblationBoth"],
    "both, ASD static": ["AblationStatic"],
}

if __name__ == "__main__":
    compare(VARIANTS, "test_accuracy", __doc__.splitlines()[0], "runs/ablation")
