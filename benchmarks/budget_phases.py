"""Part of `budget_choices.py`: a teacher, and weights to start from."""

import tensorflow as tf
from budget_search import BudgetSearch
from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.training import TrainDistilled
from sdbnn_larq.zoo._names import named_weights
from sdbnn_larq.zoo.resnet20 import ResNet20Factory


@task
class BudgetPhases(TrainDistilled, BudgetSearch):
    teacher = ComponentField(
        PartialComponent(ResNet20Factory, filters=8, binary=False, input_tensor=lambda: tf.keras.Input((None, None, 3)))
    )
    from_teacher: bool = Field(False)  # start from its weights; the shifts, which it lacks, from their own

    def prepare(self) -> None:
        super().prepare()
        if self.from_teacher:
            targets = named_weights(self.model)
            for name, weight in named_weights(self.teacher).items():
                targets[name].assign(weight)
