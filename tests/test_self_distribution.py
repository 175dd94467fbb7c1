"""Self-distribution brought to networks that were built without it: larq-zoo's, and those of users."""

from itertools import product

import larq as lq
import larq_zoo
import numpy as np
import pytest
import safetensors
import tensorflow as tf

from sdbnn_larq import convert, layers, quantizers, self_distribute, weights, zoo
from sdbnn_larq._errors import is_foreseen
from sdbnn_larq.self_distribution import ChangedLayers

pytestmark = pytest.mark.usefixtures("memory_of_a_test")

KERAS = tf.keras.layers
BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}


def images(model, count=4):
    shape = [n or 8 for n in model.input_shape[1:]]
    return np.random.RandomState(0).standard_normal((count, *shape)).astype(np.float32)


def parts(model, kind):
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def vanish(model):
    """Makes every shift exactly 0: σ of what is negative enough. A dynamic shift has no bias, so two hidden units take
    a mean's product with a vector and with its opposite. One of them is positive, and its kernel very negative."""
    for wsd in parts(model, quantizers.WeightSelfDistribution):
        wsd.alpha.assign(tf.fill(wsd.alpha.shape, -200.0))
    for asd in parts(model, layers.ActivationSelfDistribution):
        if asd.mode == "static":
            asd.shift.beta.assign(tf.fill(asd.shift.beta.shape, -200.0))
            continue
        squeeze, excite = asd.shift.weights
        vector = np.random.RandomState(1).standard_normal(squeeze.shape[0])
        squeeze.assign(np.stack([vector, -vector, *np.zeros((squeeze.shape[1] - 2, len(vector)))], -1))
        excite.assign(tf.fill(excite.shape, -1e30))


# --- larq-zoo ---

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
    before, original = model.predict_on_batch(x), model.get_weights()
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
    assert not np.array_equal(changed.predict_on_batch(x), before)
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
    changed = self_distribute(model)
    vanish(changed)
    np.testing.assert_array_equal(changed.predict_on_batch(x), before)


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
    np.testing.assert_array_equal(loaded.predict_on_batch(images(model)), changed.predict_on_batch(images(model)))


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
    np.testing.assert_array_equal(other.predict_on_batch(images(model)), model.predict_on_batch(images(model)))
    with safetensors.safe_open(tmp_path / "packed.safetensors", "np") as file:
        assert "latent" not in file.keys()  # noqa: SIM118  (a 1-bit kernel stored in full)


def test_what_takes_two_bits_is_refused():
    model = larq_zoo_network("DoReFaNet")
    with pytest.raises(ValueError, match=r"sign of its input, or activation=None .* input_quantizer DoReFa of 2 bits"):
        self_distribute(model)
    changed = self_distribute(model, activation=None)
    assert (len(changed.self_distributed.activation), len(changed.self_distributed.weight)) == (0, 6)
    vanish(changed)
    np.testing.assert_array_equal(changed.predict_on_batch(images(model)), model.predict_on_batch(images(model)))


# --- Networks of users ---


def residual(**kwargs):
    """A functional network with a shortcut, a layer of each kind, and 1-bit and float layers."""
    image = tf.keras.Input((8, 8, 16))
    x = lq.layers.QuantConv2D(16, 3, padding="same", name="float")(image)
    shortcut = x
    x = lq.layers.QuantConv2D(16, 3, padding="same", pad_values=1.0, name="conv", **BINARY, **kwargs)(x)
    x = KERAS.BatchNormalization(name="bn")(x) + shortcut
    x = lq.layers.QuantDepthwiseConv2D(
        3, 2, input_quantizer="approx_sign", depthwise_quantizer=lq.quantizers.SteSign(1.25), name="depthwise"
    )(x)
    x = lq.layers.QuantSeparableConv2D(
        16, 1, input_quantizer="swish_sign", depthwise_quantizer="ste_sign", pointwise_quantizer="magnitude_aware_sign",
        name="separable",
    )(x)  # fmt: skip
    x = KERAS.Flatten(name="flatten")(KERAS.MaxPool2D(2, name="pool")(x))
    x = lq.layers.QuantDense(8, kernel_regularizer="l2", name="dense", **BINARY)(x)
    return tf.keras.Model(image, KERAS.Dense(3, name="head")(x), name="residual")


