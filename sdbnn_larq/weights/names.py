"""Names for a model's weights that do not depend on what else was built in the process."""

import re
from collections import Counter

import larq as lq
import tensorflow as tf
from tf_keras.src.utils.generic_utils import to_snake_case


def stable_name(layer: tf.keras.layers.Layer) -> str:
    """The layer's name, without the number that Keras appends to a name of its own choice."""
    stem = to_snake_case(type(layer).__name__)
    return stem if re.fullmatch(rf"{stem}_\d+", layer.name) else layer.name


def variable(weight: tf.Variable) -> tf.Variable:
    """The variable that holds the weight: of a quantized one the latent values."""
    return getattr(weight, "latent_variable", weight)


def named_weights(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """The model's weights as `layer/weight`, in the model's order; a quantizer's belong to the layer that holds it."""
    owners: dict[int, str] = {}
    for layer in model._flatten_layers():  # parents before their children
        if not isinstance(layer, lq.quantizers.Quantizer):
            owners.update((id(variable(weight)), stable_name(layer)) for weight in layer.weights)
    seen: Counter[str] = Counter()
    weights = {}
    for weight in map(variable, model.weights):
        name = f"{owners[id(weight)]}/{weight.name.split(':')[0].rsplit('/', 1)[-1]}"
        seen[name] += 1
        weights[name if seen[name] == 1 else f"{name}_{seen[name] - 1}"] = weight
    return weights
