import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from sdbnn_larq.layers import ActivationSelfDistribution, HardTanh, SymmetricMaxPool2D, SymmetricQuantConv2D


def draw(*shape):
    return np.random.standard_normal(shape).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class TestActivationSelfDistribution:
    @pytest.mark.parametrize("spatial", [(5,), (5, 4)])
    def test_masked_steps_are_not_part_of_the_mean(self, spatial):
        a = draw(3, *spatial, 8)
        layer = ActivationSelfDistribution(4)
        layer.build(a.shape)
        mask = np.arange(5) < np.array([[5], [2], [0]])
        y = layer(a, mask=mask).numpy()
        for i, steps in enumerate((5, 2)):
            np.testing.assert_allclose(
                (y - a)[i, 0], (layer(a[i : i + 1, :steps]) - a[i : i + 1, :steps])[0, 0], atol=1e-6
            )
        np.testing.assert_allclose((y - a)[2], np.full((*spatial, 8), 0.5), atol=1e-6)

    def test_initial_values_may_be_a_function(self):
        layer = ActivationSelfDistribution(4, kernel_initializer=lambda shape, dtype=None: tf.fill(shape, 2.0))
        layer.build((None, 8))
        assert {value for weight in layer.get_weights() for value in weight.flat} == {2.0}

    @pytest.mark.parametrize("spatial", [(), (5,), (4, 5), (2, 3, 4)])
    @pytest.mark.parametrize(("channels", "reduction", "hidden"), [(16, 4, 4), (10, 4, 2), (3, 16, 1), (5, 1, 5)])
    def test_dynamic(self, spatial, channels, reduction, hidden):
        a = np.abs(draw(2, *spatial, channels))
        layer = ActivationSelfDistribution(reduction)
        layer.build(a.shape)
        squeeze, excite = np.abs(draw(channels, hidden)), draw(hidden, channels)  # no hidden unit is dead
        for weight, value in zip(layer.trainable_weights, (squeeze, excite), strict=True):
            weight.assign(value)
        y = layer(a).numpy()
        axes = tuple(range(1, a.ndim - 1))
        shift = sigmoid(np.maximum(a.mean(axes, keepdims=True) @ squeeze, 0) @ excite)
        assert not np.allclose(shift[0], shift[1])
        np.testing.assert_allclose(y, a + shift, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("spatial", [(), (5,), (4, 5), (2, 3, 4)])
    def test_static(self, spatial):
        a = draw(2, *spatial, 6)
        layer = ActivationSelfDistribution(mode="static")
        np.testing.assert_allclose(layer(a), a + 0.5, rtol=1e-6)
        (beta,) = layer.trainable_weights
        beta.assign(draw(6))
        np.testing.assert_allclose(layer(a), a + sigmoid(beta.numpy()), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("mode", ["dynamic", "static"])
    @pytest.mark.parametrize("large", [16.0, 16.6, 17.0, 40.0])  # a sigmoid in float32 is 1 from about 16.6 on
    def test_an_activation_of_minus_1_keeps_its_sign(self, mode, large):
        layer = ActivationSelfDistribution(reduction=1, mode=mode)
        layer.build((None, 3, 3, 2))
        values = [-np.eye(2), large * np.eye(2)] if mode == "dynamic" else [[large, large]]
        for weight, value in zip(layer.weights, values, strict=True):
            weight.assign(value)
        y = layer(-np.ones((1, 3, 3, 2), np.float32))
        assert np.all((y > -2e-7) & (y < 0))

    def test_unknown_sizes(self):
        inputs = tf.keras.Input((None, None, 6))
        layer = ActivationSelfDistribution(2)
        model = tf.keras.Model(inputs, layer(inputs))
        assert model.output_shape == (None, None, None, 6)
        a = draw(2, 4, 3, 6)
        np.testing.assert_array_equal(model(a), layer(a))

    def test_summary(self):
        model = tf.keras.Sequential([tf.keras.Input((8, 8, 32)), ActivationSelfDistribution(16)])
        profile = lq.models.ModelProfile(model)
        assert profile.weight_count(32) == 2 * 32 * 2
        assert profile.op_count("mac", 32) == 2 * 32 * 2

    @pytest.mark.parametrize("shape", [(None,), (None, None), (None, 8, 8, None), None])
    def test_shape_it_cannot_serve(self, shape):
        with pytest.raises(ValueError, match=r"\(batch, \.\.\., channels\) with known channels. Received: shape"):
            ActivationSelfDistribution().build(shape)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"mode": "moving"},
            {"reduction": 0},
            {"reduction": -2},
            {"reduction": 2.5},
            {"reduction": True},
            {"reduction": "a"},
        ],
    )
    def test_wrong_argument(self, arguments):
        ((name, value),) = arguments.items()
        with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}={value!r}"):
            ActivationSelfDistribution(**arguments)


