"""The logits that a distilled network's loss needs, of models that end in different ways."""

import numpy as np
import pytest
import tensorflow as tf

from sdbnn_larq import zoo
from sdbnn_larq.training import with_logits


def ending_in(softmax):
    image = tf.keras.Input((3,))
    return tf.keras.Model(image, softmax(image))


@pytest.mark.parametrize(
    "model",
    [
        ending_in(tf.keras.layers.Softmax()),
        ending_in(tf.keras.layers.Activation("softmax")),
        ending_in(tf.keras.layers.Activation(tf.nn.softmax)),
        ending_in(tf.nn.softmax),
        ending_in(ending_in(tf.keras.layers.Softmax())),
        tf.keras.Sequential([tf.keras.Input((3,)), ending_in(tf.keras.layers.Activation("softmax"))]),
    ],
    ids=["layer", "activation", "function", "operation", "model", "sequential"],
)
def test_logits_are_what_a_softmax_takes(model):
    x = np.random.RandomState(5).standard_normal((4, 3)).astype(np.float32)
    probabilities, logits = with_logits(model)(x)
    np.testing.assert_array_equal(logits, x)
    np.testing.assert_allclose(probabilities, tf.nn.softmax(x), rtol=1e-6)


def test_logits_of_a_softmax_inside_a_layer():
    dense = tf.keras.layers.Dense(3, activation=tf.nn.softmax)
    x = np.random.RandomState(5).standard_normal((4, 3)).astype(np.float32)
    probabilities, logits = with_logits(ending_in(dense))(x)
    np.testing.assert_allclose(tf.nn.softmax(logits), probabilities, rtol=1e-6)
    assert not np.allclose(logits, probabilities)
    with pytest.raises(ValueError, match=r"softmax or in logits.* sigmoid"):
        with_logits(ending_in(tf.keras.layers.Dense(3, activation="sigmoid")))


@pytest.mark.parametrize(
    "after",
    [
        tf.keras.layers.Activation("linear"),
        tf.keras.layers.Reshape((3, 1)),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dropout(0.5),
        lambda x: tf.cast(x, tf.float16),
    ],
    ids=["linear", "reshape", "flatten", "dropout", "cast"],
)
@pytest.mark.parametrize("softmax", [tf.keras.layers.Softmax(), ending_in(tf.keras.layers.Softmax()), None])
def test_layers_that_keep_the_values_may_follow_a_softmax(softmax, after):
    """A teacher's probabilities taken for logits would teach almost nothing."""
    image = tf.keras.Input((3,))
    x = np.random.RandomState(5).standard_normal((4, 3)).astype(np.float32)
    output = after(softmax(image) if softmax else tf.keras.layers.Dense(3, kernel_initializer="identity")(image))
    _, logits = with_logits(tf.keras.Model(image, output))(x)
    expected = tf.nn.softmax(x)
    np.testing.assert_allclose(tf.nn.softmax(tf.reshape(tf.cast(logits, tf.float32), (4, 3))), expected, atol=1e-3)


def test_logits_of_the_zoo_are_those_before_the_softmax():
    images = np.random.RandomState(4).standard_normal((2, 32, 32, 3)).astype(np.float32)
    model = zoo.ResNet20()
    probabilities, logits = with_logits(model)(images)
    np.testing.assert_allclose(tf.nn.softmax(logits), probabilities, rtol=1e-6)
    assert np.abs(logits.numpy().sum(axis=-1)).max() > 1e-3
