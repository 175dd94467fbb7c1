import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from sdbnn_larq.callbacks import EDESchedule, ede_parameters
from sdbnn_larq.quantizers import EDESign


def parameters(epoch, epochs, t_min, t_max):
    """As the specification writes them."""
    t = 10 ** (np.log10(t_min) + epoch / epochs * (np.log10(t_max) - np.log10(t_min)))
    return t, max(1 / t, 1)


class Block(tf.keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = lq.layers.QuantDense(4, input_quantizer="ede_sign")

    def call(self, inputs):
        return self.dense(inputs)


@pytest.fixture
def model():
    def dense(units):
        return lq.layers.QuantDense(units, input_quantizer="ede_sign", kernel_quantizer="wsd_sign")

    nested = tf.keras.Sequential([tf.keras.Input((4,)), dense(4), tf.keras.Sequential([dense(4)])])
    model = tf.keras.Sequential([tf.keras.Input((4,)), Block(), nested, dense(1)])
    model.compile("sgd", "mse")
    return model


class Recorder(tf.keras.callbacks.Callback):
    """The distinct values of t and k of each epoch."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        ede_signs = [m for m in self.model.submodules if isinstance(m, EDESign)]
        assert len(ede_signs) == 1 + 3 * 2
        self.seen.append({(float(m.t.numpy()), float(m.k.numpy())) for m in ede_signs})


def fit(model, schedule, **kwargs):
    recorder = Recorder()
    history = model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0, callbacks=[schedule, recorder], **kwargs)
    assert all(len(values) == 1 for values in recorder.seen)
    return np.array([values.pop() for values in recorder.seen]), history.history


def test_every_quantizer_in_every_epoch(model):
    expected = np.array([parameters(epoch, 4, 1e-3, 1e1) for epoch in range(4)])
    np.testing.assert_allclose(expected[:, 0], [1e-3, 1e-2, 1e-1, 1])
    seen, history = fit(model, EDESchedule(1e-3, 1e1, 4), epochs=4)
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    np.testing.assert_allclose(np.transpose([history["ede_t"], history["ede_k"]]), expected, rtol=1e-6)


def test_resumes_from_initial_epoch(model):
    seen, history = fit(model, EDESchedule(1e-1, 1e1, 5), initial_epoch=3, epochs=5)
    expected = np.array([parameters(epoch, 5, 1e-1, 1e1) for epoch in (3, 4)])
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    np.testing.assert_allclose(history["ede_t"], expected[:, 0], rtol=1e-6)


def test_nothing_is_logged_for_a_model_without_the_estimator():
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    logs = model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0, callbacks=[EDESchedule(1e-3, 1e1, 2)], epochs=2)
    assert logs.history.keys() == {"loss"}


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, (1e-3, 1e3)), (250, (0.1, 10.0)), (375, (1.0, 1.0)), (500, (10.0, 1.0))]
)
def test_ede_parameters(epoch, expected):
    np.testing.assert_allclose(ede_parameters(epoch, 500, 1e-3, 1e1), expected)
    np.testing.assert_allclose(parameters(epoch, 500, 1e-3, 1e1), expected)


@pytest.mark.parametrize(
    "wrong", [{"t_min": 0}, {"t_min": -1.0}, {"t_max": 0.0}, {"t_max": float("inf")}, {"epochs": 0}]
)
def test_wrong_argument(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"`{name}` must be greater than 0 and finite. Received: {name}={value}"):
        EDESchedule(**{"t_min": 0.1, "t_max": 10.0, "epochs": 5, **wrong})
