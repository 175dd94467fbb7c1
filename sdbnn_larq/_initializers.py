"""The initializers of SD-BNN's authors, as Keras configurations.

Configurations rather than instances, so that every layer makes its own: an unseeded instance used twice draws the same
values twice.
"""

from typing import Any


def _variance_scaling(scale: float, mode: str, distribution: str) -> dict[str, Any]:
    return {
        "class_name": "VarianceScaling",
        "config": {"scale": scale, "mode": mode, "distribution": distribution},
    }


def uniform(low: float, high: float) -> dict[str, Any]:
    """Uniform in [low, high)."""
    return {"class_name": "RandomUniform", "config": {"minval": low, "maxval": high}}


def normal(deviation: float) -> dict[str, Any]:
    """Normal around 0."""
    return {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": deviation}}


# Normal with variance 2 / fan, PyTorch's kaiming_normal_, which does not truncate as Keras's He normal does.
HE_NORMAL = _variance_scaling(2.0, "fan_in", "untruncated_normal")
HE_NORMAL_FAN_OUT = _variance_scaling(2.0, "fan_out", "untruncated_normal")
# Uniform in ±1/√fan_in, PyTorch's default for convolutions and linear layers.
TORCH_DEFAULT = _variance_scaling(1 / 3, "fan_in", "uniform")
