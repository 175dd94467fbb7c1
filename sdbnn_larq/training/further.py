"""Training further: trained weights go on with a new learning rate, and two trained networks teach them."""

import tensorflow as tf
from zookeeper import ComponentField, Field, factory
from zookeeper.core.component import base_getattr

from sdbnn_larq import zoo
from sdbnn_larq.training.distillation import TrainDistilled, with_logits
from sdbnn_larq.training.fine_tuning import spread_magnitudes
from sdbnn_larq.weights import NetworkDescription


@factory
class TwoTeachers:
    """The mean of two trained networks' logits."""

    first: str = Field()  # weights files or tags, as for `zoo.load`
    second: str = Field()

    def build(self) -> tf.keras.models.Model:
        networks = [zoo.load(self.first), zoo.load(self.second)]
        first, second = (network.description for network in networks)
        for must, known, other in (
            ("take images of the same shape", first.input_shape, second.input_shape),
            ("take pixels of the same scale", _scale(first), _scale(second)),
            ("know the same classes in the same order", first.class_names, second.class_names),
        ):
            if None not in (known, other) and known != other:
                raise ValueError(f"Both teachers must {must}. Received: {known} and {other}.")
        for network, name in zip(networks, ("first", "second")):
            network._name = name
        image = tf.keras.Input(first.input_shape)
        logits = [with_logits(network)(image)[1] for network in networks]
        teacher = tf.keras.Model(image, tf.keras.layers.average(logits))
        teacher.description = first.replace(
            preprocessing=first.preprocessing or second.preprocessing,
            class_names=first.class_names or second.class_names,
        )
        return teacher


def _scale(description: NetworkDescription) -> tuple | None:
    """Mean and deviation of the pixels that a network takes, if they are known."""
    pixels = description.preprocessing
    return (pixels.mean, pixels.std) if pixels else None


class TrainFurther(TrainDistilled):
    """Trains like `TrainDistilled`, from the trained weights `model.weights`, with two teachers and Adam."""

    teacher: tf.keras.models.Model = ComponentField(TwoTeachers)
    learning_rate: float = Field(1e-3)
    weight_decay: float = Field(0.0)
    temperature: float = Field(4.0)
    alpha: float = Field(0.5)

    @Field
    def optimizer(self):
        return tf.keras.optimizers.Adam(self.learning_rate)

    def check(self) -> None:
        super().check()
        if getattr(base_getattr(self, "model"), "weights", "") is None:
            raise ValueError("`model.weights` must be trained weights, which train further. Received: None.")

    def prepare(self) -> None:
        super().prepare()
        spread_magnitudes(self.model)  # of packed weights, which would all turn at once
