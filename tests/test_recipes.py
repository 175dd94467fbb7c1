"""The recipes: each says how to run it, and trains what its name says."""

import dataclasses
import importlib
import pkgutil
import re

import numpy as np
import pytest
import tensorflow as tf
from conftest import write_images
from zookeeper import configure
from zookeeper.core.component import base_getattr

import sdbnn_larq.recipes
from sdbnn_larq import zoo
from sdbnn_larq.layers import ActivationSelfDistribution
from sdbnn_larq.quantizers import WeightSelfDistribution
from sdbnn_larq.recipes.ablation import (
    TrainAblationActivation,
    TrainAblationBoth,
    TrainAblationNone,
    TrainAblationStatic,
    TrainAblationWeight,
)
from sdbnn_larq.recipes.cifar10_resnet18_further import TrainCifar10ResNet18Further
from sdbnn_larq.recipes.imagenette_resnet18_further import TrainImagenetteResNet18Further
from sdbnn_larq.training import GrowingImages, TrainSDBNN, TwoTeachers, with_logits
from sdbnn_larq.weights.description import PHOTOGRAPHS

MODULES = [
    importlib.import_module(f"sdbnn_larq.recipes.{module.name}")
    for module in pkgutil.iter_modules(sdbnn_larq.recipes.__path__)
]
TASKS = [
    pytest.param(module, value, id=value.__name__)
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, TrainSDBNN) and value.__module__ == module.__name__
]

MUST_BE_GIVEN = {
    "folder": {"dataset.directory": "FOLDER"},
    "fine_tune": {"dataset.directory": "FOLDER", "weights": "ResNet20/cifar10"},
    "imagenette_resnet18": {"dataset.directory": "FOLDER"},
    "imagenette_resnet18_distilled": {"dataset.directory": "FOLDER", "teacher.weights": "FILE"},
    "imagenette_resnet18_further": {
        "dataset.directory": "FOLDER",
        "model.weights": "FILE",
        "teacher.first": "FILE",
        "teacher.second": "FILE",
    },
    "cifar10_resnet18_further": {"model.weights": "FILE", "teacher.first": "FILE"},
    "imagenet_resnet18_stage2": {"teacher.weights": "FILE"},
}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[-1])
def test_recipe_says_how_to_run_it(module):
    command = re.search(r"^    sdbnn train (\w+)", module.__doc__, re.MULTILINE)
    assert hasattr(module, f"Train{command[1]}")


@pytest.mark.parametrize(("module", "task_class"), TASKS)
def test_recipe_is_complete(module, task_class, tmp_path):
    for name in ("train/red", "train/blue", "val/red", "val/blue"):
        (tmp_path / name).mkdir(parents=True)
    task = task_class()
    given = MUST_BE_GIVEN.get(module.__name__.split(".")[-1], {})
    configure(task, {name: str(tmp_path) if value == "FOLDER" else value for name, value in given.items()})
    task.check()
    assert task.learning_rate_at(0) == getattr(task, "head_learning_rate", task.learning_rate)
    assert task.learning_rate_at(task.epochs) == pytest.approx(0, abs=1e-12)
    assert task.configuration["batch_size"] == task.batch_size
    assert isinstance(task.optimizer, tf.keras.optimizers.Optimizer)


@pytest.mark.parametrize(
    ("task_class", "modes", "shifted_kernels"),
    [
        (TrainAblationNone, [], 0),
        (TrainAblationActivation, ["dynamic"] * 18, 0),
        (TrainAblationWeight, [], 18),
        (TrainAblationBoth, ["dynamic"] * 18, 18),
        (TrainAblationStatic, ["static"] * 18, 18),
    ],
)
@pytest.mark.slow
def test_ablations_differ_in_their_shifts_alone(task_class, modes, shifted_kernels):
    task = task_class()
    configure(task, {})
    model = task.model
    assert [layer.mode for layer in model.layers if isinstance(layer, ActivationSelfDistribution)] == modes
    assert sum(isinstance(module, WeightSelfDistribution) for module in model.submodules) == shifted_kernels
    both = TrainAblationBoth()
    configure(both, {})
    differing = {name for name, value in task.configuration.items() if both.configuration.get(name) != value}
    assert differing <= {"model.self_distribution", "model.asd_mode"}
    assert base_getattr(task, "model").filters == 8


