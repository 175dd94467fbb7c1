"""The signs while a network trains: the callback, and Larq's own flip ratio with our quantizers."""

import csv

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from sdbnn_larq import analysis, zoo
from sdbnn_larq.callbacks import SignStatistics
from sdbnn_larq.layers import ActivationSelfDistribution
from sdbnn_larq.quantizers import EDESign, WeightSelfDistribution

draw = np.random.default_rng(0)
X, Y = draw.normal(size=(48, 6)).astype(np.float32), draw.normal(size=(48, 3)).astype(np.float32)


def dense(units, **arguments):
    return lq.layers.QuantDense(units, input_quantizer="ede_sign", **{"kernel_quantizer": "wsd_sign", **arguments})


def make_model(built=True):
    layers = [ActivationSelfDistribution(2, name="asd"), dense(5, name="first"), dense(3, name="second")]
    model = tf.keras.Sequential([tf.keras.Input((6,)), *layers] if built else layers)
    model.compile(tf.keras.optimizers.SGD(0.3), "mse")
    return model


def kernels(model):
    with lq.context.quantized_scope(True):
        return {layer.name: tf.convert_to_tensor(layer.kernel).numpy() for layer in model.layers[1:]}


class Kernels(tf.keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seen = [kernels(self.model)]

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(kernels(self.model))


def test_flip_ratio_since_the_epoch_before():
    model, record, statistics = make_model(), Kernels(), SignStatistics()
    history = model.fit(X, Y, epochs=4, batch_size=8, verbose=0, callbacks=[record, statistics]).history
    pairs = list(zip(record.seen, record.seen[1:]))
    flips = [sum((old[name] != new[name]).sum() for name in old) / (6 * 5 + 5 * 3) for old, new in pairs]
    assert max(flips) > 0
    np.testing.assert_allclose(history["signs_flip_ratio"], flips)
    old, new = pairs[-1]
    assert statistics.flip_ratios == {name: (old[name] != new[name]).mean() for name in old}


def test_logs_are_means_of_the_report():
    model, statistics = make_model(), SignStatistics(X)
    history = model.fit(X, Y, epochs=1, verbose=0, callbacks=[statistics]).history
    report = analysis.signs(model, X)
    figures = [layer.figures() for layer in report.layers]
    names = {
        "weights_share", "weights_turned", "activations_share", "activations_entropy", "activations_difference",
        "activations_turned", "sums_difference",
    }  # fmt: skip
    assert {name for name in history if name.startswith("signs_")} == {
        f"signs_{name}" for name in names | {"flip_ratio", "dead_channels"}
    }
    for name in names:
        expected = np.mean([layer[name] for layer in figures if name in layer])
        assert history[f"signs_{name}"] == [pytest.approx(expected)]
    dead = sum(layer["activations_never"] + layer["activations_always"] for layer in figures)
    assert history["signs_dead_channels"] == [dead]


def test_looks_at_every_so_many_epochs():
    model = make_model()
    history = model.fit(X, Y, epochs=5, verbose=0, callbacks=[SignStatistics(X, every=2)]).history
    looked_at = [name for name in history if name.startswith("signs_")]
    assert looked_at
    for name, values in history.items():
        assert len(values) == (2 if name in looked_at else 5)


def test_the_training_is_not_changed():
    weights = []
    for callbacks in ([], [SignStatistics(X)]):
        tf.keras.utils.set_random_seed(0)
        model = make_model()
        model.fit(X, Y, epochs=3, batch_size=8, verbose=0, callbacks=callbacks)
        weights.append(model.get_weights())
    for plain, watched in zip(*weights):
        np.testing.assert_array_equal(plain, watched)


def test_a_model_that_is_built_by_its_first_batch():
    history = make_model(built=False).fit(X, Y, epochs=2, verbose=0, callbacks=[SignStatistics(X)]).history
    assert len(history["signs_flip_ratio"]) == 1  # the weights before the first epoch are not known
    assert len(history["signs_activations_share"]) == 2


def test_table_and_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "Läufe/signs"
    model, statistics = make_model(), SignStatistics(X, log_dir=folder)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[statistics])
    rows = list(csv.DictReader((folder / "signs.csv").open(encoding="utf-8")))
    assert [(row["epoch"], row["layer"]) for row in rows] == [
        ("1", "first"), ("1", "second"), ("2", "first"), ("2", "second"),
    ]  # fmt: skip
    assert float(rows[2]["weights_flip_ratio"]) == statistics.flip_ratios["first"]
    turned = statistics.report["first"].activations.turned.mean()
    assert float(rows[2]["activations_turned"]) == turned
    assert rows[3]["activations_turned"] == ""  # no shift before the second layer

    events = EventAccumulator(str(folder), {"tensors": 0}).Reload()
    scalars = {tag: [tf.make_ndarray(e.tensor_proto) for e in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    assert scalars["signs/first/activations_turned"][1] == pytest.approx(turned)
    assert len(scalars["signs/second/weights_flip_ratio"]) == 2
    histogram = statistics.report["first"].activations.signs.histogram
    drawn = scalars["signs/first/activations"][1]
    assert drawn[:, 2].sum() == X.size == histogram.counts.sum()
    np.testing.assert_array_equal(drawn[:, 2], np.histogram(model.layers[0](X), [*drawn[:, 0], drawn[-1, 1]])[0])
    plugin = events.SummaryMetadata("signs/first/activations").plugin_data.plugin_name
    assert plugin == "histograms"


def test_a_resumed_training_keeps_the_rows_before(tmp_path):
    model = make_model()
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[SignStatistics(log_dir=tmp_path)])
    before = (tmp_path / "signs.csv").read_text().splitlines()
    model.fit(X, Y, initial_epoch=2, epochs=4, verbose=0, callbacks=[SignStatistics(log_dir=tmp_path)])
    after = (tmp_path / "signs.csv").read_text().splitlines()
    assert after[:5] == before[:5]
    assert [line.split(",")[0] for line in after] == ["epoch", *"11223344"]


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_wrong_every(every):
    with pytest.raises(ValueError, match=f"`every` must be a whole number from 1. Received: every={every}"):
        SignStatistics(every=every)


def test_images_that_can_be_read_but_once():
    with pytest.raises(ValueError, match=r"`images` must be readable more than once\. Received: generator\.$"):
        SignStatistics(image for image in [])


def test_a_model_without_signs_is_refused_before_it_trains():
    model = tf.keras.Sequential([tf.keras.Input((6,)), tf.keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(ValueError, match="`model` must have a Larq layer"):
        model.fit(X, Y, verbose=0, callbacks=[SignStatistics()])
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


# --- Larq's own metric ---

METRICS = {
    "EDESign": lambda **metrics: EDESign(**metrics),
    "WeightSelfDistribution": lambda **metrics: WeightSelfDistribution(**metrics),
    "WSD of a function": lambda **metrics: WeightSelfDistribution(lq.quantizers.ste_sign, **metrics),
    "WSD of SteSign": lambda **metrics: WeightSelfDistribution("ste_sign", **metrics),
}


@pytest.mark.parametrize("quantizer", METRICS.values(), ids=METRICS)
def test_larqs_flip_ratio_counts_as_with_larqs_quantizers(quantizer):
    ours, larqs = quantizer(metrics=["flip_ratio"]), lq.quantizers.SteSign(metrics=["flip_ratio"])
    for _ in range(4):
        kernel = tf.constant(draw.normal(size=(7, 5)).astype(np.float32))
        ours(kernel)
        larqs(kernel)
    assert 0.2 < larqs.flip_ratio.result() < 0.8
    # WSD's α moves a sign or two.
    assert float(ours.flip_ratio.result()) == pytest.approx(float(larqs.flip_ratio.result()), abs=0.05)


@pytest.mark.parametrize("quantizer", METRICS.values(), ids=METRICS)
def test_larqs_flip_ratio_while_training(quantizer, tmp_path):
    with lq.context.metrics_scope(["flip_ratio"]):
        scoped = dense(5, kernel_quantizer=quantizer())
    given = dense(3, kernel_quantizer=quantizer(metrics=["flip_ratio"]))
    model = tf.keras.Sequential([tf.keras.Input((6,)), scoped, given])
    plain = tf.keras.Sequential(
        [tf.keras.Input((6,)), dense(5, kernel_quantizer=quantizer()), dense(3, kernel_quantizer=quantizer())]
    )
    model.compile(tf.keras.optimizers.SGD(0.5), "mse")
    history = model.fit(X, Y, epochs=2, batch_size=8, verbose=0).history
    ratios = [values for name, values in history.items() if "flip_ratio" in name]
    assert len(ratios) == 2
    assert all(0 < values[0] < 1 for values in ratios)
    # The metric's variables are no weights.
    assert [w.shape for w in model.weights] == [w.shape for w in plain.weights]
    assert model.count_params() == plain.count_params()
    model.trainable = False
    assert [w.shape for w in model.weights] == [w.shape for w in plain.weights]
    zoo.save_packed(model, tmp_path / "weights.safetensors")
    zoo.load_packed(plain, tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(plain.predict(X, verbose=0), model.predict(X, verbose=0))


def test_without_the_metric_nothing_is_counted():
    assert not hasattr(dense(3).kernel_quantizer, "flip_ratio")
    model = make_model()
    assert [name for name in model.fit(X, Y, verbose=0).history if "flip" in name] == []


def test_table_of_something_else_is_refused_before_the_first_epoch(tmp_path):
    model = make_model()
    analysis.signs(model, X).write_csv(tmp_path / "signs.csv")
    with pytest.raises(ValueError, match=r"`log_dir` must be a folder without a signs\.csv, or with one of a training"):
        model.fit(X, Y, verbose=0, callbacks=[Kernels(), SignStatistics(X, log_dir=tmp_path)])
