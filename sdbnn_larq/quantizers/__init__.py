"""Quantizers that SD-BNN adds to Larq's, each with a string alias usable in any Larq layer."""

from sdbnn_larq.quantizers.ede_sign import EDESign, ede_sign
from sdbnn_larq.quantizers.weight_self_distribution import WeightSelfDistribution

__all__ = ["EDESign", "WeightSelfDistribution", "ede_sign"]
