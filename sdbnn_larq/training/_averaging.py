"""Evaluation with exponential moving averages of the weights."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


class Averaging(tf.keras.callbacks.Callback):
    """Lets the optimizer average the trainable weights, and puts the averages in their place while `fit` validates.

    The averages are the optimizer's own variables: a checkpoint has them.

    # Arguments
        model: compiled, its optimizer not yet built.
        momentum: share of the old average that a step keeps, from 0 to below 1.

    # Raises
        ValueError: if the momentum is out of its range.
    """

    def __init__(self, model: tf.keras.Model, momentum: float):
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(
                f"`averaging_momentum` must be from 0 to below 1. Received: averaging_momentum={momentum}."
            )
        self.optimizer, self.weights = model.optimizer, model.trainable_variables
        self.optimizer.use_ema, self.optimizer.ema_momentum = True, momentum
        # Keras would leave the averages as weights at the end of each `fit`, of which a resumed run has two.
        self.optimizer.finalize_variable_values = lambda weights: None

    def swap(self) -> None:
        for weight, average in zip(self.weights, self.optimizer._model_variables_moving_average):
            value = weight.numpy()
            weight.assign(average)
            average.assign(value)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages as weights inside the block."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def on_test_begin(self, logs=None):
        self.swap()

    def on_test_end(self, logs=None):
        self.swap()
