"""ResNet-20 on CIFAR-10 without a GPU, taught by the zoo's VGG-Small: 81.37 % of the 10,000 test images (seed 0).

    sdbnn train Cifar10ResNet20Distilled data_dir=DIR

As `cifar10_resnet20_budget`, for longer and with a teacher, `VGGSmall/cifar10`. The teacher is asked once about each
image before the first epoch, and not in each step about each augmented image. The 250 epochs took 4.4 hours on two
cores of an AMD EPYC, at times beside other work. `zoo/resnet20_cifar10.md` has the history and the weights, which
classify 81.47 % since shifts are limited.
"""

import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.training import Cifar10, SmallImages, TrainDistilled
from sdbnn_larq.zoo.resnet20 import ResNet20Factory
from sdbnn_larq.zoo.vgg_small import VGGSmallFactory


@task
class TrainCifar10ResNet20Distilled(TrainDistilled):
    dataset = ComponentField(Cifar10)
    preprocessing = ComponentField(PartialComponent(SmallImages, shift=2))
    model = ComponentField(PartialComponent(ResNet20Factory, branch_gamma=0.1))
    teacher = ComponentField(PartialComponent(VGGSmallFactory, weights="cifar10"))

    ask_once = Field(True)
    epochs = Field(250)
    batch_size = Field(64)
    learning_rate = Field(5e-3)
    weight_decay = Field(0.0)
    temperature = Field(4.0)
    alpha = Field(0.9)
    t_min = Field(2.0)
    t_max = Field(4.0)

    @Field
    def optimizer(self):
        return tf.keras.optimizers.Adam(self.learning_rate)
