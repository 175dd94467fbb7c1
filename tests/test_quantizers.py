import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from sdbnn_larq.callbacks import EDESchedule
from sdbnn_larq.quantizers import EDESign, WeightSelfDistribution, ede_sign


def gradient_of(function, *inputs):
    """Value of the function, and its gradients weighted by 1, 2, 3, …"""
    inputs = [tf.convert_to_tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = function(*inputs)
        loss = tf.reduce_sum(y * weighting(y.shape))
    return y.numpy(), [g.numpy() for g in tape.gradient(loss, inputs)]


def weighting(shape):
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)


class TestEDESign:
    @pytest.mark.parametrize(("t", "k"), [(0.25, 4.0), (1.0, 1.0), (7.5, 0.5)])
    def test_sign_and_pseudo_gradient(self, t, k):
        x = np.array([-3.0, -0.5, -1e-7, -0.0, 0.0, 1e-7, 0.5, 3.0], np.float32)
        expected = weighting(x.shape) * k * t * (1 - np.tanh(t * x) ** 2)
        for function in (EDESign(t=t, k=k), lambda x: ede_sign(x, t, k)):
            y, (gradient,) = gradient_of(function, x)
            np.testing.assert_array_equal(y, [-1, -1, -1, 1, 1, 1, 1, 1])
            np.testing.assert_allclose(gradient, expected, rtol=1e-4)

    def test_k_follows_t(self):
        assert [EDESign(t=t).get_config()["k"] for t in (0.25, 1.0, 10.0)] == [4.0, 1.0, 1.0]

    def test_assigning_takes_effect_without_retracing(self):
        quantizer, traces = EDESign(), []

        @tf.function
        def slope_at_zero(t=None):
            traces.append(t)
            if t is not None:
                quantizer.t.assign(t)
                quantizer.k.assign(3.0)
            x = tf.zeros(1)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = quantizer(x)
            return tape.gradient(y, x)[0]

        assert slope_at_zero() == 1.0
        quantizer.t.assign(0.5)
        assert slope_at_zero() == 0.5
        quantizer.k.assign(8.0)
        assert slope_at_zero() == 4.0
        assert len(traces) == 1
        assert slope_at_zero(tf.constant(2.0)) == 6.0
        assert slope_at_zero(tf.constant(4.0)) == 12.0
        assert quantizer.t.numpy() == 4.0
        assert len(traces) == 2

    @pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
    @pytest.mark.parametrize("name", ["t", "k"])
    def test_not_positive(self, name, value):
        with pytest.raises(ValueError, match=f"`{name}` must be greater than 0 and finite. Received: {name}={value}"):
            EDESign(**{name: value})

    def test_config(self):
        quantizer = EDESign(t=0.5, k=3.0, name="q")
        quantizer.t.assign(0.75)
        again = lq.quantizers.get(lq.quantizers.serialize(quantizer))
        assert isinstance(again, EDESign)
        assert (again.t.numpy(), again.k.numpy(), again.name) == (0.75, 3.0, "q")


LAYERS = {
    "conv1d": (lambda q: lq.layers.QuantConv1D(4, 3, kernel_quantizer=q), (8, 3), (1, 1, 4)),
    "conv2d": (lambda q: lq.layers.QuantConv2D(4, 3, kernel_quantizer=q), (8, 8, 3), (1, 1, 1, 4)),
    "conv3d": (lambda q: lq.layers.QuantConv3D(4, 3, kernel_quantizer=q), (5, 5, 5, 3), (1, 1, 1, 1, 4)),
    "dense": (lambda q: lq.layers.QuantDense(4, kernel_quantizer=q), (5,), (1, 4)),
    "depthwise": (
        lambda q: lq.layers.QuantDepthwiseConv2D(3, depth_multiplier=2, depthwise_quantizer=q),
        (8, 8, 3),
        (1, 1, 3, 2),
    ),
    "conv2d_transpose": (
        lambda q: lq.layers.QuantConv2DTranspose(4, 3, kernel_quantizer=q),
        (8, 8, 3),
        (1, 1, 4, 1),
    ),
    "conv3d_transpose": (
        lambda q: lq.layers.QuantConv3DTranspose(4, 3, kernel_quantizer=q),
        (4, 4, 4, 3),
        (1, 1, 1, 4, 1),
    ),
}


