"""ResNet-18 on Imagenette, photographs of ten classes of ImageNet, at 128 pixels.

    sdbnn train ImagenetteResNet18 dataset.directory=DIR
    sdbnn train ImagenetteResNet18 dataset.directory=DIR model.binary=False        # the float twin

With epochs=30 it classifies 83.0 % of 2,925 test photographs after 132 minutes on two cores, at times beside other
work (one seed); the published weights come from `training/gpu` and `ImagenetteResNet18Further`. The recipe
is this project's own: Adam, cosine to 0, crops that show at least a third of a photograph.
"""

from typing import Any

import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.training import Imagenette, Photos, TrainSDBNN
from sdbnn_larq.zoo.resnet import ResNet18Factory


@task
class TrainImagenetteResNet18(TrainSDBNN):
    dataset = ComponentField(Imagenette)
    preprocessing = ComponentField(PartialComponent(Photos, min_area=0.35))
    model = ComponentField(ResNet18Factory)

    input_shape: Any = Field((128, 128, 3))  # reaches preprocessing and model
    epochs = Field(80)
    batch_size = Field(64)
    learning_rate = Field(2e-3)
    weight_decay = Field(0.0)

    @Field
    def optimizer(self):
        return tf.keras.optimizers.Adam(self.learning_rate)
