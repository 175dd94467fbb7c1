"""Training further: trained weights go on with a new learning rate, and two trained networks teach them."""

import tensorflow as tf
from zookeeper import ComponentField, Field, factory
from zookeeper.core.component import base_getattr

from sdbnn_larq import zoo
from sdbnn_larq.training.distillation import TrainDistilled, with_logits
from sdbnn_larq.training.fine_tuning import spread_magnitudes


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


class TrainFurther(TrainDistilled):
    """Trains like `TrainDistilled`, from the trained weights `model.weights`, with two teachers."""

    teacher: tf.keras.models.Model = ComponentField(TwoTeachers)
    learning_rate: float = Field(1e-3)
    temperature: float = Field(4.0)
    alpha: float = Field(0.5)

    def check(self) -> None:
        super().check()
        if base_getattr(self, "model").weights is None:
            raise ValueError("`model.weights` must be trained weights, which train further. Received: None.")

    def prepare(self) -> None:
        super().prepare()
        spread_magnitudes(self.model)  # of packed weights, which would all turn at once
