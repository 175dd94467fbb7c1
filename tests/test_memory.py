"""Models that are gone leave no memory behind where many are built in one process."""

import gc
import weakref

import numpy as np

from sdbnn_larq import zoo
from sdbnn_larq._memory import releasing_graphs


def kernels_of_a_trained_model():
    model = zoo.ResNet20()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(np.zeros((2, 32, 32, 3), np.float32), np.arange(2))
    return [weakref.ref(weight._handle) for weight in model.weights if "kernel" in weight.name]


def test_graphs_are_released():
    with releasing_graphs():
        handles = kernels_of_a_trained_model()
        gc.collect()
        assert any(handle() is not None for handle in handles)  # what the registered gradients keep
    assert not any(handle() is not None for handle in handles)
