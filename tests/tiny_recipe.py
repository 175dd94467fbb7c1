"""A recipe that takes seconds: SD-BNN's parts in a small network, on a fifth of the digits."""

import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, factory, task

from sdbnn_larq.recipes.digits import TrainDigits
from sdbnn_larq.training import Digits
from sdbnn_larq.zoo._factory import SDBNNFactory


@factory
class TinyFactory(SDBNNFactory):
    name = "tiny"
    image_size = 32

    def body(self, x):
        x = tf.keras.layers.AveragePooling2D(4)(x)
        x = self.batch_norm(self.float_conv(x, 8, 3, name="conv1"), name="bn1")
        x = self.hard_tanh(x, name="hard_tanh1")
        return self.batch_norm(self.sd_conv(x, 8, name="conv2"), name="bn2")

    def head(self, x):
        return tf.keras.layers.GlobalAveragePooling2D()(x)

    def build(self) -> tf.keras.models.Model:
        return super().build()


@task
class TrainTiny(TrainDigits):
    dataset = ComponentField(PartialComponent(Digits, test_fraction=0.4, validation_fraction=0.4))
    model = ComponentField(TinyFactory)

    epochs = Field(3)
    checkpoint_steps = Field(4)