class TestWeightSelfDistribution:
    @pytest.mark.parametrize("name", LAYERS)
    @pytest.mark.parametrize("inner", ["ede_sign", "ste_sign"])
    def test_value_and_gradient_in_layer(self, name, inner):
        make, input_shape, alpha_shape = LAYERS[name]
        scale = 2.0  # so large that it flips signs
        quantizer = WeightSelfDistribution(EDESign(t=0.5, k=3.0) if inner == "ede_sign" else inner, scale)
        layer = make(quantizer)
        layer(np.zeros((1, *input_shape), np.float32))
        assert tuple(quantizer.alpha.shape) == alpha_shape
        assert any(w is quantizer.alpha for w in layer.trainable_weights)
        np.testing.assert_array_equal(quantizer.alpha, np.zeros(alpha_shape))

        latent = (layer.depthwise_kernel if name == "depthwise" else layer.kernel).latent_variable
        kernel = np.random.standard_normal(latent.shape).astype(np.float32)
        alpha = np.random.standard_normal(alpha_shape).astype(np.float32)
        latent.assign(kernel)
        quantizer.alpha.assign(alpha)
        value, (kernel_gradient, alpha_gradient) = gradient_of(
            lambda kernel, _: quantizer(kernel), latent, quantizer.alpha
        )

        axes = tuple(axis for axis, n in enumerate(alpha_shape) if n == 1)
        mean = kernel.mean(axes, keepdims=True)
        share = 1 / (1 + np.exp(-alpha))
        shifted = kernel + share * scale * mean
        slope = 1.5 * (1 - np.tanh(0.5 * shifted) ** 2) if inner == "ede_sign" else np.abs(shifted) <= 1
        upstream = weighting(kernel.shape) * slope
        assert (np.sign(shifted) != np.sign(kernel)).any()
        np.testing.assert_array_equal(value, np.sign(shifted))
        np.testing.assert_allclose(kernel_gradient, upstream, rtol=1e-4)  # none through the mean
        expected = (upstream * scale * mean).sum(axes, keepdims=True) * share * (1 - share)
        np.testing.assert_allclose(alpha_gradient, expected, rtol=1e-4)

    def test_separable_convolution(self):
        layer = lq.layers.QuantSeparableConv2D(
            4, 3, depth_multiplier=2, depthwise_quantizer="wsd_sign", pointwise_quantizer="wsd_sign"
        )
        layer(np.zeros((1, 8, 8, 3), np.float32))
        assert tuple(layer.depthwise_quantizer.alpha.shape) == (1, 1, 3, 2)
        assert tuple(layer.pointwise_quantizer.alpha.shape) == (1, 1, 1, 4)

    def test_scale_of_the_authors(self):
        """At α = 0 the shift is half a hundredth of the mean, here 1."""
        kernel = np.array([[-0.0051, -0.0049, 3.01]], np.float32).T
        np.testing.assert_array_equal(WeightSelfDistribution()(kernel).numpy().ravel(), [-1, 1, 1])

    @pytest.mark.parametrize("quantizer", ["dorefa_quantizer", lq.quantizers.DoReFa(3), None])
    def test_more_than_one_bit(self, quantizer):
        with pytest.raises(ValueError, match="must be a 1-bit quantizer"):
            WeightSelfDistribution(quantizer)

    @pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
    def test_scale(self, scale):
        with pytest.raises(ValueError, match=f"`scale` must be 0 or more and finite. Received: scale={scale}"):
            WeightSelfDistribution(scale=scale)

    def test_channel_axes_that_a_kernel_does_not_have(self):
        with pytest.raises(ValueError, match=r"of the kernel, of shape \(3, 4\)\. Received: channel_axes=\(-3,\)"):
            WeightSelfDistribution(channel_axes=(-3,))(tf.ones((3, 4)))

    @pytest.mark.parametrize("axes", [(), (3,), (-2, 0)])
    def test_channel_axes_that_are_not_negative(self, axes):
        with pytest.raises(ValueError, match=r"`channel_axes` must be negative integers. Received: channel_axes=\("):
            WeightSelfDistribution(channel_axes=axes)

    @pytest.mark.parametrize("name", ["depthwise", "conv2d_transpose", "conv3d_transpose"])
    @pytest.mark.parametrize("given", ["alias", "named", "explicit"])
    def test_channel_axes_of_a_layer(self, name, given):
        """Whatever the layer is called, however it is used first, unless they are given."""
        make, input_shape, alpha_shape = LAYERS[name]
        quantizer = {"alias": "wsd_sign", "named": "wsd_sign", "explicit": WeightSelfDistribution(channel_axes=(-1,))}[
            given
        ]
        layer = make(quantizer)
        if given == "named":
            layer = type(layer).from_config({**layer.get_config(), "name": "up"})
        layer.build((None, *input_shape))
        outside = layer.depthwise_kernel if name == "depthwise" else layer.kernel
        with lq.context.quantized_scope(True):
            outside.read_value()
        used = layer.depthwise_quantizer if name == "depthwise" else layer.kernel_quantizer
        if given == "explicit":
            assert used.channel_axes == (-1,)
            alpha_shape = (*[1] * (len(alpha_shape) - 1), outside.shape[-1])
        assert tuple(used.alpha.shape) == alpha_shape

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("make", [EDESign, WeightSelfDistribution])
    def test_config_keeps_dtype_and_frozenness(self, make, dtype):
        quantizer = make(dtype=tf.keras.mixed_precision.Policy(dtype), trainable=False, name="q")
        again = lq.quantizers.get(lq.quantizers.serialize(quantizer))
        assert (again.dtype_policy.name, again.trainable, again.name) == (dtype, False, "q")

    @pytest.mark.parametrize("frozen", ["layer", "quantizer"])
    def test_frozen(self, frozen):
        layer = lq.layers.QuantDense(4, kernel_quantizer="wsd_sign", use_bias=False)
        layer.build((None, 3))
        with lq.context.quantized_scope(True):
            layer.kernel.read_value()
        (layer if frozen == "layer" else layer.kernel_quantizer).trainable = False
        alpha = layer.kernel_quantizer.alpha
        assert not any(w is alpha for w in layer.trainable_weights)
        assert any(w is alpha for w in layer.non_trainable_weights)
        assert len(layer.trainable_weights) == (frozen == "quantizer")

    def test_kernel_that_does_not_fit(self):
        shared = WeightSelfDistribution()
        layers = [lq.layers.QuantDense(n, kernel_quantizer=shared) for n in (4, 5)]
        layers[0](np.zeros((1, 3), np.float32))
        with pytest.raises(ValueError, match=r"shape \(3, 5\) must match α of shape \(1, 4\)"):
            layers[1](np.zeros((1, 3), np.float32))

    def test_config(self):
        quantizer = WeightSelfDistribution("ste_sign", 0.5, (-2, -1))
        again = lq.quantizers.get(lq.quantizers.serialize(quantizer))
        assert isinstance(again, WeightSelfDistribution)
        assert isinstance(again.quantizer, lq.quantizers.SteSign)
        assert (again.scale, tuple(again.channel_axes)) == (0.5, (-2, -1))


