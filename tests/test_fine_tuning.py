"""Fine-tuning of trained weights: the network they give, the two phases, and a run that is cut off."""

import itertools
import math

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from zookeeper import Field, configure
from zookeeper import task as zookeeper_task

from sdbnn_larq import zoo
from sdbnn_larq.recipes.fine_tune import TrainFineTune
from sdbnn_larq.training._survival import Survival
from sdbnn_larq.training.fine_tuning import HeadFirst, spread_magnitudes, with_new_classifier
from sdbnn_larq.zoo import SMALL_IMAGES

IMAGES = np.random.RandomState(0).standard_normal((2, 16, 16, 3)).astype(np.float32)


def latent_kernels(model):
    layers = [layer for layer in model.layers if getattr(layer, "kernel_quantizer", None) is not None]
    return [layer.kernel.latent_variable for layer in layers]


def features(model):
    """What the classifier takes."""
    return tf.keras.Model(model.input, model.get_layer("logits").input)(IMAGES).numpy()


@pytest.fixture(scope="module")
def trained():
    """A small network with statistics and shifts that no untrained one has."""
    tf.keras.utils.set_random_seed(1)
    model = zoo.ResNet20(num_classes=4, filters=4, asd_reduction=2, input_shape=(16, 16, 3))
    for weight in model.weights:
        if "moving_mean" in weight.name or "alpha" in weight.name:
            weight.assign(np.random.standard_normal(weight.shape) / 2)
    model.description = model.description.replace(preprocessing=SMALL_IMAGES, class_names=("a", "b", "c", "d"))
    return model


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    zoo.save_packed(trained, folder / "weights.safetensors")
    wide = zoo.ResNet20(num_classes=7)
    wide.save_weights(folder / "weights.h5")
    return folder


@pytest.mark.slow
def test_new_classifier(trained, files):
    model = with_new_classifier(files / "weights.safetensors", 3)
    description = zoo.describe(model)
    assert description.architecture == "ResNet20"
    assert description.arguments == {"num_classes": 3, "filters": 4, "asd_reduction": 2}
    assert (description.input_shape, description.preprocessing) == ((16, 16, 3), SMALL_IMAGES)
    assert description.class_names is None
    assert model(IMAGES).shape == (2, 3)
    np.testing.assert_array_equal(features(model), features(trained))
    again, other = (with_new_classifier(files / "weights.safetensors", 3, seed=seed) for seed in (0, 1))
    for latent, same, different in zip(*map(latent_kernels, (model, again, other))):
        np.testing.assert_array_equal(latent, same)
        assert (latent.numpy() != different.numpy()).any()


@pytest.mark.slow
def test_latent_weights_stay_as_they_are(files):
    source = zoo.ResNet20(num_classes=7, weights=str(files / "weights.h5"))
    model = with_new_classifier(files / "weights.h5", 3, architecture="ResNet20")
    for latent, expected in zip(latent_kernels(model), latent_kernels(source), strict=True):
        np.testing.assert_array_equal(latent, expected)
    with pytest.raises(ValueError, match="`architecture` must be given for a file of Keras weights"):
        with_new_classifier(files / "weights.h5", 3)


@pytest.mark.parametrize("scale", [0.01, 3.0])
def test_spread_magnitudes(scale):
    """A mean of before, no two alike, no sign of the quantizer changed, however far it shifts."""
    layer = lq.layers.QuantConv2D(
        32, 3, kernel_quantizer=lq.quantizers.get({"class_name": "WeightSelfDistribution", "config": {"scale": scale}})
    )
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 64)), layer])
    signs = np.where(np.random.uniform(size=(3, 3, 64, 32)) < 0.6, 1, -1)
    magnitude = np.random.uniform(0.1, 2, 32)
    layer.kernel.latent_variable.assign(signs * magnitude)
    before = layer.kernel_quantizer(layer.kernel.latent_variable.value()).numpy()
    spread_magnitudes(model)
    latent = layer.kernel.latent_variable.numpy()
    np.testing.assert_array_equal(layer.kernel_quantizer(tf.constant(latent)), before)
    if scale < 1:
        np.testing.assert_array_equal(np.sign(latent), signs)
        np.testing.assert_allclose(np.abs(latent).mean((0, 1, 2)), magnitude, rtol=0.2)
        assert np.abs(latent).std((0, 1, 2)).min() > 0.5 * magnitude.min()
    after = latent.copy()
    spread_magnitudes(model, seed=1)  # what is spread already is somebody's
    if scale < 1:
        np.testing.assert_array_equal(layer.kernel.latent_variable, after)


