"""What self-distribution cannot be brought to is refused by name."""

import larq as lq
import pytest
import tensorflow as tf

from sdbnn_larq import self_distribute, zoo
from sdbnn_larq._errors import is_foreseen

KERAS = tf.keras.layers
BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}


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


class OwnSign(KERAS.Layer):
    """Takes a sign, or has a quantized kernel of another name."""

    def __init__(self, name, **quantizers):
        super().__init__(name=name)
        for key, quantizer in quantizers.items():
            setattr(self, key, quantizer)

    def call(self, x):
        return x


def with_vocabulary():
    words = tf.keras.Input((), dtype="string")
    lookup = KERAS.StringLookup(output_mode="one_hot", name="words")
    lookup.adapt(["a", "b"])
    return tf.keras.Model(words, lq.layers.QuantDense(8, **BINARY)(lookup(words)))


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
        (lambda: one_dense(**BINARY), {"reduction": 0}, "`reduction` must be an integer of .* reduction=0."),
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
            lambda: with_activation(OwnSign("a", sign=lq.quantizers.SteSign(name="q"))),
            {},
            r"'a' \(OwnSign\), which has the quantizer 'q' inside.",
        ),
        (
            lambda: with_activation(OwnSign("a", kernel_quantizer=lq.quantizers.SteSign())),
            {},
            r"'a' \(OwnSign\), which has a kernel_quantizer, but no kernel.",
        ),
        (with_vocabulary, {}, r"weights follow from their configuration\. Received: 'words' \(StringLookup\)"),
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