def sequential():
    return tf.keras.Sequential([
        tf.keras.Input((8, 8, 3)),
        lq.layers.QuantConv2D(16, 3, kernel_quantizer="magnitude_aware_sign", kernel_constraint="weight_clip"),
        KERAS.BatchNormalization(),
        lq.layers.QuantConv2D(32, 3, 2, **BINARY),
        lq.layers.QuantConv2DTranspose(16, 3, **BINARY),
        KERAS.GlobalAveragePooling2D(),
        lq.layers.QuantDense(3, **BINARY),
    ], name="sequential")  # fmt: skip


def built_by_a_call():
    model = tf.keras.Sequential([lq.layers.QuantDense(16, **BINARY), lq.layers.QuantDense(3, **BINARY)])
    model(tf.zeros((1, 32)))
    return model


def nested():
    inner = tf.keras.Sequential([lq.layers.QuantConv2D(32, 3, **BINARY), KERAS.ReLU()], name="inner")
    image = tf.keras.Input((8, 8, 32))
    x = residual_body()(inner(image))
    return tf.keras.Model(image, KERAS.Dense(3)(KERAS.GlobalMaxPool2D()(x)), name="outer")


def residual_body():
    x = image = tf.keras.Input((6, 6, 32))
    x = KERAS.Add()([x, lq.layers.QuantConv2D(32, 3, padding="same", **BINARY)(KERAS.BatchNormalization()(x))])
    return tf.keras.Model(image, x, name="body")


def normalised():
    statistics = KERAS.Normalization(axis=-1, name="statistics")
    statistics.adapt(5 * np.random.standard_normal((64, 32)) + 3)
    return tf.keras.Sequential([tf.keras.Input((32,)), statistics, lq.layers.QuantDense(3, **BINARY)])


def with_two_inputs_and_outputs():
    a, b = tf.keras.Input((32,), name="a"), tf.keras.Input((32,), name="b")
    x = lq.layers.QuantDense(32, name="x", **BINARY)(KERAS.Concatenate(name="both")([a, b]))
    return tf.keras.Model([a, b], {"first": x, "second": lq.layers.QuantDense(2, name="y", **BINARY)(x)})


def with_shared_float_layer():
    image = tf.keras.Input((32,))
    shared = KERAS.Dense(32, name="shared")
    return tf.keras.Model(image, lq.layers.QuantDense(3, **BINARY)(shared(KERAS.ReLU()(shared(image)))))


def with_calls_on_tensors():
    image = tf.keras.Input((4, 4, 32))
    x = tf.nn.relu(lq.layers.QuantConv2D(32, 1, **BINARY)(inputs=image)) + image[..., ::-1]
    return tf.keras.Model(image, lq.layers.QuantConv2D(32, 1, **BINARY)(tf.reshape(x, (-1, 2, 8, 32))))


def with_a_network_of_the_zoo():
    body = zoo.ResNet20(input_shape=(8, 8, 3), include_top=False, self_distribution=None)
    return tf.keras.Sequential([tf.keras.Input((8, 8, 3)), body, KERAS.Flatten(), KERAS.Dense(3)])


STRANGERS = [
    residual, sequential, built_by_a_call, nested, normalised, with_two_inputs_and_outputs, with_shared_float_layer,
    with_calls_on_tensors, with_a_network_of_the_zoo,
]  # fmt: skip


