"""Self-distribution brought to users' networks that were built without it."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from vanishing import images, parts, vanish

from sdbnn_larq import convert, layers, quantizers, self_distribute, weights, zoo
from sdbnn_larq.self_distribution import ChangedLayers

pytestmark = pytest.mark.usefixtures("memory_of_a_test")

KERAS = tf.keras.layers
BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}


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


class Shortcut(KERAS.Layer):
    """Two layers inside, of which one may be frozen."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = (KERAS.Dense(8, use_bias=False) for _ in range(2))

    def call(self, x):
        return x + self.second(self.first(x))


def with_frozen_part(layer, part):
    image = tf.keras.Input((5, 8))
    model = tf.keras.Model(image, lq.layers.QuantDense(3, **BINARY)(layer(image)))
    getattr(layer, part).trainable = False
    return model


@pytest.mark.parametrize(
    ("build", "part"),
    [(Shortcut, "first"), (lambda: KERAS.Bidirectional(KERAS.GRU(4)), "forward_layer")],
    ids=["own", "bidirectional"],
)
def test_what_is_frozen_inside_a_layer_is_kept(build, part):
    """Keras's configurations do not say what is frozen there, and its lists of weights begin with what is not."""
    model = with_frozen_part(build(), part)
    changed = self_distribute(model, "static")
    assert not getattr(changed.layers[1], part).trainable
    learning = [weight.name for weight in changed.layers[1].trainable_weights]
    assert len(learning) == len(model.layers[1].trainable_weights) < len(model.layers[1].weights)
    vanish(changed)
    np.testing.assert_array_equal(changed(images(model)), model(images(model)))


def test_frozen_models_are_kept():
    """A frozen model freezes its layers, whatever they say."""
    inner = tf.keras.Sequential([tf.keras.Input((8,)), KERAS.Dense(8, name="a"), KERAS.Dense(8, name="b")], name="in")
    model = tf.keras.Sequential([tf.keras.Input((8,)), inner, lq.layers.QuantDense(3, name="dense", **BINARY)])
    inner.trainable = False
    inner.get_layer("a").trainable = True
    changed = self_distribute(model)
    assert {weight.name.split("/")[0] for weight in model.trainable_weights} == {"dense"}
    learning = {weight.name.split("/")[0] for weight in changed.trainable_weights}
    assert "dense" in learning
    assert not {"a", "b"} & learning
    assert changed.get_layer("in").get_layer("a").trainable
    model.trainable = False
    model.get_layer("dense").trainable = True
    assert not self_distribute(model).trainable_weights


def test_quantizers_of_images_are_asked_with_images():
    """And those of kernels with kernels: some work for no other rank."""

    def sign_of_an_image(x):
        _, _, _, channels = x.shape
        return lq.quantizers.SteSign()(x) * tf.ones(channels)

    conv = lq.layers.QuantConv2D(8, 1, input_quantizer=sign_of_an_image, kernel_quantizer=sign_of_an_image, name="conv")
    changed = self_distribute(tf.keras.Sequential([tf.keras.Input((4, 4, 8)), conv]))
    assert changed.self_distributed == ChangedLayers(("conv",), ("conv",))


def test_masks_reach_what_comes_after_a_shift():
    image = tf.keras.Input((5, 8))
    x = lq.layers.QuantDense(8, **BINARY)(KERAS.Masking()(image))
    model = tf.keras.Model(image, KERAS.GlobalAveragePooling1D()(x))
    x = images(model)
    x[:, 3:] = 0
    for mode in ("static", "dynamic"):
        changed = self_distribute(model, mode, reduction=4)
        vanish(changed)
        np.testing.assert_array_equal(changed(x), model(x))


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
    changed.save(tmp_path / f"model{suffix}")
    loaded = tf.keras.models.load_model(tmp_path / f"model{suffix}")
    np.testing.assert_array_equal(loaded(x), changed(x))


def test_packed_files_do_not_know_how_keras_numbered_layers(tmp_path):
    model = self_distribute(sequential(), reduction=8)
    for weight in model.weights:
        weight.assign(np.random.uniform(0.5, 1.5, weight.shape))
    weights.save_packed(model, tmp_path / "packed.safetensors")
    KERAS.Dense(1), lq.layers.QuantConv2D(1, 1)  # Keras goes on numbering
    other = self_distribute(sequential(), reduction=8)
    weights.load_packed(other, tmp_path / "packed.safetensors")
    np.testing.assert_array_equal(other(images(model)), model(images(model)))


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
