"""The figures of any model's signs, however its layers were put together."""

import json
import re
import threading

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from sign_figures import (
    BOTH,
    IMAGES,
    check,
    convolution,
    sign,
    without_rounding,
    wsd_model,
)

from sdbnn_larq import analysis, zoo
from sdbnn_larq.layers import ActivationSelfDistribution, set_precision

pytestmark = pytest.mark.usefixtures("memory_of_a_test")


def summed(layers):
    """Sums of each layer must be integers: the mean over all is a multiple of 1 / count."""
    for layer in layers:
        histogram = layer.sums.signs.histogram
        total = histogram.mean * histogram.counts.sum()
        assert total == pytest.approx(round(total), abs=1e-3)


LARQ_ZOO = {
    "QuickNetSmall": (64, {}),
    "BinaryDenseNet28": (64, {}),
    "BiRealNet": (64, {}),
    "RealToBinaryNet": (64, {}),
    "MeliusNet22": (64, {}),
    "BinaryResNetE18": (64, {}),
    "XNORNet": (224, {"include_top": False}),
    "BinaryAlexNet": (64, {}),
    "DoReFaNet": (128, {"include_top": False}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARQ_ZOO)
def test_networks_of_larq_zoo(name):
    import larq_zoo

    size, arguments = LARQ_ZOO[name]
    constructor = getattr(larq_zoo.literature, name, None) or getattr(larq_zoo.sota, name)
    model = constructor(input_shape=(size, size, 3), weights=None, **arguments)
    images = np.random.default_rng(3).normal(size=(3, size, size, 3)).astype(np.float32)
    expected = model(images)
    report = analysis.signs(model, images)
    np.testing.assert_array_equal(model(images), expected)
    quantized = [layer for layer in model.submodules if getattr(layer, "kernel_quantizer", None)]
    assert len([layer for layer in report.layers if layer.weights]) == len(quantized) >= 4
    with_sums = [layer for layer in report.layers if layer.sums]
    summed(with_sums)
    if name == "DoReFaNet":
        assert not with_sums
        assert all("DoReFa, 2 bits" in reason for (reason,) in report.left_out.values())
        assert len(report.left_out) == len(quantized)
    else:
        assert len(with_sums) == len([layer for layer in quantized if layer.input_quantizer])
    json.dumps(report.to_dict())


def conv(filters, **arguments):
    return lq.layers.QuantConv2D(filters, 3, padding="same", **{**BOTH, **arguments})


def test_nested_shared_and_oddly_named():
    inner = tf.keras.Sequential([tf.keras.Input((9, 8, 3)), conv(3, name="a")], name="inner")
    image = tf.keras.Input((9, 8, 3))
    shared = conv(3, name="a")
    x = shared(inner(shared(image)))
    x = inner(tf.keras.layers.BatchNormalization()(x))
    model = tf.keras.Model(image, conv(2, name="head/conv")(x))
    report = analysis.signs(model, IMAGES)
    assert [layer.name for layer in report.layers] == ["a", "inner/a", "a_2", "inner/a_2", "head/conv"]
    assert [layer.weights is not None for layer in report.layers] == [True, True, False, False, True]
    check(report["a"].activations.signs, IMAGES)
    check(report["inner/a"].activations.signs, shared(tf.constant(IMAGES)))
    assert report["a_2"].sums is not None


def test_two_inputs_by_name_or_in_order():
    left, right = tf.keras.Input((9, 8, 3), name="left"), tf.keras.Input((4,), name="right")
    x = tf.keras.layers.GlobalAveragePooling2D()(conv(4, name="conv")(left))
    model = tf.keras.Model([left, right], tf.keras.layers.add([x, lq.layers.QuantDense(4, **BOTH, name="d")(right)]))
    numbers = np.random.default_rng(4).normal(size=(23, 4)).astype(np.float32)
    report = analysis.signs(model, [IMAGES, numbers], batch_size=5)
    check(report["d"].activations.signs, numbers)
    check(report["conv"].activations.signs, IMAGES)
    named = {"left": IMAGES, "right": numbers}
    assert without_rounding(analysis.signs(model, named)) == without_rounding(report)
    batches = [(([IMAGES[:9], numbers[:9]]), np.zeros(9)), ([IMAGES[9:], numbers[9:]], np.zeros(14))]
    assert without_rounding(analysis.signs(model, iter(batches))) == without_rounding(report)
    with pytest.raises(ValueError, match=r"`images` must have as many for each input. Received: \[22, 23\]"):
        analysis.signs(model, [IMAGES, numbers[1:]])
    with pytest.raises(ValueError, match="`batch_size` must be a whole number from 1"):
        analysis.signs(model, [IMAGES, numbers], batch_size=0)
    with pytest.raises(KeyError, match="nope"):
        report["nope"]


class Subclassed(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = conv(3, name="conv")
        self.bn = tf.keras.layers.BatchNormalization()
        self.unused = conv(3, name="unused")
        self.inside = conv(3, name="inside")
        self.unused.build((None, 9, 8, 3))

    def call(self, inputs):
        x = self.conv(inputs)
        if tf.reduce_mean(x) > 1e9:  # needs AutoGraph
            x = -x
        return self._own_graph(self.bn(x))

    @tf.function
    def _own_graph(self, x):
        return self.inside(x)


def test_a_subclassed_model():
    model = Subclassed()
    with pytest.raises(ValueError, match="`model` must be a Keras model that is built"):
        analysis.signs(model, IMAGES)
    model(IMAGES[:1])
    report = analysis.signs(model, IMAGES)
    check(report["conv"].activations.signs, IMAGES)
    assert report["unused"].activations is None
    assert report["unused"].weights is not None
    assert report.left_out["unused"] == ("the model does not call it",)
    assert report.left_out["inside"][0] in (
        "the model calls it inside a function or a loop of its own",
        "the model does not call it",
    )


def test_quantizers_that_stand_alone():
    image = tf.keras.Input((9, 8, 3))
    x = tf.keras.layers.Activation(lq.quantizers.SteSign(name="sign"), name="activation")(image)
    x = lq.layers.QuantConv2D(4, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="conv")(x)
    x = lq.quantizers.SteSign(name="quantizer")(x)
    x = tf.keras.layers.Activation(lq.utils.set_precision(1)(lambda x: lq.math.sign(x)), name="function")(x)
    model = tf.keras.Model(image, x)
    report = analysis.signs(model, IMAGES)
    assert [layer.name for layer in report.layers] == ["activation/sign", "conv", "quantizer", "function"]
    check(report["activation/sign"].activations.signs, IMAGES)
    assert report["conv"].activations.signs.share == pytest.approx(report["activation/sign"].activations.signs.share)
    check(report["quantizer"].activations.signs, model.get_layer("conv")(sign(IMAGES).astype(np.float32)))
    assert report["conv"].sums is not None


@pytest.mark.parametrize(
    ("arguments", "places", "reason"),
    [
        ({"input_quantizer": None}, {"weights"}, "its inputs are not 1-bit"),
        ({"input_quantizer": "ste_tern"}, {"weights"}, "its input quantizer is no sign function (SteTern, 2 bits)"),
        ({"input_quantizer": "ste_heaviside"}, {"weights"}, "its input quantizer is no sign function (SteHeaviside)"),
        ({"input_quantizer": tf.identity}, {"weights"}, "its input quantizer is no sign function (identity)"),
        ({"kernel_quantizer": None}, {"activations"}, None),
        (
            {"kernel_quantizer": "ste_tern"},
            {"activations"},
            "its kernel is not ±1, nor ± one scale for a channel (SteTern, 2 bits)",
        ),
        ({"input_quantizer": "magnitude_aware_sign"}, {"activations", "weights", "sums"}, None),
        ({"kernel_quantizer": "magnitude_aware_sign"}, {"activations", "weights", "sums"}, None),
    ],
)
def test_what_is_no_sign_is_left_out_by_name(arguments, places, reason):
    model = tf.keras.Sequential([tf.keras.Input((9, 8, 3)), conv(4, **arguments, name="odd"), conv(2)])
    report = analysis.signs(model, IMAGES)
    assert dict(report["odd"].places()).keys() == places
    assert report.left_out.get("odd") == (None if reason is None else (reason,))
    if "activations" in places:
        check(report["odd"].activations.signs, IMAGES)
    if "sums" in places:
        kernel = np.asarray(model.layers[0].kernel)
        check(report["odd"].sums.signs, convolution(sign(IMAGES), sign(kernel), 1))


@pytest.mark.parametrize(
    ("layer", "channels"),
    [
        (lambda q: lq.layers.QuantDepthwiseConv2D(3, depth_multiplier=2, depthwise_quantizer=q), 3 * 2),
        (lambda q: lq.layers.QuantConv2DTranspose(5, 3, kernel_quantizer=q), 5),
        (lambda q: lq.layers.QuantLocallyConnected2D(5, 3, kernel_quantizer=q), 5),
    ],
    ids=["depthwise", "transposed", "locally connected"],
)
@pytest.mark.parametrize("quantizer", ["ste_sign", "wsd_sign"])
def test_output_channels_of_any_layer(layer, channels, quantizer):
    layer = layer(quantizer)
    layer.input_quantizer = lq.quantizers.get("ste_sign")
    model = tf.keras.Sequential([tf.keras.Input((9, 8, 3)), layer])
    (found,) = analysis.signs(model, IMAGES).layers
    assert found.weights.signs.share.shape == (channels,)
    check(found.sums.signs, layer.call(tf.constant(IMAGES)))


def test_both_kernels_of_a_separable_layer():
    layer = lq.layers.QuantSeparableConv2D(
        5, 3, input_quantizer="ste_sign", depthwise_quantizer="ste_sign", pointwise_quantizer="ste_sign", name="s"
    )
    model = tf.keras.Sequential([tf.keras.Input((9, 8, 3)), layer])
    report = analysis.signs(model, IMAGES)
    assert [found.name for found in report.layers] == ["s/depthwise_kernel", "s"]
    assert report["s/depthwise_kernel"].weights.signs.share.shape == (3,)
    assert report["s"].weights.signs.share.shape == (5,)
    check(report["s"].sums.signs, layer(tf.constant(IMAGES)))
    half = lq.layers.QuantSeparableConv2D(5, 3, input_quantizer="ste_sign", pointwise_quantizer="ste_sign")
    (found,) = analysis.signs(tf.keras.Sequential([tf.keras.Input((9, 8, 3)), half]), IMAGES).layers
    assert found.sums is None


def test_a_shift_that_nothing_takes_the_sign_of_is_named():
    image = tf.keras.Input((9, 8, 3))
    x = ActivationSelfDistribution(1, name="lost")(image)
    model = tf.keras.Model(image, conv(2)(tf.keras.layers.ReLU()(x)))
    report = analysis.signs(model, IMAGES)
    assert report.left_out["lost"] == ("no layer takes the sign of what it gives, so what it turns is not known",)
    assert report.layers[0].activations.without_shift is None


def test_packed_weights_do_not_tell_what_was_turned(tmp_path):
    model = zoo.ResNet20(filters=4)
    for weight in model.trainable_weights:
        if "alpha" in weight.name:
            weight.assign(tf.fill(weight.shape, 50.0))
    zoo.save_packed(model, tmp_path / "weights.safetensors")
    packed = zoo.load(tmp_path / "weights.safetensors")
    known, unknown = analysis.signs(model), analysis.signs(packed)
    assert known.images == unknown.images == 0
    for layer, other in zip(known.layers, unknown.layers):
        np.testing.assert_array_equal(layer.weights.signs.share, other.weights.signs.share)
        assert layer.weights.turned is not None
        assert other.weights.turned is other.weights.signs.histogram is other.activations is None
        assert "as in a packed file" in unknown.left_out[other.name][0]


def test_other_threads_go_on():
    model = wsd_model(pad_values=0.0)  # Larq's layers with another padding cannot be called by two threads at once
    expected = np.asarray(model(IMAGES))
    report = analysis.signs(model, IMAGES)
    results, reports, stop = [], [], threading.Event()

    def use():
        while not stop.is_set():
            results.append(np.asarray(model(IMAGES)))

    threads = [threading.Thread(target=lambda: reports.append(analysis.signs(model, IMAGES))) for _ in range(3)]
    user = threading.Thread(target=use)
    for thread in [user, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    user.join()
    assert len(reports) == 3
    for other in reports:
        assert without_rounding(other) == without_rounding(report)
    assert results
    for result in results:
        np.testing.assert_allclose(result, expected, atol=1e-5)
    assert not any("call" in vars(layer) for layer in model.layers)


class Breakable(tf.keras.layers.Layer):
    broken = False

    def call(self, inputs):
        if self.broken:
            raise RuntimeError("broken")
        return inputs


def test_the_model_is_whole_again_after_an_error():
    breakable = Breakable()
    model = tf.keras.Sequential([tf.keras.Input((9, 8, 3)), conv(3), breakable, conv(3)])
    breakable.broken = True
    with pytest.raises(RuntimeError, match="broken"):
        analysis.signs(model, IMAGES)
    assert not any("call" in vars(layer) for layer in model.layers)
    breakable.broken = False
    assert analysis.signs(model, IMAGES).images == 23


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:0], "`images` must have at least one image. Received: none."),
        (
            IMAGES[..., :2],
            "`images` must have the shape (n, 9, 8, 3), as the model takes them. Received: (None, 9, 8, 2).",
        ),
        (IMAGES[0], "`images` must have the shape (n, 9, 8, 3), as the model takes them. Received: (None, 8, 3)."),
        (list(IMAGES), "`images` must have the shape (n, 9, 8, 3), as the model takes them. Received: [(None, 8, 3), "),
        ([IMAGES, IMAGES], "`images` must have the shape (n, 9, 8, 3), as the model takes them. Received: [(None, 9,"),
        ({"x": IMAGES}, "`images` must have the shape (n, 9, 8, 3), as the model takes them. Received: {'x': (None, 9"),
        (iter([]), "`images` must have at least one image. Received: none."),
        (3, "`images` must be an array, a data set or an iterable of batches. Received: int."),
        (
            np.full_like(IMAGES, np.nan),
            "Values before a sign must be finite. Received: some before 'conv' that are not.",
        ),
        (iter([IMAGES, IMAGES.astype(np.float64)]), "`images` must all have one size and type."),
    ],
    ids=[
        "empty",
        "channels",
        "one image",
        "list of images",
        "two inputs",
        "unknown input",
        "no batch",
        "number",
        "NaN",
        "another type",
    ],
)
def test_wrong_images(images, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        analysis.signs(wsd_model(), images)


def test_a_model_without_signs():
    model = tf.keras.Sequential([tf.keras.Input((4,)), lq.layers.QuantDense(2)], name="plain")
    with pytest.raises(ValueError, match=r"`model` must have a Larq layer that quantizes .* Received: 'plain' without"):
        analysis.signs(model, np.ones((2, 4), np.float32))


def test_a_model_of_mixed_precision():
    model = wsd_model()
    report = analysis.signs(model, IMAGES)
    assert set_precision(model, "mixed")
    assert without_rounding(analysis.signs(model, IMAGES)) == without_rounding(report)
