"""ResNet-20 on CIFAR-10, the authors' recipe: 86.9 % top-1, as the authors report it.

    sdbnn train Cifar10ResNet20 data_dir=DIR

The authors' figure is the best test epoch over 9,984 test images; this task tests the last epoch on all 10,000. In
mixed precision, at about 520 images/s on two cores of an AMD EPYC, an epoch takes 89 s, the 500 epochs 12 hours.
"""

from zookeeper import ComponentField, Field, task

from sdbnn_larq.training import Cifar10, TrainSDBNN
from sdbnn_larq.zoo.resnet20 import ResNet20Factory


@task
class TrainCifar10ResNet20(TrainSDBNN):
    dataset = ComponentField(Cifar10)
    model = ComponentField(ResNet20Factory)

    epochs = Field(500)
    batch_size = Field(128)
    learning_rate = Field(0.11)
    t_min = Field(1e-3)
