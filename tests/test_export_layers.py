"""Keras's and Larq's layers in OpenVINO; every export here is verified layer by layer."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from exports import BINARY, export, randomised, users_model

from sdbnn_larq import convert, zoo

# isort: split
import larq as lq

pytest.importorskip("openvino")

from sdbnn_larq.convert.openvino.emitters import EMITTERS, elementwise

pytestmark = pytest.mark.usefixtures("memory_of_a_test")

KERAS = tf.keras.layers
SIGN = {"input_quantizer": "ste_sign", "depthwise_quantizer": "ste_sign"}


@pytest.mark.parametrize(
    "layer",
    [
        KERAS.DepthwiseConv2D(3, 2, "same", depth_multiplier=2, activation="relu"),
        KERAS.DepthwiseConv2D((3, 2), dilation_rate=2, use_bias=False),
        lq.layers.QuantDepthwiseConv2D(3, padding="same", pad_values=1.0, **SIGN),
        KERAS.SeparableConv2D(5, 3, 2, "same", depth_multiplier=2),
        lq.layers.QuantSeparableConv2D(5, 3, pointwise_quantizer="ste_sign", **SIGN),
        KERAS.Reshape((5, 20, 8)),
        KERAS.Reshape((1, 1, -1)),
        KERAS.Reshape((-1,)),
        *(KERAS.Activation(name) for name in ("elu", "gelu", "hard_sigmoid", "swish", "tanh", tf.nn.relu6)),
        KERAS.LeakyReLU(0.2),
        KERAS.ELU(0.7),
        KERAS.Softmax(),
    ],
    ids=lambda layer: layer.name,
)
def test_layer(layer, tmp_path):
    report = export("openvino", users_model(layer), tmp_path, allow_float=True)
    assert report.blocks == 2  # the image is one


@pytest.mark.parametrize(
    "merge",
    [
        KERAS.Add(),
        KERAS.Average(),
        KERAS.Concatenate(),
        KERAS.Concatenate(axis=1),
        KERAS.Concatenate(axis=-2),
        KERAS.Maximum(),
        KERAS.Minimum(),
        KERAS.Multiply(),
        KERAS.Subtract(),
        lambda inputs: inputs[0] + inputs[1],
        lambda inputs: tf.nn.relu(inputs[0] - inputs[1]),
        lambda inputs: tf.multiply(inputs[0], tf.sigmoid(inputs[1]), name="gated"),
    ],
)
def test_merge(merge, tmp_path):
    image = tf.keras.Input((6, 6, 3))
    x, y = (KERAS.Conv2D(4, 3, activation=name)(image) for name in (None, "tanh"))
    report = export("openvino", randomised(tf.keras.Model(image, merge([x, y]))), tmp_path)
    assert report.blocks > 2


def test_numbers_for_each_channel_of_an_image(tmp_path):
    """As squeeze-and-excitation has them, and the classifier of larq-zoo's BinaryAlexNet."""
    image = tf.keras.Input((6, 6, 8))
    x = KERAS.Dense(8, activation="sigmoid")(KERAS.GlobalAveragePooling2D()(image))
    x = KERAS.Multiply()([image, KERAS.Reshape((1, 1, 8))(x)])
    x = lq.layers.QuantConv2D(16, 1, **BINARY)(KERAS.Reshape((1, 1, 288))(x))
    assert export("openvino", randomised(tf.keras.Model(image, x)), tmp_path).exact_layers == 1


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (KERAS.UpSampling2D(), r"\(UpSampling2D\)"),
        (KERAS.Reshape((80, 10)), r"\(Reshape\) with target_shape=\(80, 10\)"),
        (KERAS.Concatenate(0), r"\(Concatenate\) of batches"),
        (KERAS.GlobalMaxPooling2D("channels_first"), r"\(GlobalMaxPooling2D\) with data_format='channels_first'"),
        (KERAS.Softmax(1), r"\(Softmax\) over axis 1"),
        (KERAS.Lambda(lambda x: 2.0 * x), r"\(Lambda\)"),
        (lambda x: x + 1.0, r"\(TFOpLambda\), tf\.__operators__\.add of 2 arguments"),
        (tf.abs, r"\(TFOpLambda\), tf\.math\.abs of 1 arguments"),
        (KERAS.Conv2D(8, 3, groups=2), r"\(Conv2D\) with groups=2"),
        (lambda x: lq.layers.QuantConv2D(8, 3, **BINARY)(KERAS.Reshape((20, 5, 8))(x)), r"\(QuantConv2D\) .*a Reshape"),
        (lambda x: KERAS.Add()([x, KERAS.GlobalMaxPooling2D()(x)]), r"\(Add\) of inputs of the ranks \[4, 2\]"),
    ],
)
def test_refused(layer, what, tmp_path):
    image = tf.keras.Input((10, 10, 8))
    model = tf.keras.Model(image, layer([image, image] if isinstance(layer, KERAS.Concatenate) else image))
    with pytest.raises(ValueError, match=rf"^`model` must be made of what .* Received: layer '[\w.]+' {what}.*\.$"):
        export("openvino", model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_documentation_names_all_layers():
    page = (Path(__file__).parent.parent / "docs/deployment.md").read_text("utf-8")
    _, section = page.split("## Networks of your own")
    named = set(re.findall(r"`([A-Z]\w+)`", section.split("A 1-bit convolution")[0]))
    silent = {"ActivityRegularization", "AlphaDropout", "GaussianDropout", "GaussianNoise", "SpatialDropout2D"}
    assert named == {layer.__name__ for layer in EMITTERS} - silent - {"TFOpLambda"}
    (activations,) = re.findall(r"`Activation` \((.*?)\)", section.replace("\n", " "))
    assert activations.split(", ") == ["linear", *sorted(elementwise._ACTIVATIONS.keys() - {"linear"})]


def test_the_documentation_says_what_was_measured():
    root = Path(__file__).parent.parent
    networks = json.loads((root / "benchmarks/larq_zoo_runtimes.json").read_text())["networks"]
    page, readme = ((root / name).read_text("utf-8") for name in ("docs/deployment.md", "README.md"))
    for name, found in networks.items():
        openvino, lce = (found["ms"][runtime]["median"] for runtime in ("OpenVINO", "LCE"))
        assert f"| {name} | {openvino:.2f} ms | {lce:.2f} ms | {found['LCE / OpenVINO']:.1f} |" in page
    ratios = [found["LCE / OpenVINO"] for found in networks.values()]
    assert f"OpenVINO runs them {min(ratios):.0f} to {max(ratios):.0f} times as fast as LCE" in page
    quicknet = networks["QuickNet"]["ms"]
    assert f"{quicknet['OpenVINO']['median']:.1f} ms in OpenVINO, {quicknet['LCE']['median']:.1f} ms in" in readme


def test_depthwise_convolution_is_counted(tmp_path):
    export("openvino", users_model(KERAS.DepthwiseConv2D(3, use_bias=False)), tmp_path)
    (counted,) = (found for found in convert.inspect(tmp_path / "model.xml").operations if found.macs)
    assert (counted.kind, counted.precision) == ("GroupConvolution", "float32")
    assert counted.macs == 8 * 8 * 8 * 3 * 3
    assert counted.bytes == 4 * 8 * 3 * 3


def test_layer_used_twice_in_int8(tmp_path):
    """Each use has the range of its own input."""
    image = tf.keras.Input((10, 10, 8))
    twice = KERAS.Dense(8, activation="relu")
    x = twice(KERAS.Rescaling(100.0)(twice(KERAS.GlobalMaxPooling2D()(image))))
    model = randomised(tf.keras.Model(image, KERAS.Dense(4, use_bias=False)(x)))
    images = np.random.default_rng(0).normal(size=(64, 10, 10, 8)).astype(np.float32)
    export("openvino", model, tmp_path, int8=True, images=images)
    expected = model.predict(images)
    difference = np.abs(convert.ExportedModel(tmp_path / "model.xml").predict(images) - expected).max()
    assert difference < 0.02 * np.ptp(expected)
    found = [operation.precision for operation in convert.inspect(tmp_path / "model.xml").operations if operation.macs]
    assert found == ["int8"] * 3


def test_depthwise_convolution_stays_float_in_int8(tmp_path):
    image = tf.keras.Input((8, 8, 3))
    x = KERAS.DepthwiseConv2D(3)(KERAS.Conv2D(8, 3, name="stem")(image))
    model = randomised(tf.keras.Model(image, KERAS.Dense(4)(KERAS.Flatten()(x))))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    export("openvino", model, tmp_path, uint8=True, int8=True, preprocessing=zoo.SMALL_IMAGES, images=pixels)
    found = {operation.kind: operation.precision for operation in convert.inspect(tmp_path / "model.xml").operations}
    assert (found["Convolution"], found["GroupConvolution"], found["MatMul"]) == ("int8", "float32", "int8")
