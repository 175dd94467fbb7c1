"""ResNet-18 on ImageNet, the authors' recipe, stage 1: binary activations, float weights; 67.6 % top-1, 87.4 % top-5.

    sdbnn train ImageNetResNet18Stage1 data_dir=DIR

DIR is where tensorflow-datasets keeps the prepared `imagenet2012`. The accuracy is the authors' report for 256 epochs,
on the 50,000 images that test here; this project has not trained it. 256 epochs are 325 million images, a day and a
half for a machine that trains 2,500 images/s. `python benchmarks/train_throughput.py` measures yours, at a third of
the pixels.
"""

from typing import Any

import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.training import ImageNet, Photos, TrainSDBNN
from sdbnn_larq.zoo.resnet import ResNet18Factory


@task
class TrainImageNetResNet18Stage1(TrainSDBNN):
    dataset = ComponentField(ImageNet)
    preprocessing = ComponentField(Photos)
    model = ComponentField(PartialComponent(ResNet18Factory, binary_weights=False))

    input_shape: Any = Field((224, 224, 3))  # reaches preprocessing and model
    epochs = Field(256)
    batch_size = Field(512)
    learning_rate = Field(1e-3)

    @Field
    def optimizer(self):
        return tf.keras.optimizers.Adam(self.learning_rate)

    def learning_rate_at(self, epoch: int) -> float:
        """Linear to 0, per epoch."""
        return self.learning_rate * (1 - epoch / self.epochs)
