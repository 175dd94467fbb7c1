"""Brings self-distribution to a network that was built without it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from sdbnn_larq.layers import ActivationSelfDistribution
from sdbnn_larq.quantizers import WeightSelfDistribution
from sdbnn_larq.self_distribution.choice import choose
from sdbnn_larq.self_distribution.copying import Copies, copied_layer, copied_quantizer, is_network
from sdbnn_larq.weights.names import stable_name


@dataclass(frozen=True)
class ChangedLayers:
    """What `self_distribute` changed in a model.

    # Attributes
        activation: names of the layers whose input is shifted, in the order of the model.
        weight: names of the layers whose kernels are shifted.
    """

    activation: tuple[str, ...]
    weight: tuple[str, ...]


def self_distribute(
    model: tf.keras.Model,
    activation: Literal["dynamic", "static"] | None = "dynamic",
    weight: bool = True,
    reduction: int = 16,
    layers: Sequence[str] | None = None,
) -> tf.keras.Model:
    r"""Brings self-distribution to a model of Larq layers, which stays as it is.

    In the new model each chosen 1-bit layer computes

    \\[
    y = q_a\left(a + \sigma(W_2\,\textrm{relu}(W_1\,\bar{a}))\right) * q_w\left(w + \sigma(\alpha) \cdot 0.01 \cdot
    \bar{w}\right)
    \\]

    instead of \\(q_a(a) * q_w(w)\\), with the quantizers \\(q_a\\) and \\(q_w\\) that it had. The first shift is a
    layer `ActivationSelfDistribution` in front of it, which nothing else takes: a shortcut connection goes on with
    \\(a\\). The second is a `WeightSelfDistribution` around its kernel quantizer. Everything else is kept: padding,
    constraints, regularizers, data types, frozen layers and the weights. The shifts start as those of the layers do, at
    \\(\frac{1}{2}\\) or near it, so that a trained model has to be trained again.

    A layer that takes the sign of its input gets the first shift. One whose kernel is read as signs, or as signs times
    a scale, gets the second. A layer that does only one of both gets one.

    !!! example
        ```python
        model = tf.keras.Sequential([
            lq.layers.QuantConv2D(32, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
                                  input_shape=(32, 32, 3)),
            tf.keras.layers.BatchNormalization(),
            lq.layers.QuantConv2D(32, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign",
                                  kernel_constraint="weight_clip", name="conv"),
            tf.keras.layers.GlobalAveragePooling2D(),
        ])
        changed = sdbnn_larq.self_distribute(model)
        print(changed.self_distributed)  # ChangedLayers(activation=('conv',), weight=('quant_conv2d', 'conv'))
        ```

    # Arguments
        model: a functional or sequential model, built, of Keras's, Larq's and one's own layers. Models inside it are
            changed as well.
        activation: `"dynamic"`, `"static"` (a learned shift for each channel), or `None` to leave activations alone.
        weight: whether to shift 1-bit kernels.
        reduction: of each `ActivationSelfDistribution`: channels for each hidden unit.
        layers: names of the layers to change; all that can be if `None`.

    # Returns
        A new model, not compiled, with weights of its own. Its attribute `self_distributed` names the layers that were
        changed. It is an ordinary Keras model, without the description that a network of this package's zoo carries.

    # Raises
        ValueError: for a subclassed model; for a layer to be changed that is used twice, is hidden in another layer, or
            is shifted already; if there is nothing to change; or if another argument is not as described.

    # References
        - [Self-Distribution Binary Neural Networks](https://arxiv.org/abs/2103.02394)
    """
    _check(model, activation, weight)
    ActivationSelfDistribution(reduction)  # which checks it
    inputs, kernels = choose(model, activation is not None, bool(weight), layers)
    names = dict(zip(inputs, _names_of_shifts(model, inputs)))
    quantizers: list[WeightSelfDistribution] = []

    def copy(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        shifted = {
            name: WeightSelfDistribution(copied_quantizer(getattr(layer, name)), dtype=layer.dtype_policy)
            for name in kernels.get(layer, ())
        }
        quantizers.extend(shifted.values())
        return copied_layer(layer, **shifted)

    def in_front(layer: tf.keras.layers.Layer) -> ActivationSelfDistribution | None:
        if layer not in names or activation is None:
            return None
        return ActivationSelfDistribution(
            reduction, activation, name=names[layer], trainable=layer.trainable, dtype=layer.dtype_policy
        )

    copies = Copies(copy, in_front)
    changed = copies.model(model)
    copies.assign_weights(quantizers)
    changed.self_distributed = ChangedLayers(*(tuple(layer.name for layer in found) for found in (inputs, kernels)))
    return changed


def _check(model: tf.keras.Model, activation: str | None, weight: bool) -> None:
    if not isinstance(model, tf.keras.Model) or not is_network(model):
        raise ValueError(f"`model` must be a functional or built sequential model. Received: {model!r}.")
    if activation not in ("dynamic", "static", None):
        raise ValueError(f'`activation` must be "dynamic", "static" or None. Received: activation={activation!r}.')
    if activation is None and not weight:
        raise ValueError("`activation` or `weight` must be given. Received: activation=None, weight=False.")


def _names_of_shifts(model: tf.keras.Model, inputs: Sequence[tf.keras.layers.Layer]) -> Iterator[str]:
    """A name for the shift in front of each layer, that no layer of the model has.

    It does not depend on the numbers that Keras appends to names of its own choice, which are others in each process:
    files of packed weights know a weight by its layer's name.
    """
    taken = {layer.name for layer in model._flatten_layers()}
    for layer in inputs:
        stem = name = f"{stable_name(layer)}_asd"
        count = 0
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        taken.add(name)
        yield name
