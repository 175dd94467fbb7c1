"""The distillation loss against NumPy, and training in two stages."""

import json

import numpy as np
import pytest
import tensorflow as tf
from zookeeper import configure, factory

from sdbnn_larq import layers, zoo
from sdbnn_larq.recipes.imagenet_resnet18_stage1 import TrainImageNetResNet18Stage1
from sdbnn_larq.recipes.imagenet_resnet18_stage2 import TrainImageNetResNet18Stage2
from sdbnn_larq.training import (
    SavedModel,
    distil,
    distillation_loss,
    start_from_float_weights,
)
from sdbnn_larq.weights.names import named_weights
from sdbnn_larq.zoo.resnet import ResNet18Factory


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def reference(teacher, student, labels, temperature, alpha):
    """Mean loss over the batch, and its gradient with respect to the student's logits, in double precision."""
    p, q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    kl = temperature**2 * np.sum(np.exp(p) * (p - q), axis=-1)
    truth = np.eye(student.shape[-1])[labels]
    cross_entropy = -np.sum(truth * log_softmax(student), axis=-1)
    gradient = alpha * temperature * (np.exp(q) - np.exp(p)) + (1 - alpha) * (np.exp(log_softmax(student)) - truth)
    return np.mean(alpha * kl + (1 - alpha) * cross_entropy), gradient / len(labels), np.mean(cross_entropy)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_loss_and_gradient(temperature):
    teacher, student = 5 * np.random.RandomState(1).standard_normal((2, 6, 9))
    loss, gradient, _ = reference(teacher, student, np.zeros(6, int), temperature, 1.0)
    z_t, z_s = tf.constant(teacher, tf.float32), tf.constant(student, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([z_t, z_s])
        computed = tf.reduce_mean(distillation_loss(z_t, z_s, temperature))
    of_teacher, of_student = tape.gradient(computed, [z_t, z_s])
    assert of_teacher is None
    assert float(computed) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(of_student, gradient, rtol=1e-4, atol=1e-6)


def linear(classes=4, softmax=None, inputs=3):
    """A model whose softmax is a layer, part of a layer, or not there."""
    x = image = tf.keras.Input((inputs,))
    x = tf.keras.layers.Dense(classes, activation="softmax" if softmax == "fused" else None)(x)
    if softmax == "layer":
        x = tf.keras.layers.Activation("softmax")(x)
    return tf.keras.Model(image, x)


@pytest.mark.parametrize("softmax", [None, "fused", "layer"])
@pytest.mark.parametrize(("temperature", "alpha"), [(1.0, 1.0), (3.0, 0.7), (2.0, 0.0)])
@pytest.mark.slow
def test_one_step_of_fit(softmax, temperature, alpha):
    random = np.random.RandomState(2)
    x, labels = random.standard_normal((8, 3)).astype(np.float32), random.randint(4, size=8)
    teacher, student = linear(softmax=softmax), linear(softmax="layer")
    (w_t, b_t), (w_s, b_s) = teacher.get_weights(), student.get_weights()
    loss, gradient, cross_entropy = reference(x @ w_t + b_t, x @ w_s + b_s, labels, temperature, alpha)

    student.compile(tf.keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    distil(student, teacher, temperature, alpha)
    assert student.evaluate(x, labels, verbose=0)[0] == pytest.approx(cross_entropy, rel=1e-5)
    history = student.fit(x, labels, batch_size=8, verbose=0).history
    assert history["loss"][0] == pytest.approx(loss, rel=1e-5)
    assert history["accuracy"][0] == np.mean(np.argmax(x @ w_s + b_s, axis=-1) == labels)
    np.testing.assert_allclose(student.get_weights()[0], w_s - x.T @ gradient, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(student.get_weights()[1], b_s - gradient.sum(axis=0), rtol=1e-5, atol=1e-6)


def with_batch_norm():
    x = image = tf.keras.Input((8, 8, 3))
    x = layers.SymmetricQuantConv2D(4, 3, input_quantizer="ede_sign", kernel_quantizer="wsd_sign")(x)
    x = tf.keras.layers.Flatten()(tf.keras.layers.BatchNormalization()(x))
    return tf.keras.Model(image, tf.keras.layers.Dense(10, activation="softmax")(x))


def test_teacher_is_left_alone_and_left_out(tmp_path):
    """It has batch norm, whose statistics and output would show training mode."""
    teacher, student = with_batch_norm(), with_batch_norm()
    before = [weight.copy() for weight in teacher.get_weights()]
    parameters, weights = student.count_params(), len(student.weights)
    student.compile(tf.keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    distil(student, teacher, 2.0, 0.5)
    images, labels = np.random.RandomState(0).standard_normal((8, 8, 8, 3)).astype(np.float32), np.arange(8)
    taught = np.log(teacher(images, training=False))
    loss, _, _ = reference(taught, np.log(student(images, training=True)), labels, 2.0, 0.5)
    assert student.fit(images, labels, verbose=0).history["loss"][0] == pytest.approx(loss, rel=1e-4)
    for old, new in zip(before, teacher.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert (student.count_params(), len(student.weights)) == (parameters, weights)
    assert teacher not in student.submodules
    student.save(tmp_path / "student.keras")
    loaded = tf.keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), student.predict(images, verbose=0))
    assert "train_step" not in vars(loaded)


def test_learning_from_the_teacher_alone_needs_no_labels():
    teacher, student = linear(), linear(softmax="layer")
    x = np.random.RandomState(3).standard_normal((64, 3)).astype(np.float32)
    student.compile(tf.keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
    distil(student, teacher)
    student.fit(x, np.zeros(64), epochs=150, batch_size=64, verbose=0)
    expected = tf.nn.softmax(teacher.predict(x, verbose=0))
    np.testing.assert_allclose(student.predict(x, verbose=0), expected, atol=0.01)


def two_inputs():
    images = [tf.keras.Input((3,)), tf.keras.Input((3,))]
    return tf.keras.Model(images, tf.keras.layers.Dense(4)(images[0] + images[1]))


@pytest.mark.parametrize(
    ("teacher", "arguments", "message"),
    [
        (linear(classes=5), {}, "4 classes. Received: .* with 5"),
        (linear(inputs=2), {}, r"input, \(3,\). Received: .* with \(2,\)"),
        (linear(), {"temperature": 0}, "temperature=0"),
        (linear(), {"temperature": float("inf")}, "temperature=inf"),
        (two_inputs(), {}, r"input, \(3,\). Received: .* with \(3,\), \(3,\)"),
        (tf.keras.Model(), {}, "functional or sequential, with one output"),
        (linear(), {"alpha": 1.5}, "alpha=1.5"),
    ],
)
def test_bad_teachers_and_numbers(teacher, arguments, message):
    student = linear(softmax="layer")
    student.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=message):
        distil(student, teacher, **arguments)


def test_a_student_must_be_compiled():
    with pytest.raises(ValueError, match="A student must be compiled"):
        distil(linear(), linear())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": tf.keras.losses.SparseCategoricalCrossentropy(reduction="sum")}, "reduction 'sum'"),
        ({"loss": "sparse_categorical_crossentropy", "loss_weights": 0.5}, "`loss_weights`"),
        ({"loss": "sparse_categorical_crossentropy", "loss_weights": [0.5]}, "`loss_weights`"),
    ],
)
def test_a_loss_that_cannot_be_weighed_against_the_teachers_is_refused(options, message):
    student = linear(softmax="layer")
    student.compile("sgd", **options)
    with pytest.raises(ValueError, match=f"must be the mean over the batch, with weight 1. Received: .*{message}"):
        distil(student, linear())


def test_a_loss_of_the_students_own_is_refused():
    student = linear(softmax="layer")
    student.add_loss(tf.reduce_mean(student.output))
    student.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"no loss but the compiled one. Received: .* with `add_loss`"):
        distil(student, linear())


