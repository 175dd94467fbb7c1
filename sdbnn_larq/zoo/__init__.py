"""SD-BNN architectures, in the manner of larq-zoo."""

from sdbnn_larq.preprocessing import decode_predictions, preprocess_input
from sdbnn_larq.weights import (
    PHOTOGRAPHS,
    SMALL_IMAGES,
    ImagePreprocessing,
    NetworkDescription,
    describe,
    load_packed,
    save_packed,
)
from sdbnn_larq.zoo._weights import build, load
from sdbnn_larq.zoo.cifar_resnet18 import CifarResNet18
from sdbnn_larq.zoo.float_resnet34 import FloatResNet34
from sdbnn_larq.zoo.registry import architecture, get_model, list_models, register
from sdbnn_larq.zoo.resnet import ResNet18, ResNet34
from sdbnn_larq.zoo.resnet20 import ResNet20
from sdbnn_larq.zoo.vgg_small import VGGSmall

__all__ = [
    "PHOTOGRAPHS",
    "SMALL_IMAGES",
    "CifarResNet18",
    "FloatResNet34",
    "ImagePreprocessing",
    "NetworkDescription",
    "ResNet18",
    "ResNet20",
    "ResNet34",
    "VGGSmall",
    "architecture",
    "build",
    "decode_predictions",
    "describe",
    "get_model",
    "list_models",
    "load",
    "load_packed",
    "preprocess_input",
    "register",
    "save_packed",
]