LAYERS = {
    "dynamic": lambda **kwargs: ActivationSelfDistribution(4, **kwargs),
    "static": lambda **kwargs: ActivationSelfDistribution(mode="static", **kwargs),
    "hard tanh": HardTanh,
    "max-pool": lambda **kwargs: SymmetricMaxPool2D(3, 2, padding="SAME", **kwargs),
    "convolution": lambda **kwargs: SymmetricQuantConv2D(
        4, 3, 2, padding="same", input_quantizer="ede_sign", kernel_quantizer="wsd_sign", **kwargs
    ),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, dtype) for name in LAYERS for dtype in ("float32", "float64")),
        # The others refuse it: see test_precision.py.
        *((name, dtype) for name in ("hard tanh", "max-pool") for dtype in ("float16", "mixed_float16")),
    ],
)
def test_config_keeps_what_every_layer_has(name, dtype):
    layer = LAYERS[name](dtype=tf.keras.mixed_precision.Policy(dtype), trainable=False, name="mine")
    again = type(layer).from_config(layer.get_config())
    assert (again.name, again.dtype_policy.name, again.trainable) == ("mine", dtype, False)
    assert again.get_config() == layer.get_config()
    again.build((None, 8, 8, 16))
    assert again.trainable_weights == []
    assert {w.dtype.base_dtype.name for w in again.weights} <= {again.variable_dtype}
    if name != "convolution" or dtype == "float32":  # Larq's quantizers follow Keras's global policy, and say so
        assert again(draw(2, 8, 8, 16)).dtype == again.compute_dtype
    for inner in again._flatten_layers():
        assert inner.trainable is False or isinstance(inner, lq.quantizers.Quantizer)
    again.trainable = True
    assert {w.ref() for w in again.trainable_weights} == {w.ref() for w in again.weights}


