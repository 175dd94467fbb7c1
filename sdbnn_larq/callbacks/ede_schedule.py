"""The annealing of the error decay estimator over the epochs of a training run."""

import math

import tensorflow as tf

from sdbnn_larq.quantizers import EDESign


def ede_parameters(epoch: int, epochs: int, t_min: float, t_max: float) -> tuple[float, float]:
    r"""\\(t = T_{min} (T_{max} / T_{min})^{e / E}\\) and \\(k = \max(1/t, 1)\\) for epoch e, counted from 0, of E.

    !!! example
        ```python
        ede_parameters(0, 500, t_min=1e-3, t_max=1e1)  # (0.001, 1000.0)
        ```
    """
    t = t_min * (t_max / t_min) ** (epoch / epochs)
    return t, max(1 / t, 1.0)


class EDESchedule(tf.keras.callbacks.Callback):
    """Sets `t` and `k` of every `EDESign` in a model at the start of each epoch, and logs them as `ede_t`, `ede_k`.

    A model without `EDESign`, such as `zoo.ResNet18`, is left as it is, and nothing is logged.

    Quantizers of inputs and kernels are found at any depth: in nested models, and inside `WeightSelfDistribution`.
    The values follow from the epoch's number alone, so `model.fit(..., initial_epoch=n)` continues at the right place.

    !!! example
        ```python
        model.fit(x, y, epochs=60, callbacks=[EDESchedule(t_min=1e-1, t_max=1e1, epochs=60)])
        ```

    # Arguments
        t_min: sharpness at the first epoch, greater than 0.
        t_max: sharpness that the epoch after the last would have.
        epochs: number of epochs of the whole run.

    # Raises
        ValueError: if an argument is not positive and finite.

    # References
        - [Forward and Backward Information Retention for Accurate Binary Neural Networks](https://arxiv.org/abs/1909.10788)
    """

    def __init__(self, t_min: float, t_max: float, epochs: int):
        super().__init__()
        for name, value in (("t_min", t_min), ("t_max", t_max), ("epochs", epochs)):
            if not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be greater than 0 and finite. Received: {name}={value}.")
        self.t_min, self.t_max, self.epochs = t_min, t_max, epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.t, self.k = ede_parameters(epoch, self.epochs, self.t_min, self.t_max)
        self.found = [module for module in self.model.submodules if isinstance(module, EDESign)]
        for module in self.found:
            module.t.assign(self.t)
            module.k.assign(self.k)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and self.found:
            logs.update(ede_t=self.t, ede_k=self.k)
