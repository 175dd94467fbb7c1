"""What each shift is worth: half as wide a ResNet-20 on 10,000 images of CIFAR-10, 10 epochs, one task a variant.

    sdbnn train AblationBoth data_dir=DIR seed=0

All variants have the same budget and the recipe of `cifar10_resnet20_budget`, but for smaller images at first.
`benchmarks/ablation.py` runs them with several seeds and makes a table. For the full networks set the fields of their
recipes, e.g. `sdbnn train Cifar10ResNet20 model.self_distribution=weight` or `model.asd_mode=static`.
"""

import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, task

from sdbnn_larq.recipes.cifar10_resnet20_budget import TrainCifar10ResNet20Budget
from sdbnn_larq.training import Cifar10, GrowingImages
from sdbnn_larq.zoo.resnet20 import ResNet20Factory


def half_as_wide(**options) -> ComponentField:
    image = {"input_tensor": lambda: tf.keras.Input((None, None, 3))}
    return ComponentField(PartialComponent(ResNet20Factory, filters=8, branch_gamma=0.1, **image, **options))


@task
class TrainAblationBoth(TrainCifar10ResNet20Budget):
    dataset = ComponentField(PartialComponent(Cifar10, train_split="train[:10000]"))
    preprocessing = ComponentField(PartialComponent(GrowingImages, shift=2))
    model = half_as_wide()

    epochs = Field(10)


@task
class TrainAblationActivation(TrainAblationBoth):
    model = half_as_wide(self_distribution="activation")


@task
class TrainAblationWeight(TrainAblationBoth):
    model = half_as_wide(self_distribution="weight")


@task
class TrainAblationNone(TrainAblationBoth):
    model = half_as_wide(self_distribution=None)


@task
class TrainAblationStatic(TrainAblationBoth):
    model = half_as_wide(asd_mode="static")
