"""SGD with the weight decay that the authors' recipes mean."""

import larq as lq
import tensorflow as tf


@lq.utils.register_keras_custom_object
class SGDL2(tf.keras.optimizers.SGD):
    r"""SGD with an L2 term in the gradient of every trainable parameter, \\(g + \lambda w\\), as in PyTorch's SGD.

    Keras's own `weight_decay` differs: it shrinks the weights directly, outside the momentum.

    !!! example
        ```python
        model.compile(SGDL2(0.1, momentum=0.9, l2=1e-4), "sparse_categorical_crossentropy")
        ```

    # Arguments
        learning_rate: as in `tf.keras.optimizers.SGD`.
        l2: the factor \\(\lambda\\), 0 or more.
        **kwargs: any other argument of `tf.keras.optimizers.SGD`.

    # Raises
        ValueError: if `l2` is negative, or `momentum` not from 0 to 1.
    """

    def __init__(self, learning_rate=0.01, l2: float = 0.0, name: str = "SGDL2", **kwargs):
        if not 0 <= (momentum := kwargs.get("momentum", 0.0)) <= 1:
            raise ValueError(f"`momentum` must be from 0 to 1. Received: momentum={momentum}.")
        super().__init__(learning_rate, name=name, **kwargs)
        if l2 < 0:
            raise ValueError(f"`l2` must be 0 or more. Received: l2={l2}.")
        self.l2 = l2

    def update_step(self, gradient, variable):
        super().update_step(gradient + self.l2 * tf.cast(variable, gradient.dtype), variable)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}
