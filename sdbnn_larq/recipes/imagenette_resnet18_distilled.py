"""ResNet-18 on Imagenette, as `imagenette_resnet18`, with mixup and CutMix, taught by its float twin beside the labels.

    sdbnn train ImagenetteResNet18Distilled dataset.directory=DIR teacher.weights=TWIN

TWIN is the `weights.safetensors` of a run of the float twin. `training/gpu` trains one that classifies 92.2 % of the
test photographs, the teacher of the published weights; `training/gpu/to_run.py` makes the run of it. Without a GPU:

    sdbnn train ImagenetteResNet18 dataset.directory=DIR model.binary=False mixup=0.2 cutmix=1

The first step of the published weights had the same rate, mixtures and weight of the teacher, but batches of 128,
133 epochs, and on all training photographs, without a validation split. So was that teacher: of a network that it
teaches here the validation accuracy is too high, since it has seen those photographs. The second step is the recipe
`ImagenetteResNet18Further`.
"""

from typing import Any

import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.training import Imagenette, Photos, TrainDistilled
from sdbnn_larq.zoo.resnet import ResNet18Factory


@task
class TrainImagenetteResNet18Distilled(TrainDistilled):
    dataset = ComponentField(Imagenette)
    preprocessing = ComponentField(PartialComponent(Photos, min_area=0.35))
    model = ComponentField(ResNet18Factory)
    teacher = ComponentField(PartialComponent(ResNet18Factory, binary=False))

    input_shape: Any = Field((128, 128, 3))  # reaches preprocessing, model and teacher
    epochs = Field(80)
    batch_size = Field(64)
    learning_rate = Field(2e-3)
    weight_decay = Field(0.0)
    temperature = Field(4.0)
    alpha = Field(0.9)
    mixup = Field(0.4)
    cutmix = Field(1.0)

    @Field
    def optimizer(self):
        return tf.keras.optimizers.Adam(self.learning_rate)