def binary_model():
    return tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 3)),
            lq.layers.QuantConv2D(4, 3, input_quantizer="ede_sign", kernel_quantizer="wsd_sign", use_bias=False),
            tf.keras.layers.Flatten(),
            lq.layers.QuantDense(2, input_quantizer="ede_sign", kernel_quantizer="wsd_sign", use_bias=False),
        ]
    )


def test_aliases():
    convolution = binary_model().layers[0]
    assert isinstance(convolution.input_quantizer, EDESign)
    assert isinstance(convolution.kernel_quantizer, WeightSelfDistribution)
    assert isinstance(convolution.kernel_quantizer.quantizer, EDESign)


def test_t_and_k_are_no_weights():
    model = binary_model()
    sizes = [3 * 3 * 3 * 4, 4, 6 * 6 * 4 * 2, 2]  # kernel, α, kernel, α
    assert [int(np.prod(w.shape)) for w in model.weights] == sizes
    assert len(model.trainable_weights) == 4
    assert model.count_params() == sum(sizes)
    profile = lq.models.ModelProfile(model)
    assert profile.weight_count(1) == sizes[0] + sizes[2]
    assert profile.weight_count(32) == 4 + 2
    assert profile.op_count("mac", 1) == 36 * sizes[0] + sizes[2]
    assert profile.op_count("mac", 32) == 0


def test_distribution_strategy():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        model = binary_model()
        model.compile("sgd", "mse")
    x, y = np.random.standard_normal((8, 8, 8, 3)).astype(np.float32), np.zeros((8, 2), np.float32)
    before = model.layers[0].kernel_quantizer.alpha.numpy()
    model.fit(x, y, epochs=2, batch_size=4, verbose=0, callbacks=[EDESchedule(0.1, 10.0, 2)])
    assert np.abs(model.layers[0].kernel_quantizer.alpha.numpy() - before).max() > 0
    quantizer = model.layers[0].input_quantizer
    np.testing.assert_allclose(quantizer.t.numpy(), 1.0)

    @tf.function
    def sharpen():  # in the context of a replica
        quantizer.t.assign(quantizer.t * 3.0)
        return quantizer.t.read_value()

    np.testing.assert_allclose(strategy.run(sharpen), 3.0)
