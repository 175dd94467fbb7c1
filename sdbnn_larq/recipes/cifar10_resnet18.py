"""ResNet-18 on CIFAR-10, the authors' recipe: 92.5 % top-1, as the authors report it.

    sdbnn train Cifar10ResNet18 data_dir=DIR

The authors' figure is the best test epoch over 9,984 test images; this task tests the last epoch on all 10,000.
"""

from zookeeper import ComponentField, Field, task

from sdbnn_larq.training import Cifar10, TrainSDBNN
from sdbnn_larq.zoo.cifar_resnet18 import CifarResNet18Factory


@task
class TrainCifar10ResNet18(TrainSDBNN):
    dataset = ComponentField(Cifar10)
    model = ComponentField(CifarResNet18Factory)

    epochs = Field(600)
    batch_size = Field(128)
    learning_rate = Field(0.08)
    t_min = Field(1e-3)
