"""Training in two stages: first with float weights under binary activations, then binary from there."""

import os

import tensorflow as tf

from sdbnn_larq.weights import description_of, load_file, locate, named_weights


def start_from_float_weights(model: tf.keras.Model, weights: str | os.PathLike) -> None:
    """Sets a network with 1-bit weights to those of the same network trained with `binary_weights=False`.

    What the first stage does not have, the shifts of Weight Self-Distribution, stays as it is.

    !!! example
        ```python
        zoo.save_packed(zoo.ResNet20(binary_weights=False), "stage1.safetensors")
        start_from_float_weights(zoo.ResNet20(), "stage1.safetensors")
        ```

    # Arguments
        model: of the zoo.
        weights: file, URL or tag, as for `zoo.get_model`.

    # Raises
        ValueError: if the weights are not those of the first stage of `model`; nothing is set then.
    """

    def without_kernel_quantizer(layer):
        config = layer.get_config()
        if "kernel_quantizer" in config:
            config["kernel_quantizer"] = None
        return layer.__class__.from_config(config)

    first = tf.keras.models.clone_model(model, clone_function=without_kernel_quantizer)
    description = description_of(model)
    load_file(first, locate(weights, description.architecture if description else None))
    targets = named_weights(model)
    for name, weight in named_weights(first).items():
        targets[name].assign(weight)
