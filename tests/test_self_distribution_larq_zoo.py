"""Self-distribution brought to larq-zoo's networks."""

import json
from itertools import product
from pathlib import Path

import larq as lq
import larq_zoo
import numpy as np
import pytest
import safetensors
import tensorflow as tf
from exports import export
from vanishing import images, parts, vanish

from sdbnn_larq import layers, quantizers, self_distribute, weights

pytestmark = pytest.mark.usefixtures("memory_of_a_test")

# Image size, and how many layers get a shift of their input and of their kernel.
LARQ_ZOO = {
    "BinaryAlexNet": (64, 7, 8),
    "BiRealNet": (32, 16, 16),
    "BinaryResNetE18": (32, 16, 16),
    "BinaryDenseNet28": (32, 23, 23),
    "QuickNetSmall": (32, 16, 16),
    "MeliusNet22": (64, 34, 34),
    "RealToBinaryNet": (32, 16, 16),
    "XNORNet": (224, 6, 6),
}
# Without self-distribution, either: larq-zoo's layers that Keras cannot write down, or not read again.
UNSAVEABLE = {("QuickNetSmall", ".h5")}


def larq_zoo_network(name):
    build = getattr(larq_zoo.sota, name, None) or getattr(larq_zoo.literature, name)
    size = LARQ_ZOO[name][0] if name in LARQ_ZOO else 96
    return build(weights=None, input_shape=(size, size, 3), num_classes=10)


def macs(model, bits):
    return lq.models.ModelProfile(model).op_count("mac", bits)


