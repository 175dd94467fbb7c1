"""Networks inside other models, as transfer learning builds them, in both exports."""

import numpy as np
import pytest
import tensorflow as tf
from exports import BINARY, SUFFIXES, export, randomised

from sdbnn_larq import convert, layers, zoo

# isort: split
import larq as lq  # needs the Keras that sdbnn_larq chooses

KERAS = tf.keras.layers


def body(name: str = "body", size: int = 16) -> tf.keras.Model:
    """A small network with the layers of the zoo, and two 1-bit convolutions."""
    image = tf.keras.Input((size, size, 3))
    x = KERAS.Conv2D(16, 3, name="conv")(image)
    for i in range(2):
        shortcut = x
        x = layers.ActivationSelfDistribution(name=f"asd{i}")(x)
        x = layers.SymmetricQuantConv2D(
            16, 3, input_quantizer="ede_sign", kernel_quantizer="ede_sign", use_bias=False, name=f"sd{i}"
        )(x)
        x = layers.HardTanh(name=f"clip{i}")(KERAS.Add(name=f"add{i}")([KERAS.BatchNormalization()(x), shortcut]))
    return tf.keras.Model(image, x, name=name)


def in_sequential():
    return tf.keras.Sequential([tf.keras.Input((16, 16, 3)), body(), KERAS.GlobalAveragePooling2D(), KERAS.Dense(3)])


def frozen():
    model = in_sequential()
    model.layers[0].trainable = False
    return model


def frozen_in_parts():
    model = in_sequential()
    for layer in model.layers[0].layers[:4]:
        layer.trainable = False
    return model


def in_functional():
    image = tf.keras.Input((16, 16, 3))
    x = KERAS.Rescaling(1 / 127.5, -1)(image)
    x = body()(x, training=False)
    x = KERAS.Dropout(0.2)(KERAS.GlobalMaxPooling2D()(x))
    return tf.keras.Model(image, KERAS.Dense(3, activation="softmax")(x))


def nested_twice():
    inner = tf.keras.Sequential([tf.keras.Input((16, 16, 3)), KERAS.RandomFlip(), body()], name="inner")
    image = tf.keras.Input((16, 16, 3))
    x = inner(KERAS.Rescaling([1.0, 2.0, 3.0], [0.5, 0.0, -0.5])(image))
    return tf.keras.Model(image, KERAS.Conv2D(3, 1)(KERAS.SpatialDropout2D(0.1)(x)))


def two_bodies():
    """Whose layers have the same names."""
    image = tf.keras.Input((16, 16, 3))
    normal = KERAS.Normalization(mean=[1.0, 2, 3], variance=[4.0, 5, 6])(image)
    x = KERAS.Add()([body("first")(image), body("second")(normal)])
    return tf.keras.Model(image, KERAS.Dense(3)(KERAS.GlobalAveragePooling2D()(x)))


def own_head():
    base = body()
    x = KERAS.Conv2D(16, 1, activation="relu")(base.output)
    x = lq.layers.QuantConv2D(8, 3, padding="valid", use_bias=False, **BINARY)(x)
    return tf.keras.Model(base.input, KERAS.Dense(3)(KERAS.Flatten()(x)))


def last_layer_twice():
    """Its second use is the output."""
    image = tf.keras.Input((16, 16, 3))
    dense = KERAS.Dense(16)
    x = lq.layers.QuantConv2D(16, 3, use_bias=False, **BINARY)(KERAS.Conv2D(32, 1)(image))
    return tf.keras.Model(image, dense(dense(KERAS.GlobalAveragePooling2D()(x))))


MODELS = (in_sequential, frozen, frozen_in_parts, in_functional, nested_twice, two_bodies, own_head, last_layer_twice)


@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
@pytest.mark.slow
def test_nested(target, tmp_path, build):
    model = randomised(build())
    before = [weight.numpy() for weight in model.weights]
    report = export(target, model, tmp_path)
    assert report.exact_layers == {"two_bodies": 4, "own_head": 3, "last_layer_twice": 1}.get(build.__name__, 2)
    images = np.random.default_rng(1).standard_normal((3, 16, 16, 3), np.float32)
    outputs = convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}").predict(images)
    expected = model(images, training=False).numpy()
    assert np.mean(np.abs(outputs - expected) > 1e-3 * np.ptp(expected)) < 0.1  # a bit may flip within rounding of 0
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(weight, value)
    model.get_layer(index=1).output  # noqa: B018  (the export leaves no second node behind)


@pytest.mark.slow
def test_network_of_the_zoo_in_a_classifier(target, tmp_path):
    base = zoo.ResNet20(include_top=False, input_shape=(32, 32, 3), weights="cifar10")
    base.trainable = False
    model = tf.keras.Sequential(
        [KERAS.Rescaling(1 / 64, -2, input_shape=(32, 32, 3)), base, KERAS.Flatten(), KERAS.Dense(3)]
    )
    assert export(target, model, tmp_path).exact_layers == 18


@pytest.mark.slow
def test_preprocessing_in_front_of_input_tensor(target, tmp_path):
    image = tf.keras.Input((32, 32, 3))
    model = zoo.ResNet20(input_tensor=KERAS.Rescaling(1 / 64, -2)(image), weights="cifar10")
    assert export(target, model, tmp_path).exact_layers == 18


class Subclassed(tf.keras.Model):
    def call(self, x):
        return x + 1


def shared():
    base, image = body(), tf.keras.Input((16, 16, 3))
    return tf.keras.Model(image, KERAS.Add()([base(image), base(KERAS.ReLU()(image))]))


def with_two_outputs():
    base, image = body(), tf.keras.Input((16, 16, 3))
    forked = tf.keras.Model(base.input, [base.output, base.layers[1].output], name="forked")
    return tf.keras.Model(image, forked(image)[0])


def with_subclassed():
    image = tf.keras.Input((16, 16, 3))
    return tf.keras.Model(image, Subclassed(name="own")(image))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (shared, r"'body', which is used twice\.$"),
        (with_two_outputs, r"'forked', with 1 inputs and 2 outputs\.$"),
        (with_subclassed, r"'own', which is subclassed\.$"),
    ],
)
def test_refused_by_name(target, tmp_path, build, reason):
    with pytest.raises(ValueError, match=reason):
        export(target, build(), tmp_path)
    assert not list(tmp_path.iterdir())
