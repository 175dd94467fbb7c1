"""Shifts of Activation Self-Distribution in the exports: no sign may turn, whatever a runtime rounds."""

import numpy as np
import pytest
import tensorflow as tf
from exports import BINARY, SUFFIXES, export, users_model

from sdbnn_larq import convert, layers

# isort: split
import larq as lq  # needs the Keras that sdbnn_larq chooses

pytestmark = pytest.mark.usefixtures("memory_of_a_test")


def test_constant_shift_is_folded_into_the_threshold_in_openvino(tmp_path):
    ov = pytest.importorskip("openvino")
    model = users_model(
        tf.keras.layers.Conv2D(8, 1, use_bias=False, name="as_it_is"),
        layers.ActivationSelfDistribution(mode="static", name="asd"),
        lq.layers.QuantConv2D(16, 3, use_bias=False, **BINARY),
        tf.keras.layers.BatchNormalization(),
        lq.layers.QuantConv2D(16, 3, use_bias=False, **BINARY),
    )
    model.get_layer("as_it_is").kernel.assign(np.eye(8)[None, None])
    model.get_layer("asd").shift.beta.assign(np.zeros(8))  # a shift of 1/2
    at = np.float32(-0.5)
    values = [at, np.nextafter(at, np.float32(0)), np.nextafter(at, np.float32(-1)), 0.5]
    images = np.random.default_rng(0).choice(values, (4, 10, 10, 8))
    assert export("openvino", model, tmp_path, images=images).exact_layers == 2
    kinds = [node.get_type_name() for node in ov.Core().read_model(tmp_path / "model.xml").get_ordered_ops()]
    assert "Add" not in kinds


def test_shift_just_below_1_keeps_its_sign_in_bf16(tmp_path):
    """OpenVINO's own choice where the processor has it; there 0.9997, rounded to 1, would make -1 a 0 and so a +1."""
    pytest.importorskip("openvino")
    model = users_model(
        tf.keras.layers.Conv2D(8, 1, use_bias=False, name="wide"),
        layers.HardTanh(),
        layers.ActivationSelfDistribution(reduction=1, name="asd"),
        lq.layers.QuantConv2D(16, 3, use_bias=False, **BINARY),
        tf.keras.layers.GlobalAveragePooling2D(),
        tf.keras.layers.Dense(4, use_bias=False),
    )
    model.get_layer("wide").kernel.assign(9.0 * np.eye(8)[None, None])
    for weight, value in zip(model.get_layer("asd").weights, (-8.0, 1.0)):
        weight.assign(value * np.eye(8))
    images = -np.ones((1, 10, 10, 8), np.float32)
    export("openvino", model, tmp_path, images=images)
    exact, rounded = (
        convert.ExportedModel(tmp_path / "model.xml", precision=precision).predict(images)
        for precision in ("f32", "bf16")
    )
    np.testing.assert_allclose(rounded, exact, atol=0.02 * np.abs(exact).max())


@pytest.mark.parametrize("beta", [7.5, 40.0])
def test_constant_shift_just_below_1_is_added_in_float32(tmp_path, beta):
    """Padding keeps the shift from moving the threshold, and OpenVINO makes it a bias of the convolution before it."""
    pytest.importorskip("openvino")
    model = users_model(
        tf.keras.layers.Conv2D(8, 1, use_bias=False, name="as_it_is"),
        tf.keras.layers.BatchNormalization(epsilon=0, name="bn"),
        layers.ActivationSelfDistribution(mode="static", name="asd"),
        lq.layers.QuantConv2D(16, 3, use_bias=False, padding="same", pad_values=1, **BINARY),
    )
    model.get_layer("as_it_is").kernel.assign(np.eye(8)[None, None])
    model.get_layer("bn").set_weights([np.ones(8), np.zeros(8), np.zeros(8), np.ones(8)])
    model.get_layer("asd").shift.beta.assign(np.full(8, beta))
    images = -np.ones((1, 10, 10, 8), np.float32)
    export("openvino", model, tmp_path, images=images)
    for precision in ("f32", "bf16"):
        outputs = convert.ExportedModel(tmp_path / "model.xml", precision=precision).predict(images)
        np.testing.assert_allclose(outputs, model.predict(images), rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize("mode", ["dynamic", "static"])
@pytest.mark.parametrize("large", [16.6, 40.0])
def test_an_activation_of_minus_1_keeps_its_sign(target, tmp_path, mode, large):
    """Keras, LCE and OpenVINO round a sigmoid of about 16.6 to 1, or not, as they like; the sums tell the signs."""
    inputs = tf.keras.Input((5, 5, 32))
    x = layers.ActivationSelfDistribution(reduction=1, mode=mode, name="asd")(layers.HardTanh()(inputs))
    x = lq.layers.QuantConv2D(16, 3, use_bias=False, name="binary", **{**BINARY, "kernel_quantizer": "ste_sign"})(x)
    model = tf.keras.Model(inputs, tf.keras.layers.GlobalAveragePooling2D()(x))
    values = [-np.eye(32), large * np.eye(32)] if mode == "dynamic" else [[large] * 32]
    for weight, value in zip(model.get_layer("asd").weights, values, strict=True):
        weight.assign(value)
    images = np.full((1, 5, 5, 32), -2, np.float32)
    export(target, model, tmp_path, images=images)
    sums = -np.sign(model.get_layer("binary").kernel).sum((0, 1, 2))
    for precision in ("f32", "bf16")[: 2 if target == "openvino" else 1]:
        network = convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}", precision=precision)
        np.testing.assert_allclose(network.predict(images)[0], sums, rtol=2**-8)
