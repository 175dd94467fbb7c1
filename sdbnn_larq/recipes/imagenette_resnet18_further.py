"""ResNet-18 on Imagenette, trained further from trained weights. Two networks teach it: itself before, and another.

    sdbnn train ImagenetteResNet18Further dataset.directory=DIR model.weights=FIRST teacher.first=FIRST \\
        teacher.second=SECOND

FIRST and SECOND are weights of two trainings, e.g. of two seeds of `ImagenetteResNet18Distilled`. The published
weights, 90.3 % of the test photographs, come from weights of 89.7 % and 88.1 %, after 1.9 hours on two cores. All
training photographs but ten train, because FIRST has seen them all; so the validation accuracy says nothing.
"""

import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, factory, task

from sdbnn_larq import zoo
from sdbnn_larq.recipes.imagenette_resnet18_distilled import TrainImagenetteResNet18Distilled
from sdbnn_larq.training import Imagenette, spread_magnitudes, with_logits


@factory
class TwoTeachers:
    """The mean of two trained networks' logits."""

    first: str = Field()  # weights files or tags, as for `zoo.load`
    second: str = Field()

    def build(self) -> tf.keras.models.Model:
        networks = [zoo.load(self.first), zoo.load(self.second)]
        classes, others = (network.description.class_names for network in networks)
        if classes != others:
            raise ValueError(
                f"Both teachers must know the same classes in the same order. Received: {classes} and {others}."
            )
        for network, name in zip(networks, ("first", "second")):
            network._name = name
        image = tf.keras.Input(networks[0].input_shape[1:])
        logits = [with_logits(network)(image)[1] for network in networks]
        teacher = tf.keras.Model(image, tf.keras.layers.average(logits))
        teacher.description = networks[0].description
        return teacher


@task
class TrainImagenetteResNet18Further(TrainImagenetteResNet18Distilled):
    dataset = ComponentField(PartialComponent(Imagenette, validation_fraction=0.001))
    teacher = ComponentField(TwoTeachers)

    epochs = Field(44)
    learning_rate = Field(1e-3)
    alpha = Field(0.5)

    def prepare(self) -> None:
        super().prepare()
        spread_magnitudes(self.model)  # of packed weights, which would all turn at once