def test_training_further_starts_from_trained_weights():
    task = TrainCifar10ResNet18Further()
    configure(task, {"teacher.first": "CifarResNet18/cifar10"})
    with pytest.raises(ValueError, match=r"`model\.weights` must be trained weights"):
        task.check()


@pytest.mark.slow
def test_training_further(tmp_path):
    """Nothing is learned at this rate: the run ends with the signs that it began with."""
    for folder in ("train/red", "train/blue", "val/red", "val/blue"):
        write_images(tmp_path / "photos" / folder, 6)
    networks = [zoo.ResNet18(num_classes=2, input_shape=(32, 32, 3)) for _ in range(2)]
    known = networks[0].description.replace(class_names=("blue", "red"), preprocessing=PHOTOGRAPHS)
    first, second, other = (str(tmp_path / f"{name}.safetensors") for name in ("first", "second", "other"))
    zoo.save_packed(networks[0], first, description=known)
    zoo.save_packed(networks[1], second)  # of which less is known
    zero = dataclasses.replace(PHOTOGRAPHS, mean=(0.0, 0.0, 0.0))
    for changed, message in (
        (known.replace(class_names=("red", "blue")), "the same classes in the same order"),
        (known.replace(preprocessing=zero), "pixels of the same scale"),
        (known.replace(input_shape=(64, 64, 3)), "images of the same shape"),
    ):
        zoo.save_packed(networks[1], other, description=changed)
        for teachers in ((first, other), (other, first)):
            with pytest.raises(ValueError, match=message):
                TwoTeachers(first=teachers[0], second=teachers[1]).build()
    assert TwoTeachers(first=second, second=first).build().description.class_names == ("blue", "red")
    task = TrainImagenetteResNet18Further()
    fields = {"model.weights": first, "teacher.first": first, "teacher.second": second, "input_shape": (32, 32, 3)}
    fields |= {"epochs": 1, "batch_size": 4, "learning_rate": 1e-30, "output_dir": str(tmp_path / "run")}
    configure(task, {"dataset.directory": str(tmp_path / "photos"), **fields})
    task.run()
    start, end = (net.get_layer("layer1_0_conv").kernel.numpy() for net in (networks[0], task.model))
    np.testing.assert_array_equal(np.sign(start), np.sign(end))
    assert len(np.unique(np.abs(end))) > end.size / 2
    images = np.random.RandomState(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
    logits = [with_logits(network)(images)[1] for network in networks]
    np.testing.assert_allclose(task.teacher(images), (logits[0] + logits[1]) / 2, rtol=1e-4, atol=1e-4)


def test_a_recipe_file_that_changed_is_refused(tmp_path):
    """Where Python runs on, as in a notebook; the old one would be trained without a word."""
    recipe = tmp_path / "changing.py"
    recipe.write_text(
        "from zookeeper import Field, task\n"
        "from sdbnn_larq.recipes.digits import TrainDigits\n"
        "@task\nclass TrainChanging(TrainDigits):\n    epochs = Field(1)\n"
    )
    found = sdbnn_larq.recipes.task_class(str(recipe))
    assert sdbnn_larq.recipes.task_class(f"{tmp_path}/../{tmp_path.name}/changing.py") is found
    recipe.write_text(recipe.read_text().replace("Field(1)", "Field(7)"))
    with pytest.raises(ValueError, match="which has changed since it was read; start Python anew"):
        sdbnn_larq.recipes.task_class(str(recipe))


def test_growing_images():
    preprocessing = GrowingImages()
    configure(preprocessing, {"epochs": 10, "sizes": ((0.2, 16), (0.6, 24)), "shift": 0, "flip": False})
    images = np.random.RandomState(0).randint(0, 256, (2, 32, 32, 3), np.uint8)
    sizes = []
    for epoch in range(10):
        data = {"image": tf.constant(images), "epoch": tf.constant(epoch, tf.int64), "seed": tf.constant([0, epoch])}
        batch = preprocessing.input(data, training=True)
        sizes.append(batch.shape[1])
    assert sizes == [16] * 2 + [24] * 4 + [32] * 4
    np.testing.assert_array_equal(batch, preprocessing.input({"image": images}, training=False))