def some_inputs(model):
    draw = np.random.RandomState(2)
    return [draw.standard_normal((3, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]


def outputs(model, inputs):
    return [np.asarray(y) for y in tf.nest.flatten(model(inputs if len(inputs) > 1 else inputs[0]))]


@pytest.mark.parametrize("mode", ["dynamic", "static"])
@pytest.mark.parametrize("build", STRANGERS, ids=lambda build: build.__name__)
def test_without_shifts_the_model_is_as_before(build, mode):
    model = build()
    for weight in model.weights:
        weight.assign(np.random.uniform(0.5, 1.5, weight.shape) if "variance" in weight.name else
                      np.random.standard_normal(weight.shape))  # fmt: skip
    for layer in parts(model, KERAS.Layer):
        layer.finalize_state()
    x, before = some_inputs(model), model.get_weights()
    expected = outputs(model, x)
    changed = self_distribute(model, mode, reduction=8)
    assert type(changed) is type(model)
    assert any((a != b).any() for a, b in zip(outputs(changed, x), expected))
    vanish(changed)
    for a, b in zip(outputs(changed, x), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for weight in changed.weights:
        weight.assign(tf.zeros_like(weight))
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)  # the weights of its own


def test_what_is_changed():
    changed = self_distribute(residual(), reduction=4)
    assert changed.self_distributed.activation == ("conv", "depthwise", "separable", "dense")
    assert changed.self_distributed.weight == ("conv", "depthwise", "separable", "dense")
    names = [layer.name for layer in changed.layers]
    for name in changed.self_distributed.activation:
        assert f"{name}_asd" in names
        assert changed.get_layer(f"{name}_asd").reduction == 4
    alphas = {name: changed.get_layer(name).kernel_quantizer.alpha.shape for name in ("conv", "dense")}
    assert alphas == {"conv": (1, 1, 1, 16), "dense": (1, 8)}
    assert changed.get_layer("depthwise").depthwise_quantizer.alpha.shape == (1, 1, 16, 1)
    assert changed.get_layer("separable").depthwise_quantizer.alpha.shape == (1, 1, 16, 1)
    assert changed.get_layer("separable").pointwise_quantizer.alpha.shape == (1, 1, 1, 16)
    conv, float_conv = changed.get_layer("conv"), changed.get_layer("float")
    assert (conv.padding, conv.pad_values) == ("same", 1.0)
    assert isinstance(conv.input_quantizer, lq.quantizers.SteSign)
    assert isinstance(conv.kernel_constraint, lq.constraints.WeightClip)
    assert changed.get_layer("depthwise").depthwise_quantizer.quantizer.clip_value == 1.25
    assert changed.get_layer("dense").kernel_regularizer is not None
    assert float_conv.kernel_quantizer is None


@pytest.mark.parametrize(
    ("arguments", "activation", "weight"),
    [
        ({"activation": None}, (), ("conv", "depthwise", "separable", "dense")),
        ({"weight": False, "activation": "static"}, ("conv", "depthwise", "separable", "dense"), ()),
        ({"layers": ["dense", "conv"]}, ("conv", "dense"), ("conv", "dense")),
        ({"layers": ("separable",), "activation": None}, (), ("separable",)),
    ],
)
def test_what_is_asked_for_is_changed(arguments, activation, weight):
    model = residual()
    changed = self_distribute(model, **arguments)
    assert changed.self_distributed == ChangedLayers(activation, weight)
    assert {layer.name.removesuffix("_asd") for layer in parts(changed, layers.ActivationSelfDistribution)} == {
        *activation
    }
    kernels = len(weight) + ("separable" in weight)  # which has two
    assert len(parts(changed, quantizers.WeightSelfDistribution)) == kernels
    np.testing.assert_array_equal(changed.get_layer("conv").kernel, model.get_layer("conv").kernel)


def test_a_shortcut_takes_what_is_not_shifted():
    """Only the convolution sees the shift: without it, the residual block is the identity."""
    image = tf.keras.Input((4, 4, 8))
    x = lq.layers.QuantConv2D(8, 1, name="conv", **BINARY)(image)
    model = tf.keras.Model(image, KERAS.Add()([KERAS.Rescaling(0.0)(x), image]))
    np.testing.assert_array_equal(self_distribute(model)(images(model)), images(model))


def test_frozen_layers_and_data_types_are_kept():
    def dense(name):
        options = {"input_quantizer": lq.quantizers.SteSign(dtype="float64"), "dtype": "float64", "name": name}
        return lq.layers.QuantDense(8, kernel_quantizer=lq.quantizers.SteSign(dtype="float64"), **options)

    model = tf.keras.Sequential([tf.keras.Input((8,), dtype="float64"), dense("frozen"), dense("free")])
    model.get_layer("frozen").trainable = False
    changed = self_distribute(model)
    learning = [weight.name.split("/")[0] for weight in changed.trainable_weights]
    assert learning[:4] == ["free_asd_squeeze", "free_asd_excite", "free", "free"]  # kernel and bias, then α
    assert len(learning) == 5
    assert {w.dtype for w in changed.weights} == {changed(images(changed)).dtype} == {tf.float64}


def test_losses_of_the_model_are_kept():
    image = tf.keras.Input((8,))
    x = lq.layers.QuantDense(8, name="dense", **BINARY)(image)
    model = tf.keras.Model(image, x)
    model.add_loss(tf.reduce_mean(tf.abs(x)))
    changed = self_distribute(model)
    changed(np.ones((2, 8), np.float32))
    assert len(changed.losses) == 1
    changed.compile("sgd")
    assert changed.train_on_batch(np.ones((2, 8), np.float32)) > 0


class WithStep(tf.keras.Model):
    def train_step(self, data):
        return {"own": 7.0}


def test_a_training_step_of_the_class_is_kept():
    image = tf.keras.Input((8,))
    changed = self_distribute(WithStep(image, lq.layers.QuantDense(8, **BINARY)(image)))
    changed.compile()
    assert changed.fit(np.ones((2, 8)), verbose=0).history == {"own": [7.0]}


def test_flip_ratio_is_kept():
    """Larq's metric of how many signs a step has turned."""
    with lq.context.metrics_scope(["flip_ratio"]):
        model = tf.keras.Sequential([lq.layers.QuantDense(64, input_shape=(64,), **BINARY)])
    model.compile("sgd", "mse")
    changed = self_distribute(model)
    changed.compile(tf.keras.optimizers.SGD(100.0), "mse")
    x, y = np.random.standard_normal((2, 32, 64))
    history = changed.fit(x, y, batch_size=8, verbose=0).history
    (ratio,) = (values[0] for name, values in history.items() if name.startswith("flip_ratio"))
    assert 0 < ratio < 1


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
@pytest.mark.parametrize("build", [residual, sequential, nested], ids=lambda build: build.__name__)
@pytest.mark.slow
def test_save_and_load(build, suffix, tmp_path):
    changed = self_distribute(build(), reduction=8)
    changed.compile("sgd", "mse")
    x = images(changed)
    changed.train_on_batch(x, np.ones((len(x), 3)))
    loaded = save_and_load(changed, tmp_path / f"model{suffix}")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), changed.predict(x, verbose=0))


