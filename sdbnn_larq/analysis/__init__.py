"""What a network's signs are, and what self-distribution does to them."""

from sdbnn_larq.analysis.figures import Histogram, LayerSigns, Place, SignReport, Signs
from sdbnn_larq.analysis.observer import Observer, signs

__all__ = ["Histogram", "LayerSigns", "Observer", "Place", "SignReport", "Signs", "signs"]
