"""1-bit layers that follow each other without a shortcut: the signs between them, which rounding may turn."""

import numpy as np
import pytest
import tensorflow as tf
from exports import BINARY, SUFFIXES, export, users_model

from sdbnn_larq import convert

# isort: split
import larq as lq  # needs the Keras that sdbnn_larq chooses

pytestmark = pytest.mark.usefixtures("memory_of_a_test")


def chain(padding: str) -> tuple[tf.keras.layers.Layer, ...]:
    """1-bit layers without anything between them but batch normalisation, as in Larq's BinaryNet."""
    return (
        tf.keras.layers.Conv2D(64, 1),
        lq.layers.QuantConv2D(64, 3, padding=padding, **BINARY, use_bias=False),
        tf.keras.layers.BatchNormalization(name="between"),
        lq.layers.QuantConv2D(64, 1, **BINARY),
    )


@pytest.mark.parametrize("scaled", [False, True])
def test_rounding_may_turn_the_sign_of_0_between_1_bit_layers(target, tmp_path, scaled):
    """Sums that are just the mean: 0 or, where the runtime computes x·s - m·s, nearly 0."""
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([tf.keras.Input((13, 13, 3)), *chain("same")])
    images = np.random.default_rng(0).normal(size=(4, 13, 13, 3))
    if scaled:
        between = model.get_layer("between")
        between.moving_mean.assign(tf.keras.Model(model.input, between.input)(images)[0, 6, 6])
        between.gamma.assign(np.random.default_rng(1).uniform(0.5, 2.0, 64))
    report = export(target, model, tmp_path, images=images)
    assert (report.blocks, report.exact_layers) == ({"lce": 3, "openvino": 5}[target], 2)


def test_negative_scale_between_1_bit_layers(target, tmp_path):
    """Larq Compute Engine's converter turns the filters in front of it, and their thresholds."""
    model = users_model(*chain("valid"))
    gamma = model.get_layer("between").gamma
    gamma.assign(gamma * np.resize([1, -1, -1], 64))
    assert export(target, model, tmp_path).exact_layers == 2
    images = np.random.default_rng(1).normal(size=(5, 10, 10, 8)).astype(np.float32)
    exported = convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}")
    np.testing.assert_allclose(exported.predict(images), model.predict(images), atol=1e-4)


def test_nothing_between_padded_1_bit_layers(target, tmp_path):
    padded = lq.layers.QuantConv2D(8, 3, padding="same", pad_values=1.0, **BINARY)
    model = users_model(tf.keras.layers.Conv2D(8, 3), tf.keras.layers.Dropout(0.2), padded)
    assert export(target, model, tmp_path).exact_layers == 1


def test_planted_threshold_is_caught_in_openvino(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    nextafter = np.nextafter
    model = users_model(*chain("valid"))
    assert export("openvino", model, tmp_path).blocks == 5
    monkeypatch.setattr(np, "nextafter", lambda threshold, to: nextafter(threshold, to) + np.float32(0.01))
    with pytest.raises(RuntimeError, match=r"Block 'conv2d\w*' must agree with Keras to 0\.0001 of its range"):
        export("openvino", model, tmp_path)


def test_planted_threshold_is_caught_in_lce(tmp_path, monkeypatch):
    pytest.importorskip("larq_compute_engine")
    from sdbnn_larq.convert.lce import file

    with_metadata = file.with_metadata

    def raised(content, metadata):
        parsed = file.parse(content)
        (thresholds,) = (op.inputs[4] for op, _ in file.binary_operators(parsed) if op.inputs[4] >= 0)
        buffer = parsed.buffers[parsed.subgraphs[0].tensors[thresholds].buffer]
        buffer.data = (np.array(buffer.data).view(np.int32) + ([0] * 63 + [2])).astype(np.int32).view(np.uint8)
        return with_metadata(file.pack(parsed), metadata)

    model = users_model(*chain("valid"))
    assert export("lce", model, tmp_path).blocks == 3
    monkeypatch.setattr(file, "with_metadata", raised)
    with pytest.raises(RuntimeError, match=r"Block 'between' must agree with Keras to 0\.0001 of its range"):
        export("lce", model, tmp_path)