def test_packed_files_do_not_know_how_keras_numbered_layers(tmp_path):
    model = self_distribute(sequential(), reduction=8)
    for weight in model.weights:
        weight.assign(np.random.uniform(0.5, 1.5, weight.shape))
    weights.save_packed(model, tmp_path / "packed.safetensors")
    KERAS.Dense(1), lq.layers.QuantConv2D(1, 1)  # Keras goes on numbering
    other = self_distribute(sequential(), reduction=8)
    weights.load_packed(other, tmp_path / "packed.safetensors")
    np.testing.assert_array_equal(other.predict_on_batch(images(model)), model.predict_on_batch(images(model)))


@pytest.mark.parametrize("target", ["lce", "openvino"])
@pytest.mark.parametrize("mode", ["dynamic", "static"])
@pytest.mark.slow
def test_export(target, mode, tmp_path):
    """Verified part by part, and every 1-bit convolution to the last bit."""
    pytest.importorskip({"lce": "larq_compute_engine", "openvino": "openvino"}[target])
    x = image = tf.keras.Input((16, 16, 32))
    for i in range(3):
        y = lq.layers.QuantConv2D(32, 3, padding="same", name=f"conv{i}", **BINARY)(x)
        x = KERAS.Add()([x, KERAS.BatchNormalization()(y)])
    model = tf.keras.Model(image, KERAS.Dense(5)(KERAS.GlobalAveragePooling2D()(x)))
    for weight in model.weights:
        weight.assign(np.random.uniform(0.5, 1.5, weight.shape) if "variance" in weight.name else
                      np.random.standard_normal(weight.shape))  # fmt: skip
    changed = self_distribute(model, mode)
    path = tmp_path / {"lce": "model.tflite", "openvino": "model.xml"}[target]
    assert getattr(convert, f"to_{target}")(changed, path).exact_layers == 3


