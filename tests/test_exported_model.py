"""An exported file in use: several threads at once, arguments that do not fit."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from exports import MODULES, SUFFIXES, export, randomised

from sdbnn_larq import convert, layers

THREADS = 24  # many more than cores


def small_network() -> tf.keras.Model:
    image = tf.keras.Input((12, 12, 3))
    x = tf.keras.layers.Conv2D(16, 3, 2)(image)
    x = layers.ActivationSelfDistribution()(x)
    x = layers.SymmetricQuantConv2D(32, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign", use_bias=False)(x)
    x = tf.keras.layers.GlobalAveragePooling2D()(tf.keras.layers.BatchNormalization()(x))
    return randomised(tf.keras.Model(image, tf.keras.layers.Dense(7)(x)))


@pytest.fixture(scope="module", params=MODULES)
def path(request, tmp_path_factory):
    """A file whose batches hold two images."""
    pytest.importorskip(MODULES[request.param])
    folder = tmp_path_factory.mktemp(request.param)
    export(request.param, small_network(), folder, batch_size=2)
    return folder / f"model{SUFFIXES[request.param]}"


@pytest.fixture(scope="module")
def network(path):
    return convert.ExportedModel(path)


@pytest.fixture(scope="module")
def images():
    """As many batches as threads, of one to three images: some of them must be filled up."""
    draw = np.random.default_rng(0)
    return [draw.standard_normal((1 + i % 3, 12, 12, 3), np.float32) for i in range(THREADS)]


@pytest.fixture(scope="module")
def alone(network, images):
    return [network.predict(batch) for batch in images]


def check(network, images, alone, i, repeats):
    for _ in range(repeats):
        np.testing.assert_array_equal(network.predict(images[i]), alone[i])


def test_pool_of_threads(network, images, alone):
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda i: check(network, images, alone, i, 30), range(THREADS)))


def test_threads_that_begin_together(network, images, alone):
    gate, errors = threading.Barrier(THREADS), []

    def work(i):
        gate.wait()
        try:
            check(network, images, alone, i, 20)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_short_lived_threads_share_a_bounded_number_of_runs(path, images, alone, monkeypatch):
    monkeypatch.setattr("sdbnn_larq.convert.exported_model._cores", lambda: 3)
    network = convert.ExportedModel(path)
    for _ in range(10):
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda i: check(network, images, alone, i, 1), range(THREADS)))
    assert 1 <= len(network._runs._idle) <= 3


def test_calls_run_at_the_same_time(path, monkeypatch):
    """Two runs that wait for each other come to an end."""
    monkeypatch.setattr("sdbnn_larq.convert.exported_model._cores", lambda: 2)
    pool = convert.ExportedModel(path)._runs
    meet = threading.Barrier(2, timeout=30)

    def work(_):
        with pool.borrowed() as run:
            meet.wait()
            return id(run)

    with ThreadPoolExecutor(2) as threads:
        assert len(set(threads.map(work, range(2)))) == 2


def test_result_is_not_written_over_by_the_next_call(network, images, alone):
    first = network.predict(images[0])
    network.predict(images[1])
    np.testing.assert_array_equal(first, alone[0])


def test_call_that_fails_gives_its_run_back(network, images, alone):
    for _ in range(50):
        with pytest.raises(ValueError, match="`images` must be float32"):
            network.predict(np.zeros((1, 12, 12, 3), np.uint8))
    check(network, images, alone, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "f16"}, r"`precision` must be \"f32\".*Received: precision='f16'\.$"),
        ({"threads": 0}, r"`threads` must be a whole number from 1\. Received: threads=0\.$"),
    ],
)
def test_arguments_that_do_not_fit(path, arguments, message):
    with pytest.raises(ValueError, match=message):
        convert.ExportedModel(path, **arguments)