def test_compiling_anew_ends_it(tmp_path):
    teacher, student = linear(), linear(softmax="layer")
    x, labels = np.random.RandomState(3).standard_normal((8, 3)).astype(np.float32), np.arange(8) % 4
    for _ in range(2):
        student.compile(tf.keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        plain = student.evaluate(x, labels, verbose=0)
        assert student.fit(x, labels, verbose=0).history["loss"] == [pytest.approx(plain)]
        distil(student, teacher)
        assert student.fit(x, labels, verbose=0).history["loss"] != [pytest.approx(plain)]
    student.save(tmp_path / "student.keras")
    tf.keras.models.load_model(tmp_path / "student.keras").compile("sgd", "mse")


@pytest.mark.parametrize("policies", [("mixed_bfloat16", "float32"), ("float32", "mixed_float16")])
def test_teacher_and_student_of_different_precision(policies):
    nets = []
    for policy in policies:
        image = tf.keras.Input((3,))
        x = tf.keras.layers.Dense(4, dtype=policy)(image)
        nets.append(tf.keras.Model(image, tf.keras.layers.Activation("softmax", dtype="float32")(x)))
    (w_t, b_t), (w_s, b_s) = (net.get_weights() for net in nets)
    x, labels = np.random.RandomState(2).standard_normal((8, 3)).astype(np.float32), np.arange(8) % 4
    loss, _, _ = reference(x @ w_t + b_t, x @ w_s + b_s, labels, 2.0, 0.7)
    nets[1].compile(tf.keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    distil(nets[1], nets[0], 2.0, 0.7)
    assert nets[1].fit(x, labels, verbose=0).history["loss"][0] == pytest.approx(loss, rel=0.02)


def test_a_network_that_was_trained_before_is_taught():
    """Keras would go on with the training step that it compiled."""
    teacher, student = linear(), linear(softmax="layer")
    x = np.random.RandomState(3).standard_normal((64, 3)).astype(np.float32)
    student.compile(tf.keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
    student.fit(x, np.zeros(64), batch_size=64, verbose=0)
    distil(student, teacher)
    student.fit(x, np.zeros(64), epochs=150, batch_size=64, verbose=0)
    expected = tf.nn.softmax(teacher.predict(x, verbose=0))
    np.testing.assert_allclose(student.predict(x, verbose=0), expected, atol=0.01)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"y": np.zeros(8)}, "labels and logits of 4 classes"),
        ({"y": (np.zeros(8), np.zeros((8, 1)))}, "labels and logits of 4 classes"),
        ({"y": (np.zeros(8), np.zeros((8, 4))), "sample_weight": np.ones(8)}, "without weights of samples"),
    ],
)
def test_targets_without_logits_are_refused(fields, message):
    student = linear(softmax="layer")
    student.compile("sgd", "sparse_categorical_crossentropy")
    distil(student, None)
    with pytest.raises(ValueError, match=message):
        student.fit(np.zeros((8, 3)), verbose=0, **fields)


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_a_saved_teacher_of_unknown_layers_says_why(kind, tmp_path):
    class Stranger(tf.keras.layers.Layer):
        pass

    image = tf.keras.Input((3,))
    tf.keras.Model(image, Stranger()(image)).save(tmp_path / f"teacher.{kind}")
    with pytest.raises(ValueError, match=r"of layers that Keras and this package know. Received: .*teacher"):
        SavedModel(path=str(tmp_path / f"teacher.{kind}")).build()


