"""Which layers of a model self-distribution can change, and why it cannot change another."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from sdbnn_larq.layers import ActivationSelfDistribution
from sdbnn_larq.layers.binary import KERNEL_QUANTIZERS, QUANTIZERS, takes_sign
from sdbnn_larq.quantizers import WeightSelfDistribution
from sdbnn_larq.self_distribution.copying import copied_quantizer, nodes


def choose(
    model: tf.keras.Model, activation: bool, weight: bool, names: Sequence[str] | None
) -> tuple[list[tf.keras.layers.Layer], dict[tf.keras.layers.Layer, list[str]]]:
    """The layers to change.

    # Arguments
        model: functional or sequential.
        activation: whether to look for layers that take the sign of their input.
        weight: whether to look for 1-bit kernels.
        names: of the layers to consider; all if `None`.

    # Returns
        The layers whose input is to be shifted, and those whose kernels are, with the names of the quantizers that read
        them; both in the order of the model.

    # Raises
        ValueError: naming the first layer that cannot be changed.
    """
    uses = list(nodes(model))
    counts = Counter(node.layer for node in uses)
    _check_names(names, counts)
    inputs, kernels = [], {}
    for layer in counts:
        if names is None:
            _check_nothing_hidden(layer, activation)
        elif layer.name not in names:
            continue
        shifts = activation and takes_sign(layer)
        quantizers = one_bit_quantizers(layer) if weight else []
        if not shifts and not quantizers:
            if names is not None:
                raise _refused(layer, f"which is not of 1 bit: {_quantizers_of(layer)}")
            continue
        if counts[layer] > 1:
            raise _refused(layer, f"which is used {counts[layer]} times")
        if shifts:
            _check_input(next(node for node in uses if node.layer is layer))
            inputs.append(layer)
        if quantizers:
            _check_kernels(layer, quantizers)
            kernels[layer] = quantizers
    _check_found(
        [layer for layer in counts if names is None or layer.name in names],
        not activation or bool(inputs),
        not weight or bool(kernels),
    )
    return inputs, kernels


def one_bit_quantizers(layer: tf.keras.layers.Layer) -> list[str]:
    """The names of a layer's quantizers that give the sign of a kernel, or its sign times a scale."""
    found = []
    for kernel, name in KERNEL_QUANTIZERS.items():
        quantizer = getattr(layer, name, None)
        if quantizer is None:
            continue
        if not hasattr(layer, kernel):
            raise _refused(layer, f"which has a {name}, but no {kernel}")
        if _gives_scaled_sign(quantizer, getattr(layer, kernel).shape.rank):
            found.append(name)
    return found


def _gives_scaled_sign(quantizer: Any, rank: int) -> bool:
    """Decided by the values that it gives for a kernel of one output channel, not by its name."""
    if isinstance(quantizer, WeightSelfDistribution):
        return True
    probe = np.array([-2.0, -0.3, -1e-6, 0.0, 1e-6, 0.3, 2.0], np.float32)
    values = np.ravel(copied_quantizer(quantizer)(tf.reshape(probe, [*[1] * (rank - 2), -1, 1])))
    return bool(values[-1] > 0) and np.array_equal(values / values[-1], np.where(probe < 0, -1, 1))


def _has_quantizer(layer: tf.keras.layers.Layer) -> bool:
    return any(getattr(layer, name, None) is not None for name in QUANTIZERS)


def _quantizers_of(layer: tf.keras.layers.Layer) -> str:
    found = {name: getattr(layer, name, None) for name in QUANTIZERS}
    described = [f"{name} {_describe(quantizer)}" for name, quantizer in found.items() if quantizer is not None]
    return ", ".join(described) or "no quantizer"


def _describe(quantizer: Any) -> str:
    name = getattr(quantizer, "__name__", type(quantizer).__name__)
    bits = getattr(quantizer, "precision", None)
    return name if bits in (None, 1) else f"{name} of {bits} bits"


def _refused(layer: tf.keras.layers.Layer, reason: str) -> ValueError:
    return ValueError(
        "`layers` (by default all 1-bit layers of `model`) must be layers that can be changed. "
        f"Received: {layer.name!r} ({type(layer).__name__}), {reason}."
    )


def _check_names(names: Sequence[str] | None, layers: Iterable[tf.keras.layers.Layer]) -> None:
    if names is None:
        return
    if isinstance(names, str) or not names:
        raise ValueError(f"`layers` must be a list of names of layers, or None. Received: layers={names!r}.")
    known = Counter(layer.name for layer in layers)
    for name in names:
        if known[name] != 1:
            found = "no layer" if not known[name] else f"{known[name]} layers"
            raise ValueError(f"`layers` must name layers of `model`. Received: {name!r}, the name of {found}.")


def _check_nothing_hidden(layer: tf.keras.layers.Layer, activation: bool) -> None:
    """Refuses a layer that computes in 1 bit where it cannot be seen."""
    own = [getattr(layer, name, None) for name in (*QUANTIZERS, "activation")]
    known = {id(part) for held in own if isinstance(held, tf.keras.layers.Layer) for part in held._flatten_layers()}
    for inner in layer._flatten_layers(include_self=False):
        if _has_quantizer(inner):
            raise _refused(layer, f"which has the layer {inner.name!r} inside")
        if isinstance(inner, lq.quantizers.Quantizer) and inner.precision == 1 and id(inner) not in known:
            raise _refused(layer, f"which has the quantizer {inner.name!r} inside")
    takes = layer if isinstance(layer, lq.quantizers.Quantizer) else getattr(layer, "activation", None)
    if activation and getattr(takes, "precision", None) == 1:
        raise _refused(layer, "which takes a sign outside of an `input_quantizer`")


def _check_input(node: Any) -> None:
    layer = node.layer
    if any(isinstance(before, ActivationSelfDistribution) for before in tf.nest.flatten(node.inbound_layers)):
        raise _refused(layer, "whose input is shifted already")
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise _refused(layer, f"with data_format={layer.data_format!r}")
    if len(node.keras_inputs) != 1:
        raise _refused(layer, f"which has {len(node.keras_inputs)} inputs")
    if node.keras_inputs[0].shape[-1] is None:
        raise _refused(layer, f"which takes an unknown number of channels, shape {node.keras_inputs[0].shape}")


def _check_kernels(layer: tf.keras.layers.Layer, quantizers: list[str]) -> None:
    if any(isinstance(getattr(layer, name), WeightSelfDistribution) for name in quantizers):
        raise _refused(layer, "whose kernel is shifted already")
    if isinstance(layer, (lq.layers.QuantLocallyConnected1D, lq.layers.QuantLocallyConnected2D)):
        raise _refused(layer, "whose kernel has no axis of output channels")


def _check_found(layers: Iterable[tf.keras.layers.Layer], inputs: bool, kernels: bool) -> None:
    if inputs and kernels:
        return
    wanted = "a 1-bit kernel" if inputs else "the sign of its input"
    argument = "weight=False" if inputs else "activation=None"
    quantized = [f"{layer.name!r} has {_quantizers_of(layer)}" for layer in layers if _has_quantizer(layer)]
    more = f" and {len(quantized) - 3} more" if len(quantized) > 3 else ""
    raise ValueError(
        f"`model` must have a layer to change with {wanted}, or {argument} be given. "
        f"Received: {'; '.join(quantized[:3]) or 'no layer with a quantizer'}{more}."
    )
