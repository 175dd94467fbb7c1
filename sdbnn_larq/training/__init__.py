"""From a data set to a trained model: data, preprocessing, optimizer and the experiment that joins them."""

from sdbnn_larq.optimizers import SGDL2
from sdbnn_larq.training.datasets import Cifar10, Digits, ImageFolder
from sdbnn_larq.training.distillation import SavedModel, TrainDistilled, distil, distillation_loss, with_logits
from sdbnn_larq.training.experiment import TrainSDBNN
from sdbnn_larq.training.fine_tuning import TrainFineTuned, spread_magnitudes, with_new_classifier
from sdbnn_larq.training.further import TrainFurther, TwoTeachers
from sdbnn_larq.training.photo_datasets import ImageNet, Imagenette, PhotoFolder, TFDSPhotos
from sdbnn_larq.training.photos import Photos
from sdbnn_larq.training.preprocessing import GrowingImages, SmallImages
from sdbnn_larq.training.stages import start_from_float_weights

__all__ = [
    "SGDL2",
    "Cifar10",
    "Digits",
    "GrowingImages",
    "ImageFolder",
    "ImageNet",
    "Imagenette",
    "PhotoFolder",
    "Photos",
    "SavedModel",
    "SmallImages",
    "TFDSPhotos",
    "TrainDistilled",
    "TrainFineTuned",
    "TrainFurther",
    "TrainSDBNN",
    "TwoTeachers",
    "distil",
    "distillation_loss",
    "spread_magnitudes",
    "start_from_float_weights",
    "with_logits",
    "with_new_classifier",
]