@factory
class TwoBlocksFactory(ResNet18Factory):
    name = "two_blocks"
    blocks = (1, 1)

    def build(self) -> tf.keras.models.Model:
        return super().build()


def run(task, **fields):
    everything = {
        "dataset": "Digits", "dataset.validation_fraction": 0.4, "dataset.test_fraction": 0.4,
        "preprocessing": "SmallImages", "model": "TwoBlocksFactory", "input_shape": (32, 32, 3),
        "epochs": 1, "batch_size": 32, "deterministic": False, **fields,
    }  # fmt: skip
    configure(task, everything)
    task.run()
    return task


@pytest.mark.slow
def test_two_stages(tmp_path):
    first = run(TrainImageNetResNet18Stage1(), **{"model.binary_weights": False}, output_dir=str(tmp_path / "first"))
    assert first.model.get_layer("layer1_0_conv").kernel_quantizer is None
    weights = str(tmp_path / "first" / "weights.safetensors")
    second = TrainImageNetResNet18Stage2()
    fields = {
        "teacher": "SavedModel",
        "teacher.path": str(tmp_path / "first" / "model.keras"),
        "float_weights": weights,
    }
    # Nothing is learned at this rate: what the second stage starts from is what it ends with.
    run(second, output_dir=str(tmp_path / "second"), learning_rate=1e-30, temperature=2.0, alpha=0.5, **fields)
    trained = named_weights(second.model)
    for name, weight in named_weights(first.model).items():
        if "moving" not in name:
            np.testing.assert_array_equal(weight, trained[name], name)
    assert {name.split("/")[1] for name in trained.keys() - named_weights(first.model).keys()} == {"alpha_bias"}
    report = json.loads((tmp_path / "second" / "report.json").read_text())
    assert report["task"] == "TrainImageNetResNet18Stage2"
    assert 0 <= report["test_accuracy"] <= 1
    assert first.learning_rate_at(0) == 1e-3
    assert first.learning_rate_at(1) == 0


@pytest.mark.slow
def test_second_stage_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"`teacher\.weights` must be a file"):
        run(TrainImageNetResNet18Stage2(), output_dir=str(tmp_path / "run"))
    with pytest.raises(ValueError, match=r"nothing\.keras"):
        SavedModel(path="nothing.keras").build()
    zoo.save_packed(zoo.ResNet20(), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors"):
        start_from_float_weights(zoo.ResNet20(), tmp_path / "other.safetensors")
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_is_no_model_is_named(tmp_path):
    (tmp_path / "teacher.keras").write_bytes(b"no model")
    teacher = SavedModel()
    configure(teacher, {"path": str(tmp_path / "teacher.keras")})
    with pytest.raises(ValueError, match=r"teacher\.keras"):
        teacher.build()
