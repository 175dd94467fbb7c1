"""Trained weights on your own images: a folder with one sub-folder a class.

    sdbnn train FineTune dataset.directory=DIR weights=ResNet20/cifar10

WEIGHTS are a tag of published weights, or those of a run of your own: `runs/…/weights.safetensors`. They say which
network it is, the size of its images and how these are prepared. A new classifier is trained alone for `head_epochs`
at `head_learning_rate`, then all layers at `learning_rate`, which falls to 0. A tenth of each class validates and a
tenth tests.
"""

import tensorflow as tf
from zookeeper import ComponentField, Field, task

from sdbnn_larq.training import ImageFolder, SmallImages
from sdbnn_larq.training.fine_tuning import FineTunedNetwork, TrainFineTuned


@task
class TrainFineTune(TrainFineTuned):
    dataset = ComponentField(ImageFolder)
    preprocessing = ComponentField(SmallImages)
    model = ComponentField(FineTunedNetwork)

    epochs = Field(32)
    head_epochs = Field(8)
    batch_size = Field(32)
    head_learning_rate = Field(1e-2)
    learning_rate = Field(3e-3)
    weight_decay = Field(0.0)
    precision = Field("float32")  # in which the figures of the documentation were made; "mixed" is faster
    t_min = Field(1.0)
    t_max = Field(2.0)

    @Field
    def optimizer(self):
        return tf.keras.optimizers.Adam(self.learning_rate)
