"""ResNet-18 on Imagenette, trained further from trained weights. Two networks teach it: itself before, and another.

    sdbnn train ImagenetteResNet18Further dataset.directory=DIR model.weights=FIRST teacher.first=FIRST \\
        teacher.second=SECOND

FIRST and SECOND are weights of two trainings, e.g. of two seeds of `ImagenetteResNet18Distilled`. The published
weights, 90.3 % of the test photographs, come from weights of 89.7 % and 88.1 %, after 1.9 hours on two cores. All
training photographs but ten train, because FIRST has seen them all; so the validation accuracy says nothing.
"""

from typing import Any

from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.training import Imagenette, Photos, TrainFurther
from sdbnn_larq.zoo.resnet import ResNet18Factory


@task
class TrainImagenetteResNet18Further(TrainFurther):
    dataset = ComponentField(PartialComponent(Imagenette, validation_fraction=0.001))
    preprocessing = ComponentField(PartialComponent(Photos, min_area=0.35))
    model = ComponentField(ResNet18Factory)

    input_shape: Any = Field((128, 128, 3))  # reaches preprocessing and model
    epochs = Field(44)
    batch_size = Field(64)
    mixup = Field(0.4)
    cutmix = Field(1.0)
