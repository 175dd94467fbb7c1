"""ResNet-18 on CIFAR-10, trained further from trained weights. Two networks teach it: itself before, and VGG-Small.

    sdbnn train Cifar10ResNet18Further data_dir=DIR model.weights=FIRST teacher.first=FIRST

FIRST is weights of a training. From the published `CifarResNet18/cifar10`, of 87.83 %, it made weights that classify
87.91 % of the 10,000 test images, after 4.8 hours on two cores: too little to publish them. All training images but 100
train, because FIRST has seen them all; so the validation accuracy says nothing.
"""

from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.training import Cifar10, SmallImages, TrainFurther, TwoTeachers
from sdbnn_larq.zoo.cifar_resnet18 import CifarResNet18Factory


@task
class TrainCifar10ResNet18Further(TrainFurther):
    dataset = ComponentField(PartialComponent(Cifar10, train_split="train[:49900]", validation_split="train[49900:]"))
    preprocessing = ComponentField(PartialComponent(SmallImages, shift=4))
    model = ComponentField(CifarResNet18Factory)
    teacher = ComponentField(PartialComponent(TwoTeachers, second="VGGSmall/cifar10"))

    epochs = Field(24)
    batch_size = Field(128)
    cutmix = Field(1.0)
    t_min = Field(4.0)
    t_max = Field(4.0)
