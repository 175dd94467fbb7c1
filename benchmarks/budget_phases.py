"""Part of `budget_choices.py`: a teacher, and weights to start from."""

from budget_search import BudgetSearch
from zookeeper import Field, task

from sdbnn_larq.recipes.ablation import half_as_wide
from sdbnn_larq.training import TrainDistilled
from sdbnn_larq.weights.names import named_weights


@task
class BudgetPhases(TrainDistilled, BudgetSearch):
    teacher = half_as_wide(binary=False)
    from_teacher: bool = Field(False)  # start from its weights; the shifts, which it lacks, from their own

    def prepare(self) -> None:
        super().prepare()
        if self.from_teacher:
            targets = named_weights(self.model)
            for name, weight in named_weights(self.teacher).items():
                targets[name].assign(weight)