def test_head_first():
    model = tf.keras.Sequential(
        [
            tf.keras.Input((4,)),
            tf.keras.layers.Dense(3, name="body"),
            tf.keras.layers.BatchNormalization(name="norm"),
            tf.keras.layers.Dense(2, name="logits"),
        ]
    )
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    x, y = np.random.standard_normal((8, 4)), np.ones((8, 2))
    seen = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([layer.get_weights() for layer in model.layers])

    seen.append([layer.get_weights() for layer in model.layers])
    head_first = HeadFirst(2)
    for first, last in ((0, 1), (1, 3)):  # as a run that goes on
        model.fit(x, y, initial_epoch=first, epochs=last, verbose=0, callbacks=[head_first, Look()])
        assert all(layer.trainable for layer in model.layers)
    for epoch, (before, after) in enumerate(itertools.pairwise(seen)):
        changed = [any((a != b).any() for a, b in zip(*layer)) for layer in zip(before, after)]
        assert changed == ([False, False, True] if epoch < 2 else [True, True, True])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.RandomState(0)
    for label, name in enumerate(("dark", "light", "middle")):
        (folder / name).mkdir()
        for i in range(12):
            pixels = random.randint(0, 120, (20, 24, 3)) + (0, 120, 60)[label]
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def fine_tuning(files, pictures, output, **fields):
    task = TrainFineTune()
    given = {"dataset.directory": str(pictures), "weights": str(files / "weights.safetensors")}
    configure(task, {**given, "output_dir": str(output), "epochs": 3, "head_epochs": 1, "batch_size": 10, **fields})
    return task


@pytest.mark.slow
def test_cut_off_and_resumed(pictures, tmp_path, monkeypatch):
    """Between the phases, to the same bits; the weights say what the folder holds."""
    source = zoo.VGGSmall(num_classes=4, asd_reduction=32, input_shape=(16, 16, 3))
    zoo.save_packed(source, tmp_path / "weights.safetensors")
    fine_tuning(tmp_path, pictures, tmp_path / "whole", epochs=2).run()
    expected = zoo.load(tmp_path / "whole" / "weights.safetensors")
    description = zoo.describe(expected)
    assert description.class_names == ("dark", "light", "middle")
    assert (description.input_shape, description.preprocessing) == ((16, 16, 3), SMALL_IMAGES)
    assert description.arguments == {"num_classes": 3, "asd_reduction": 32}

    def interrupt(survival):  # called after the first epoch's checkpoint
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Survival, "stop_if_asked", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fine_tuning(tmp_path, pictures, tmp_path / "cut", epochs=2).run()
    fine_tuning(tmp_path, pictures, tmp_path / "cut", epochs=2).run()
    resumed = zoo.load(tmp_path / "cut" / "weights.safetensors")
    for value, wanted in zip(resumed.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize("head_epochs", [-1, 4])
def test_head_epochs_that_do_not_fit(files, pictures, tmp_path, head_epochs):
    with pytest.raises(ValueError, match=f"`head_epochs` must be from 0 to the 3 epochs. Received: .*={head_epochs}"):
        fine_tuning(files, pictures, tmp_path / "run", head_epochs=head_epochs).run()
    assert not (tmp_path / "run").exists()


def test_the_classifier_s_learning_rate(files, pictures, tmp_path):
    for wrong in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="`head_learning_rate` must be 0 or more"):
            fine_tuning(files, pictures, tmp_path / "run", head_learning_rate=wrong).check()
    assert type(fine_tuning(files, pictures, tmp_path / "run", head_learning_rate=1).learning_rate_at(0)) is float


def test_weights_that_do_not_exist(files, pictures, tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        fine_tuning(files, pictures, tmp_path / "run", weights="nowhere.safetensors")


def test_weights_of_photographs(trained, pictures, tmp_path):
    """They are fed as they were trained."""
    photographs = trained.description.replace(preprocessing=zoo.PHOTOGRAPHS)
    zoo.save_packed(trained, tmp_path / "weights.safetensors", description=photographs)
    task = fine_tuning(tmp_path, pictures, tmp_path / "run")
    task.check()
    assert type(task.preprocessing).__name__ == "Photos"
    assert type(task.dataset).__name__ == "PhotoFolder"
    assert tuple(task.preprocessing.input_shape) == (16, 16, 3)

    @zookeeper_task
    class TrainFromThem(TrainFineTune):
        weights = Field(str(tmp_path / "weights.safetensors"))

    by_default = TrainFromThem()
    configure(by_default, {"dataset.directory": str(pictures), "output_dir": str(tmp_path / "run")})
    by_default.check()
    assert type(by_default.preprocessing).__name__ == "Photos"
    with pytest.raises(ValueError, match="`preprocessing` must prepare images as those of the weights were"):
        fine_tuning(tmp_path, pictures, tmp_path / "run", preprocessing="SmallImages").check()
