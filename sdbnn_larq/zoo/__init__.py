"""SD-BNN architectures, in the manner of larq-zoo."""

from larq_zoo import decode_predictions, preprocess_input

from sdbnn_larq.weights.packed import load_packed, save_packed
from sdbnn_larq.zoo._registry import get_model, list_models
from sdbnn_larq.zoo.cifar_resnet18 import CifarResNet18
from sdbnn_larq.zoo.float_resnet34 import FloatResNet34
from sdbnn_larq.zoo.resnet import ResNet18, ResNet34
from sdbnn_larq.zoo.resnet20 import ResNet20
from sdbnn_larq.zoo.vgg_small import VGGSmall

__all__ = [
    "CifarResNet18",
    "FloatResNet34",
    "ResNet18",
    "ResNet20",
    "ResNet34",
    "VGGSmall",
    "decode_predictions",
    "get_model",
    "list_models",
    "load_packed",
    "preprocess_input",
    "save_packed",
]
