"""ResNet-20 on CIFAR-10 without a GPU: 79.2 % of the 10,000 test images after 60 epochs (seed 0).

    sdbnn train Cifar10ResNet20Budget data_dir=DIR

This project's own recipe and result (`benchmarks/cifar10_resnet20_budget.json`). It took 116 minutes on two cores of an
AMD EPYC, about 105 s an epoch. Adam; branches that begin small; a pseudo-gradient that is narrow from the start.
`benchmarks/budget_search.py` and `budget_choices.py` compared what else there is.
"""

import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.training import Cifar10, SmallImages, TrainSDBNN
from sdbnn_larq.zoo.resnet20 import ResNet20Factory


@task
class TrainCifar10ResNet20Budget(TrainSDBNN):
    dataset = ComponentField(Cifar10)
    preprocessing = ComponentField(PartialComponent(SmallImages, shift=2))
    model = ComponentField(PartialComponent(ResNet20Factory, branch_gamma=0.1))

    epochs = Field(60)
    batch_size = Field(64)
    learning_rate = Field(5e-3)
    weight_decay = Field(0.0)
    precision = Field("float32")  # in which the published weights were trained
    t_min = Field(2.0)
    t_max = Field(4.0)

    @Field
    def optimizer(self):
        return tf.keras.optimizers.Adam(self.learning_rate)
