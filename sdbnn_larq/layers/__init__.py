"""Layers that SD-BNN needs and Larq does not have."""

from sdbnn_larq.layers.activation_self_distribution import ActivationSelfDistribution
from sdbnn_larq.layers.hard_tanh import HardTanh
from sdbnn_larq.layers.precision import mixed_products, set_precision
from sdbnn_larq.layers.symmetric_padding import SymmetricMaxPool2D, SymmetricQuantConv2D

__all__ = [
    "ActivationSelfDistribution",
    "HardTanh",
    "SymmetricMaxPool2D",
    "SymmetricQuantConv2D",
    "mixed_products",
    "set_precision",
]
