"""Self-distribution for networks that were built without it."""

from sdbnn_larq.self_distribution.distribute import ChangedLayers, self_distribute

__all__ = ["ChangedLayers", "self_distribute"]