def test_hard_tanh():
    x = tf.constant([-2.0, -1.001, -0.999, 0.0, 0.25, 0.999, 1.001, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = HardTanh()(x)
        loss = tf.reduce_sum(y * tf.range(1.0, 9.0))
    np.testing.assert_array_equal(y, np.clip(x, -1, 1))
    np.testing.assert_array_equal(tape.gradient(loss, x), [0, 0, 3, 4, 5, 6, 0, 0])


def sign(x):
    return np.where(x >= 0, 1, -1).astype(np.float32)


def pad(x, kernel_size, value):
    n = (kernel_size - 1) // 2
    return np.pad(x, ((0, 0), (n, n), (n, n), (0, 0)), constant_values=value)


def in_model(layer, x, static):
    shape = x.shape[1:] if static else (None, None, x.shape[-1])
    return tf.keras.Sequential([tf.keras.Input(shape), layer])


SIZES = [(7, 7), (8, 8), (9, 6), (10, 5), (1, 2)]
STRIDES = [1, 2, 3, (2, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_convolution(size, strides, kernel_size):
    """Padded as PyTorch pads, with zeros after the sign."""
    x = draw(2, *size, 3)
    for binary in (False, True):
        quantizer = "ede_sign" if binary else None
        layer = SymmetricQuantConv2D(
            4, kernel_size, strides, input_quantizer=quantizer, kernel_quantizer=quantizer and "ste_sign"
        )
        models = [in_model(layer, x, static) for static in (True, False)]
        kernel = draw(kernel_size, kernel_size, 3, 4)
        layer.set_weights([kernel, draw(4)])
        padded, kernel = (sign(x), sign(kernel)) if binary else (x, kernel)
        padded = pad(padded, kernel_size, 0)
        expected = tf.nn.conv2d(padded, kernel, strides, "VALID").numpy() + layer.bias.numpy()
        for model in models:
            for training in (False, True):
                np.testing.assert_allclose(model(x, training=training), expected, rtol=1e-5, atol=1e-5)
        assert models[0].output_shape == (None, *expected.shape[1:])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("pool_size", [1, 3])
def test_max_pool(size, strides, pool_size):
    x = draw(2, *size, 3) - 5  # negative, so that a zero would win
    layer = SymmetricMaxPool2D(pool_size, strides)
    expected = tf.nn.max_pool2d(pad(x, pool_size, -np.inf), pool_size, strides, "VALID").numpy()
    for static in (True, False):
        np.testing.assert_array_equal(in_model(layer, x, static)(x), expected)


@pytest.mark.parametrize("size", SIZES[:3])
def test_stride_2_against_pytorch(size):
    torch = pytest.importorskip("torch")
    x = draw(2, *size, 3)
    nchw = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    layer = SymmetricQuantConv2D(4, 3, 2, input_quantizer="ste_sign", use_bias=False)
    y = layer(x)
    kernel = torch.from_numpy(layer.kernel.numpy().transpose(3, 2, 0, 1).copy())
    expected = torch.nn.functional.conv2d(torch.from_numpy(sign(nchw.numpy())), kernel, stride=2, padding=1)
    np.testing.assert_allclose(y, expected.numpy().transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-5)
    expected = torch.nn.functional.max_pool2d(nchw, 3, 2, 1).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(SymmetricMaxPool2D(3, 2)(x), expected)


@pytest.mark.parametrize("training", [False, True])
def test_convolution_gradient(training):
    x, kernel = tf.constant(draw(2, 8, 6, 3)), draw(3, 3, 3, 4)
    layer = SymmetricQuantConv2D(4, 3, 2, use_bias=False)
    layer(x)
    layer.set_weights([kernel])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, expected = (
            layer(x, training=training),
            tf.nn.conv2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), layer.kernel, 2, "VALID"),
        )
        losses = [tf.reduce_sum(v**2) for v in (y, expected)]
    for source in (x, layer.kernel):
        gradients = [tape.gradient(loss, source) for loss in losses]
        np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SymmetricQuantConv2D(4, 5), r"window of 1 or 3 pixels without dilation. Received: \(5, 5\)"),
        (lambda: SymmetricQuantConv2D(4, (1, 2)), r"Received: \(1, 2\)"),
        (lambda: SymmetricQuantConv2D(4, 3, dilation_rate=2), r"Received: \(3, 3\), dilation \(2, 2\)"),
        (lambda: SymmetricQuantConv2D(4, 3, data_format="channels_first"), "Received: data_format='channels_first'"),
        (lambda: SymmetricQuantConv2D(4, 3, padding="valid"), '`padding` must be "same".* Received: padding=.valid.'),
        (lambda: SymmetricQuantConv2D(4, 3, padding="causal"), "padding"),
        (lambda: SymmetricQuantConv2D(4, 3, pad_values=1.0), r"`pad_values` must be 0. Received: pad_values=1.0"),
        (lambda: SymmetricMaxPool2D(3, padding="valid"), '`padding` must be "same".* Received: padding=.valid.'),
        (lambda: SymmetricMaxPool2D(2), r"SymmetricMaxPool2D must .* Received: \(2, 2\)"),
        (lambda: SymmetricMaxPool2D(3, data_format="channels_first"), "Received: data_format='channels_first'"),
    ],
)
def test_wrong_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_gradient_of_many_channels_in_groups():
    """Keras's own policy takes the convolution's faster gradient, which knows no groups."""
    layer = SymmetricQuantConv2D(256, 3, groups=2, dtype="mixed_bfloat16")
    x = np.random.RandomState(0).standard_normal((2, 4, 4, 256)).astype(np.float32)
    with tf.GradientTape(persistent=True) as tape:
        y = tf.reduce_sum(layer(x))
        expected = tf.reduce_sum(tf.nn.conv2d(x, layer.kernel, 1, "SAME"))
    gradient, expected = tape.gradient(y, layer.kernel), tape.gradient(expected, layer.kernel)
    np.testing.assert_allclose(gradient, expected, rtol=0.02, atol=0.2)