@pytest.mark.parametrize("name", LARQ_ZOO)
@pytest.mark.slow
def test_larq_zoo(name):
    model = larq_zoo_network(name)
    x = images(model)
    before, original = model(x), model.get_weights()
    changed = self_distribute(model)
    assert tuple(map(len, (changed.self_distributed.activation, changed.self_distributed.weight))) == LARQ_ZOO[name][1:]

    # What it costs.
    shifted = [model.get_layer(layer).kernel.shape[-2] for layer in changed.self_distributed.activation]
    kernels = [model.get_layer(layer).kernel.shape[-1] for layer in changed.self_distributed.weight]
    dense = sum(2 * channels * (channels // 16) for channels in shifted)
    assert changed.count_params() - model.count_params() == dense + sum(kernels)
    assert macs(changed, 1) == macs(model, 1)
    assert macs(changed, 32) - macs(model, 32) == dense

    # Nothing but the layer takes its shifted input.
    for layer in parts(changed, layers.ActivationSelfDistribution):
        (node,) = layer.outbound_nodes
        assert node.layer.name in changed.self_distributed.activation

    # With the shifts at work, in a step of training, and without.
    assert not np.array_equal(changed(x), before)
    initial = changed.get_weights()
    with tf.GradientTape() as tape:
        loss = tf.keras.losses.sparse_categorical_crossentropy(np.arange(len(x)), changed(x, training=True))
    for weight, gradient in zip(changed.trainable_weights, tape.gradient(loss, changed.trainable_weights), strict=True):
        assert np.isfinite(gradient).all(), weight.name
    alphas = [wsd.alpha for wsd in parts(changed, quantizers.WeightSelfDistribution)]
    before_step = [alpha.numpy() for alpha in alphas]
    changed.compile(tf.keras.optimizers.SGD(1e-2), "sparse_categorical_crossentropy", run_eagerly=True)
    changed.train_on_batch(x, np.arange(len(x)))
    assert all((alpha.numpy() != value).any() for alpha, value in zip(alphas, before_step))
    for value, expected in zip(model.get_weights(), original, strict=True):
        np.testing.assert_array_equal(value, expected)
    changed.set_weights(initial)
    vanish(changed)
    np.testing.assert_array_equal(changed(x), before)


# benchmarks/self_distribute_larq_zoo.py saves each of the networks in each format.
@pytest.mark.parametrize(
    ("name", "suffix"),
    [*product(("BiRealNet", "QuickNetSmall"), (".keras", ".h5")), ("BinaryAlexNet", ""), ("XNORNet", ".keras")],
)
@pytest.mark.slow
def test_larq_zoo_saved(name, suffix, tmp_path):
    model = larq_zoo_network(name)
    changed = self_distribute(model)
    if (name, suffix) in UNSAVEABLE:
        for each in (model, changed):
            with pytest.raises((TypeError, ValueError, NotImplementedError)):
                save_and_load(each, tmp_path / f"model{suffix}")
        return
    loaded = save_and_load(changed, tmp_path / f"model{suffix}")
    np.testing.assert_array_equal(loaded(images(model)), changed(images(model)))


def save_and_load(model, path):
    model.save(path)
    return tf.keras.models.load_model(path)


@pytest.mark.parametrize("name", ["BinaryDenseNet28", "QuickNetSmall", "RealToBinaryNet"])
@pytest.mark.slow
def test_larq_zoo_packed(name, tmp_path):
    model, other = (self_distribute(larq_zoo_network(name)) for _ in range(2))
    for wsd in parts(model, quantizers.WeightSelfDistribution):
        wsd.alpha.assign(np.random.standard_normal(wsd.alpha.shape))
    weights.save_packed(model, tmp_path / "packed.safetensors")
    weights.load_packed(other, tmp_path / "packed.safetensors")
    np.testing.assert_array_equal(other(images(model)), model(images(model)))
    with safetensors.safe_open(tmp_path / "packed.safetensors", "np") as file:
        assert "latent" not in file.keys()  # noqa: SIM118  (a 1-bit kernel stored in full)


def test_what_takes_two_bits_is_refused():
    model = larq_zoo_network("DoReFaNet")
    with pytest.raises(ValueError, match=r"sign of its input, or activation=None .* input_quantizer DoReFa of 2 bits"):
        self_distribute(model)
    changed = self_distribute(model, activation=None)
    assert (len(changed.self_distributed.activation), len(changed.self_distributed.weight)) == (0, 6)
    vanish(changed)
    np.testing.assert_array_equal(changed(images(model)), model(images(model)))


@pytest.mark.parametrize("name", ["BiRealNet", "QuickNetSmall", "BinaryDenseNet28", "BinaryAlexNet"])
@pytest.mark.slow
def test_larq_zoo_exported(target, name, tmp_path):
    build = getattr(larq_zoo.sota, name, None) or getattr(larq_zoo.literature, name)
    model = self_distribute(build(weights=None, input_shape=(96, 96, 3), num_classes=10))
    # BinaryAlexNet's first kernel is of 1 bit, and its input is not.
    report = export(target, model, tmp_path, allow_float=name == "BinaryAlexNet")
    assert report.exact_layers == LARQ_ZOO[name][1]


def test_the_documentation_says_what_was_measured():
    root = Path(__file__).parent.parent
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (root / "docs/any-network.md").read_text("utf-8").splitlines()
        if line.startswith("|")
    ]

    examined = json.loads((root / "benchmarks/self_distribute_larq_zoo.json").read_text())
    for name, found in examined.items():
        costs, works = (row[1:] for row in rows if row[0].split(",")[0] == name and len(row) in (6, 8))
        before, after = found.pop("before"), found.pop("after")
        assert costs[0] == "{}, {}".format(*found.pop("layers"))
        assert costs[1:3] == [f"{before['parameters']:,}", f"{after['parameters'] - before['parameters']:,}"]
        assert costs[3:] == [f"{before['float MACs'] / 1e6:.1f} M", f"{added(before, after):.2f} M"]
        assert before["1-bit MACs"] == after["1-bit MACs"]
        assert works == [outcome.split(",")[0] for outcome in found.values()]

    for name, columns in json.loads((root / "benchmarks/self_distribute.json").read_text())["summary"].items():
        (row,) = (row for row in rows if row[0] == f"{name} at a small budget")
        shown = ["{:.1f} ± {:.1f} %".format(100 * c["mean"], 100 * c["deviation"]) for c in columns.values()]
        assert row[1:] == [*shown[:-1], shown[-1].replace("%", "points").replace("-", "−")]


def added(before, after):
    return (after["float MACs"] - before["float MACs"]) / 1e6
