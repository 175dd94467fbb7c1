"""From a data set to a trained model: data, preprocessing, optimizer and the experiment that joins them."""

from sdbnn_larq.training.datasets import Cifar10, Digits, ImageFolder
from sdbnn_larq.training.experiment import TrainSDBNN
from sdbnn_larq.training.optimizers import SGDL2
from sdbnn_larq.training.photo_datasets import ImageNet, PhotoFolder, TFDSPhotos
from sdbnn_larq.training.photos import Photos
from sdbnn_larq.training.preprocessing import GrowingImages, SmallImages

__all__ = [
    "SGDL2",
    "Cifar10",
    "Digits",
    "GrowingImages",
    "ImageFolder",
    "ImageNet",
    "PhotoFolder",
    "Photos",
    "SmallImages",
    "TFDSPhotos",
    "TrainSDBNN",
]
