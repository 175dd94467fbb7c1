import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: F401  (Keras 2, before a test imports Larq)

# isort: split
import larq as lq
import pytest
import tensorflow as tf


@pytest.fixture(autouse=True)
def seed():
    """What a test draws, from NumPy or for a layer's weights, depends neither on other tests nor on their order."""
    tf.keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def latent_weights():
    """Larq's quantized scope stays open when a layer's call raises; then every later read of a kernel is ±1."""
    with lq.context.quantized_scope(False):
        yield
