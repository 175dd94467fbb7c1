"""The OpenVINO operations of each Keras layer: `EMITTERS[type(layer)](layer, *inputs)` is the node of its output.

Inputs are the nodes that give them. Inside the graph images are NCHW, as OpenVINO's convolutions want them, and
everything else is of rank 2.
"""

from sdbnn_larq.convert.openvino.emitters import convolutions, elementwise, shapes
from sdbnn_larq.convert.openvino.emitters.elementwise import normalized
from sdbnn_larq.convert.openvino.emitters.registry import EMITTERS, unsupported

__all__ = ["EMITTERS", "convolutions", "elementwise", "normalized", "shapes", "unsupported"]
