"""What goes beyond the paper: mixup, CutMix, label smoothing and averaged weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from zookeeper import configure

from sdbnn_larq.recipes import task_class
from sdbnn_larq.training._averaging import Averaging
from sdbnn_larq.training.mixing import SoftTargets, cutmix, mixup

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.standard_normal((64, 9, 7, 3)).astype(np.float32)
LABELS = np.arange(64) % 10
TARGETS = np.eye(10, dtype=np.float32)[LABELS]


def shares(targets):
    """λ of each example, from targets whose partner is of another class."""
    assert (LABELS[::-1] != LABELS).all()
    np.testing.assert_allclose(targets.sum(axis=-1), 1, rtol=1e-5)
    return targets[np.arange(64), LABELS]


def test_mixup():
    images, targets = (x.numpy() for x in mixup(IMAGES, TARGETS, 1.0, (1, 2)))
    share = shares(targets)[:, None, None, None]
    np.testing.assert_allclose(images, share * IMAGES + (1 - share) * IMAGES[::-1], atol=1e-5)
    np.testing.assert_array_equal(mixup(IMAGES, TARGETS, 1.0, (1, 2))[0], images)
    assert not np.array_equal(mixup(IMAGES, TARGETS, 1.0, (1, 3))[0], images)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 5.0])
def test_shares_are_beta_distributed(alpha):
    """By mean and variance: of Beta(α, α) 1/2 and 1/(4 (2 α + 1))."""
    drawn = np.concatenate([shares(mixup(IMAGES[:, :1, :1], TARGETS, alpha, (3, i))[1].numpy()) for i in range(60)])
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert drawn.mean() == pytest.approx(0.5, abs=0.04)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_cutmix():
    images, targets = (x.numpy() for x in cutmix(IMAGES, TARGETS, 1.0, (1, 2)))
    kept = (images == IMAGES).all(axis=-1)
    np.testing.assert_array_equal(images[~kept], IMAGES[::-1][~kept])
    np.testing.assert_allclose(shares(targets), kept.mean(axis=(1, 2)), atol=1e-6)
    for cut in ~kept:
        rows, columns = np.flatnonzero(cut.any(axis=1)), np.flatnonzero(cut.any(axis=0))
        assert cut.sum() == len(rows) * len(columns)
        if cut.any():
            assert rows[-1] - rows[0] + 1 == len(rows)
            assert columns[-1] - columns[0] + 1 == len(columns)
    assert 0.1 < (~kept).mean() < 0.6
    np.testing.assert_array_equal(cutmix(IMAGES, TARGETS, 1.0, (1, 2))[0], images)


def test_label_smoothing():
    images, targets = SoftTargets(10, label_smoothing=0.1).train(IMAGES, tf.constant(LABELS), (0, 0))
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_allclose(targets, 0.9 * TARGETS + 0.01, rtol=1e-6)
    _, targets = SoftTargets(10, label_smoothing=0.1).evaluate(IMAGES, tf.constant(LABELS))
    np.testing.assert_array_equal(targets, TARGETS)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_labels_of_any_integers(kind):
    labels = tf.constant(LABELS.astype(kind))
    soft = SoftTargets(10, mixup=1.0)
    _, targets = soft.train(IMAGES, labels, (1, 2))
    np.testing.assert_array_equal(targets, soft.train(IMAGES, LABELS, (1, 2))[1])
    np.testing.assert_array_equal(soft.evaluate(IMAGES, labels)[1], TARGETS)


def test_labels_that_are_no_integers():
    with pytest.raises(ValueError, match=r"Labels must be integers\. Received: float32\."):
        SoftTargets(10, mixup=1.0).evaluate(IMAGES, tf.constant([0.9]))


def test_mixup_and_cutmix_take_turns():
    soft = SoftTargets(10, mixup=1.0, cutmix=1.0)
    kinds = [float(tf.reduce_mean(tf.cast(soft.train(IMAGES, LABELS, (5, i))[0] == IMAGES, float))) for i in range(40)]
    assert 8 < sum(share > 0.05 for share in kinds) < 32  # CutMix leaves pixels as they were


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mixup": -1.0}, "mixup=-1"),
        ({"mixup": 1e-3}, r"0 or at least 0\.01\. Received: mixup=0\.001"),
        ({"cutmix": -0.1}, "cutmix=-0.1"),
        ({"label_smoothing": 1.0}, "label_smoothing=1"),
    ],
)
def test_bad_numbers(fields, message):
    with pytest.raises(ValueError, match=message):
        SoftTargets(10, **fields)


def test_averages_validate_and_weights_train():
    x = RANDOM.standard_normal((32, 3)).astype(np.float32)
    y = x @ np.array([[1.0], [2.0], [3.0]], np.float32)
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, input_shape=(3,))])
    model.compile(tf.keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    averaging = Averaging(model, 0.8)
    steps = [model.get_weights()[0].copy()]
    after_step = tf.keras.callbacks.LambdaCallback(
        on_batch_end=lambda batch, logs: steps.append(model.get_weights()[0].copy())
    )
    history = model.fit(
        x, y, batch_size=8, epochs=2, validation_data=(x, y), callbacks=[averaging, after_step], verbose=0
    ).history
    average, losses = steps[0], []
    for number, weights in enumerate(steps[1:], 1):
        average = 0.8 * average + 0.2 * weights
        if number % 4 == 0:
            losses.append(np.mean((x @ average - y) ** 2))
    np.testing.assert_allclose(history["val_loss"], losses, rtol=1e-4)
    np.testing.assert_array_equal(model.get_weights()[0], steps[-1])
    with averaging.in_place():
        np.testing.assert_allclose(model.get_weights()[0], average, rtol=1e-5)
    np.testing.assert_array_equal(model.get_weights()[0], steps[-1])
    with pytest.raises(ValueError, match="averaging_momentum=1"):
        Averaging(model, 1)


@pytest.mark.slow
def test_a_run_with_everything(tmp_path):
    fields = {
        "mixup": 0.2,
        "cutmix": 1.0,
        "label_smoothing": 0.1,
        "averaging_momentum": 0.9,
        "epochs": 2,
        "deterministic": False,
    }
    task = task_class(str(Path(__file__).parent / "tiny_recipe.py"))()
    configure(task, {**fields, "output_dir": str(tmp_path)})
    task.run()
    report = json.loads((tmp_path / "report.json").read_text())
    # What was saved is what was tested: the averages.
    saved = tf.keras.models.load_model(tmp_path / "model.keras")
    images, labels = task.dataset.splits["test"]
    batch = task.preprocessing({"image": images, "label": labels}, training=False)
    assert np.mean(saved.predict(batch[0], verbose=0).argmax(-1) == labels) == pytest.approx(report["test_accuracy"])
    raw = task.model.get_weights()
    assert not all(np.array_equal(a, b) for a, b in zip(raw, saved.get_weights()))


def test_soft_labels_need_the_usual_loss(tmp_path):
    task = task_class(str(Path(__file__).parent / "tiny_recipe.py"))()
    configure(task, {"mixup": 0.2, "loss": "mse", "output_dir": str(tmp_path / "run")})
    with pytest.raises(ValueError, match="loss='mse'"):
        task.run()
    assert not (tmp_path / "run").exists()
