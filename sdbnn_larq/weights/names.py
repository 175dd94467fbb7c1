"""Names for a model's weights that depend on its structure alone, not on what else the process built or froze."""

import re
from collections import Counter

import larq as lq
import tensorflow as tf
from tf_keras.src.engine.functional import Functional
from tf_keras.src.utils.generic_utils import to_snake_case

# The layers inside an `ActivationSelfDistribution` have names that begin with its own.
OF_AN_UNNAMED_SHIFT = r"^(activation_self_distribution)_\d+(_shift|_squeeze|_excite)$"


def stable_name(layer: tf.keras.layers.Layer) -> str:
    """The layer's name, without the number that Keras appends to a name of its own choice."""
    # Keras calls a functional model `model`, whatever its class.
    stem = "model" if _is_functional(layer) else to_snake_case(type(layer).__name__)
    return stem if re.fullmatch(rf"{stem}_\d+", layer.name) else layer.name


def _is_functional(layer: tf.keras.layers.Layer) -> bool:
    return isinstance(layer, Functional) and not isinstance(layer, tf.keras.Sequential)


def variable(weight: tf.Variable) -> tf.Variable:
    """The variable that holds the weight: of a quantized one the latent values."""
    return getattr(weight, "latent_variable", weight)


def named_weights(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """The model's weights as `layer/weight`, layer by layer.

    A quantizer's weights belong to the layer that holds it. Layers whose names coincide, as those that Keras numbered
    do without their number, are numbered in the order of the model. That order, unlike `model.weights`, does not change
    when layers are frozen.
    """
    waiting = {id(variable(weight)): variable(weight) for weight in model.weights}
    layers: list[tuple[str, list[tf.Variable]]] = []
    for layer in model._flatten_layers():  # parents before their children
        own = [variable(weight) for weight in (*layer._trainable_weights, *layer._non_trainable_weights)]
        own = [waiting.pop(id(weight)) for weight in own if id(weight) in waiting]
        if isinstance(layer, lq.quantizers.Quantizer) and layers:
            layers[-1][1].extend(own)
        else:
            layers.append((re.sub(OF_AN_UNNAMED_SHIFT, r"\1\2", stable_name(layer)), own))
    layers.append((stable_name(model), list(waiting.values())))  # what a subclass holds in no layer
    weights: dict[str, tf.Variable] = {}
    seen: Counter[str] = Counter()
    for name, own in layers:
        if not own:
            continue
        unique = _numbered(name, seen)
        inside: Counter[str] = Counter()
        for weight in own:
            weights[f"{unique}/{_numbered(weight.name.split(':')[0].rsplit('/', 1)[-1], inside)}"] = weight
    return weights


def _numbered(name: str, seen: Counter[str]) -> str:
    """The name, with a number from its second use on; never a name that was given before."""
    while True:
        seen[name] += 1
        numbered = name if seen[name] == 1 else f"{name}_{seen[name] - 1}"
        if numbered == name or not seen[numbered]:
            seen[numbered] += numbered != name
            return numbered
