"""ResNet-18 on ImageNet, the authors' recipe, stage 2: all binary, from stage 1; 66.5 % top-1, 86.7 % top-5.

    sdbnn train ImageNetResNet18Stage2 data_dir=DIR float_weights=WEIGHTS teacher.weights=TEACHER

WEIGHTS is `weights.safetensors` of a run of stage 1. TEACHER are weights of the float ResNet-34:
`convert.load_torch_checkpoint` reads torchvision's into `zoo.FloatResNet34`, `zoo.save_packed` writes them. Any other
model that Keras saved teaches with `teacher=SavedModel teacher.path=FILE`.

The accuracy is the authors' report for 256 epochs, on the 50,000 images that test here; this project has not trained
it. The loss is theirs, but its temperature and weight are not known to us: here the teacher alone is learned from, at
temperature 1 (fields `temperature` and `alpha`). It takes as long as stage 1, and the teacher's forward passes.
"""

from typing import Any

import tensorflow as tf
from zookeeper import ComponentField, Field, task

from sdbnn_larq.training import ImageNet, Photos, TrainDistilled
from sdbnn_larq.zoo.float_resnet34 import FloatResNet34Factory
from sdbnn_larq.zoo.resnet import ResNet18Factory


@task
class TrainImageNetResNet18Stage2(TrainDistilled):
    dataset = ComponentField(ImageNet)
    preprocessing = ComponentField(Photos)
    model = ComponentField(ResNet18Factory)
    teacher = ComponentField(FloatResNet34Factory)

    input_shape: Any = Field((224, 224, 3))  # reaches preprocessing, model and teacher
    epochs = Field(256)
    batch_size = Field(512)
    learning_rate = Field(1e-3)

    @Field
    def optimizer(self):
        return tf.keras.optimizers.Adam(self.learning_rate)

    def learning_rate_at(self, epoch: int) -> float:
        """Linear to 0, per epoch."""
        return self.learning_rate * (1 - epoch / self.epochs)
