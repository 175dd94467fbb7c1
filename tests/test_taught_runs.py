"""Runs with a teacher: which one they take, and that they go on with it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, configure, task

from sdbnn_larq import zoo
from sdbnn_larq.training import Digits, SavedModel, SmallImages, TrainDistilled
from sdbnn_larq.training.distillation import check_knowledge
from sdbnn_larq.weights.names import named_weights
from sdbnn_larq.zoo.resnet20 import ResNet20Factory


@task
class TaughtDigits(TrainDistilled):
    dataset = ComponentField(PartialComponent(Digits, validation_fraction=0.4, test_fraction=0.4))
    model = ComponentField(PartialComponent(ResNet20Factory, filters=4, binary=False))
    teacher = ComponentField(SavedModel)
    epochs = Field(2)
    batch_size = Field(32)
    learning_rate = Field(0.1)
    temperature = Field(4.0)
    alpha = Field(0.9)


def trained(task, **fields):
    configure(task, fields)
    task.run()
    return task.model


@pytest.mark.slow
def test_a_teacher_that_is_asked_once_teaches_the_same(tmp_path):
    """Where nothing is augmented, what it says of an image is what it would say in each step."""
    teacher = tf.keras.Sequential([tf.keras.layers.Flatten(input_shape=(32, 32, 3)), tf.keras.layers.Dense(10)])
    teacher.save(tmp_path / "teacher.keras")
    fields = {"teacher.path": str(tmp_path / "teacher.keras"), "preprocessing.flip": False, "preprocessing.shift": 0}
    each_step = trained(TaughtDigits(), output_dir=str(tmp_path / "each"), **fields)
    once = trained(TaughtDigits(), output_dir=str(tmp_path / "once"), ask_once=True, **fields)
    alone = trained(TaughtDigits(), output_dir=str(tmp_path / "alone"), alpha=0.0, **fields)
    for name, weight in named_weights(each_step).items():
        np.testing.assert_allclose(named_weights(once)[name], weight, rtol=1e-3, atol=1e-4, err_msg=name)
    kernels = [named_weights(model)["logits/kernel"].numpy() for model in (each_step, alone)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mixup": 0.2}, "without `mixup`, `cutmix` and `label_smoothing`"),
        ({"label_smoothing": 0.1}, "without `mixup`, `cutmix` and `label_smoothing`"),
        ({"preprocessing": "Photos"}, "kept in memory. Received: Photos"),
    ],
)
def test_a_teacher_cannot_be_asked_once_about_images_that_are_made_anew(fields, message):
    task = TaughtDigits()
    configure(task, {"ask_once": True, "teacher.path": "teacher.keras", **fields})
    with pytest.raises(ValueError, match=message):
        task.check()


def test_a_teacher_of_other_classes_is_refused(tmp_path):
    """It has as many, of other names: what it would teach is wrong."""
    task = TaughtDigits()
    configure(task, {"teacher": "VGGSmallFactory", "teacher.weights": "cifar10", "output_dir": str(tmp_path / "run")})
    with pytest.raises(ValueError, match=r"classes, 0, 1, 2.* Received: airplane"):
        task.run()
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("ask_once", [True, False])
def test_a_saved_teacher_of_other_classes_or_outputs_is_refused(ask_once, tmp_path):
    """What it knows stands in the weights beside it."""
    other = zoo.load("VGGSmall/cifar10")
    zoo.save_packed(other, tmp_path / "weights.safetensors")
    teachers = {"classes": other, "outputs": tf.keras.Model(other.input, other.output[:, :1])}
    for message, teacher in teachers.items():
        teacher.save(tmp_path / "model.keras")
        fields = {"teacher.path": str(tmp_path / "model.keras"), "output_dir": str(tmp_path / "run")}
        with pytest.raises(ValueError, match="10 classes" if message == "outputs" else "Received: airplane"):
            trained(TaughtDigits(), ask_once=ask_once, **fields)
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_other_pixels_is_refused():
    teacher = zoo.load("VGGSmall/cifar10")
    seen = dataclasses.replace(teacher.description.preprocessing, std=(255, 255, 255))
    names = teacher.description.class_names
    check_knowledge(teacher, names, SmallImages())
    teacher.description = teacher.description.replace(preprocessing=seen)
    with pytest.raises(ValueError, match=r"deviation \(58.*Received: mean .* deviation \(255"):
        check_knowledge(teacher, names, SmallImages())


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_teacher(tmp_path):
    def save_teacher(seed):
        tf.keras.utils.set_random_seed(seed)
        teacher = [tf.keras.layers.Flatten(input_shape=(32, 32, 3)), tf.keras.layers.Dense(10)]
        tf.keras.Sequential(teacher).save(tmp_path / "teacher.keras")

    fields = {"teacher.path": str(tmp_path / "teacher.keras"), "output_dir": str(tmp_path / "run"), "epochs": 1}
    save_teacher(0)
    trained(TaughtDigits(), **fields)
    (tmp_path / "run/report.json").unlink()
    save_teacher(1)
    with pytest.raises(ValueError, match=r"begun with the checksum_of_teacher [0-9a-f]{16}, and now [0-9a-f]{16}"):
        trained(TaughtDigits(), **fields)
