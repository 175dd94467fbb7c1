"""ResNet-20 on your own images: a folder with one sub-folder per class.

    sdbnn train Folder dataset.directory=DIR

A tenth of each class validates and a tenth tests, unless DIR has the parts `train`, `val` and `test` with one
sub-folder a class each. Images have the size that the network takes; `dataset.image_size=64` changes both. The rest of
the recipe is that of the digits, with shifts and flips.
"""

from zookeeper import ComponentField, task

from sdbnn_larq.recipes.digits import TrainDigits
from sdbnn_larq.training import ImageFolder, SmallImages


@task
class TrainFolder(TrainDigits):
    dataset = ComponentField(ImageFolder)
    preprocessing = ComponentField(SmallImages)
