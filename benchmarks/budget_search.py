"""The first search behind `recipes/cifar10_resnet20_budget.py`: which optimizer a short training of ResNet-20 needs.

    sdbnn tune benchmarks/budget_search.py data_dir=DIR \
        preprocessing.sizes='((0.5,16),(0.8,24))' model.branch_gamma=1.0 \
        --algorithm random --trials 14 \
        --choice optimization=adam-1e-3,adam-3e-3,adam-1e-2,adam-3e-2,sgd-1e-2,sgd-1e-1 \
        --choice batch_size=64,128,256 --choice t_min=0.5,1.0,2.0 --choice t_max=2.0,4.0,10.0 \
        --choice weight_decay=0.0,1e-4,1e-2 --choice warm_up=0,1 --choice preprocessing.shift=1,4

Half as wide a network on 10,000 images, six epochs a trial. `budget_search.csv` and `.png` are what the search left.
It knew nothing of `branch_gamma` yet; `budget_choices.py` compares what came after it.
"""

import tensorflow as tf
from zookeeper import Field, task

from sdbnn_larq.recipes.ablation import TrainAblationBoth
from sdbnn_larq.training import SGDL2


@task
class BudgetSearch(TrainAblationBoth):
    epochs = Field(6)
    optimization: str = Field("adam-5e-3")  # the rule and its learning rate: their scales differ
    warm_up: int = Field(0)  # epochs at a tenth of the learning rate

    @Field
    def learning_rate(self) -> float:
        return float(self.optimization.partition("-")[2])

    @Field
    def optimizer(self):
        if self.optimization.startswith("sgd"):
            return SGDL2(self.learning_rate, l2=self.weight_decay, momentum=0.9)
        # Decoupled, and so scaled by the learning rate.
        return tf.keras.optimizers.Adam(self.learning_rate, weight_decay=self.weight_decay or None)

    def learning_rate_at(self, epoch: int) -> float:
        return super().learning_rate_at(epoch) * (0.1 if epoch < self.warm_up else 1.0)