@pytest.mark.parametrize("name", ["BiRealNet", "QuickNetSmall", "BinaryDenseNet28", "BinaryAlexNet"])
@pytest.mark.slow
def test_larq_zoo_to_lce(name, tmp_path):
    pytest.importorskip("larq_compute_engine")
    build = getattr(larq_zoo.sota, name, None) or getattr(larq_zoo.literature, name)
    model = self_distribute(build(weights=None, input_shape=(96, 96, 3), num_classes=10))
    # BinaryAlexNet's first kernel is of 1 bit, and its input is not.
    report = convert.to_lce(model, tmp_path / "model.tflite", allow_float=name == "BinaryAlexNet")
    assert report.exact_layers == LARQ_ZOO[name][1]


# --- Refusals ---


def one_dense(**kwargs):
    return tf.keras.Sequential([tf.keras.Input((8,)), lq.layers.QuantDense(8, name="dense", **kwargs)], name="one")


def shared_layer():
    image = tf.keras.Input((8,))
    dense = lq.layers.QuantDense(8, name="dense", **BINARY)
    return tf.keras.Model(image, dense(dense(image)))


def shared_model():
    image, body = tf.keras.Input((8,)), one_dense(**BINARY)
    return tf.keras.Model(image, body(body(image)))


class Block(KERAS.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = lq.layers.QuantDense(8, name="inner", **BINARY)

    def call(self, x):
        return self.inner(x)


def in_a_wrapper():
    inner = lq.layers.QuantDense(8, name="inner", **BINARY)
    return tf.keras.Sequential([tf.keras.Input((4, 8)), KERAS.TimeDistributed(inner, name="all")])


def with_activation(x):
    return tf.keras.Sequential([tf.keras.Input((8,)), x, lq.layers.QuantDense(8, **BINARY)])


def channels_first():
    return tf.keras.Sequential(
        [tf.keras.Input((8, 4, 4)), lq.layers.QuantConv2D(8, 1, data_format="channels_first", name="conv", **BINARY)]
    )


def locally_connected():
    return tf.keras.Sequential([tf.keras.Input((4, 4, 8)), lq.layers.QuantLocallyConnected2D(8, 1, name="l", **BINARY)])


class Uncopyable(KERAS.Layer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)

    def get_config(self):
        raise NotImplementedError


class OwnQuantizer(lq.quantizers.Quantizer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)

    def get_config(self):
        raise NotImplementedError


class WithConstructor(tf.keras.Model):
    def __init__(self, classes, name=None):
        image = tf.keras.Input((8,))
        super().__init__(image, lq.layers.QuantDense(classes, **BINARY)(image), name=name)


def inside_of_a_functional_model():
    image = tf.keras.Input((8,))
    return tf.keras.Model(image, WithConstructor(8, name="inner")(image))


SIGN = {"input_quantizer": "ste_sign"}


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (lambda: None, {}, "`model` must be a functional or built sequential model. Received: None."),
        (lambda: tf.keras.Sequential([KERAS.Dense(2)]), {}, "`model` must be a functional or built sequential model."),
        (lambda: WithConstructor(8), {}, r"must be made from inputs and outputs.* \(WithConstructor\)"),
        (lambda: one_dense(**BINARY), {"activation": "both"}, "`activation` must be .* Received: activation='both'."),
        (lambda: one_dense(**BINARY), {"activation": None, "weight": False}, "`activation` or `weight` must be given."),
        (lambda: one_dense(**BINARY), {"reduction": 0}, "`reduction` must be at least 1. Received: reduction=0."),
        (lambda: one_dense(**BINARY), {"layers": "dense"}, "`layers` must be a list of names .* layers='dense'."),
        (lambda: one_dense(**BINARY), {"layers": []}, r"`layers` must be a list of names .* layers=\[\]."),
        (lambda: one_dense(**BINARY), {"layers": ["x"]}, "must name layers of `model`. Received: 'x', .* no layer"),
        (one_dense, {}, "to change with the sign of its input, or activation=None .*: no layer with a quantizer."),
        (
            lambda: one_dense(**SIGN),
            {},
            "with a 1-bit kernel, or weight=False .*: 'dense' has input_quantizer SteSign.",
        ),
        (one_dense, {"layers": ["dense"]}, r"'dense' \(QuantDense\), which is not of 1 bit: no quantizer."),
        (lambda: one_dense(kernel_quantizer="ste_heaviside"), {"activation": None}, "a 1-bit kernel.*SteHeaviside"),
        (lambda: one_dense(kernel_quantizer="ste_tern"), {"activation": None}, "a 1-bit kernel.*SteTern of 2 bits"),
        (lambda: one_dense(kernel_quantizer=lq.quantizers.NoOp(1)), {"activation": None}, "a 1-bit kernel.*NoOp"),
        (shared_layer, {}, "'dense' .*, which is used 2 times."),
        (shared_model, {}, "'dense' .*, which is used 2 times."),
        (lambda: with_activation(Block(name="b")), {}, r"'b' \(Block\), which has the layer 'inner' inside."),
        (in_a_wrapper, {}, r"'all' \(TimeDistributed\), which has the layer 'inner' inside."),
        (
            lambda: with_activation(KERAS.Activation(lq.quantizers.SteSign(), name="a")),
            {},
            r"'a' \(Activation\), which takes a sign",
        ),
        (lambda: with_activation(lq.quantizers.SteSign(name="a")), {}, r"'a' \(SteSign\), which takes a sign"),
        (
            lambda: with_activation(KERAS.Dense(8, lq.quantizers.ApproxSign(), name="a")),
            {},
            r"'a' \(Dense\), which takes a sign",
        ),
        (
            lambda: with_activation(Uncopyable(3, name="a")),
            {},
            "`from_config` can copy. Received: 'a'",
        ),
        (
            lambda: one_dense(kernel_quantizer=OwnQuantizer(3, name="q")),
            {},
            r"can copy. Received: 'q' \(OwnQuantizer\)",
        ),
        (inside_of_a_functional_model, {}, "must be made from inputs and outputs.* 'inner'"),
        (channels_first, {}, "'conv' .*, with data_format='channels_first'."),
        (locally_connected, {}, "'l' .*, whose kernel has no axis of output channels."),
        (lambda: self_distribute(one_dense(**BINARY)), {}, "'dense' .*, whose input is shifted already."),
        (lambda: self_distribute(one_dense(**BINARY)), {"activation": None}, "'dense' .*, whose kernel is shifted alr"),
        (lambda: zoo.ResNet20(input_shape=(8, 8, 3)), {}, "'layer1_0_conv1' .*, whose input is shifted already."),
    ],
)
def test_refused_by_name(build, arguments, message):
    model = build()
    with pytest.raises(ValueError, match=message) as caught:
        self_distribute(model, **arguments)
    assert "\n" not in str(caught.value)
    assert is_foreseen(caught.value)
