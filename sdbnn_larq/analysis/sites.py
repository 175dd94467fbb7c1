"""Where a model takes signs: its quantized layers, at any depth, and quantizers that stand alone."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import larq as lq
import tensorflow as tf
from larq.layers_base import BaseLayer

from sdbnn_larq.layers import ActivationSelfDistribution
from sdbnn_larq.layers.binary import KERNEL_QUANTIZERS
from sdbnn_larq.quantizers import WeightSelfDistribution

Quantizer = Callable[[tf.Tensor], tf.Tensor]

CLOSED = (BaseLayer, ActivationSelfDistribution, lq.quantizers.Quantizer)  # what is in them is theirs
TRANSPOSED = (tf.keras.layers.Conv2DTranspose, tf.keras.layers.Conv3DTranspose)


@dataclass(frozen=True)
class Kernel:
    """A quantized kernel of a layer.

    # Attributes
        layer: whose it is.
        attribute: its name there.
        quantizer: gives ±1, or ± a scale, if it is a 1-bit one.
    """

    layer: tf.keras.layers.Layer
    attribute: str
    quantizer: Quantizer

    @property
    def channel_axes(self) -> tuple[int, ...]:
        """The negative axes that number its output channels."""
        axes = getattr(self.quantizer, "channel_axes", None)
        if axes is not None:
            return tuple(axes)
        if self.attribute == "depthwise_kernel":
            return (-2, -1)
        return (-2,) if isinstance(self.layer, TRANSPOSED) else (-1,)

    def latent(self) -> tf.Tensor:
        """The weights that training changes."""
        return self._read(False)

    def quantized(self) -> tf.Tensor:
        """The weights that the layer computes with."""
        return self._read(True)

    def unshifted(self) -> tf.Tensor:
        """The weights that the layer would compute with if nothing shifted them."""
        return self.quantized() if self.shift is None else self.shift.quantizer(self.latent())

    def _read(self, quantized: bool) -> tf.Tensor:
        with lq.context.quantized_scope(quantized):
            return tf.convert_to_tensor(getattr(self.layer, self.attribute))

    @property
    def shift(self) -> WeightSelfDistribution | None:
        """What shifts the weights before their sign is taken."""
        return self.quantizer if isinstance(self.quantizer, WeightSelfDistribution) else None


@dataclass(frozen=True)
class Site:
    """A layer that takes the signs of its inputs, or whose kernel is quantized.

    # Attributes
        name: of the layer, with those of the models around it.
        layer: a Larq layer, a quantizer or an activation.
        quantizer: of the inputs; None if the layer takes them as they are.
        kernels: those that it quantizes.
    """

    name: str
    layer: tf.keras.layers.Layer
    quantizer: Quantizer | None
    kernels: tuple[Kernel, ...] = ()

    def kernel_name(self, kernel: Kernel) -> str:
        """The layer's name; with the kernel's own for all kernels but the last, as that of a separable convolution."""
        return self.name if kernel is self.kernels[-1] else f"{self.name}/{kernel.attribute}"


def sites(model: tf.keras.Model) -> list[Site]:
    """Where a model takes signs, each layer once."""
    return [site for name, layer in _parts(model) for site in [_site(name, layer)] if site is not None]


def shifts(model: tf.keras.Model) -> dict[str, ActivationSelfDistribution]:
    """The Activation Self-Distributions in a model, by name."""
    return {name: layer for name, layer in _parts(model) if isinstance(layer, ActivationSelfDistribution)}


def _parts(model: tf.keras.Model) -> list[tuple[str, tf.keras.layers.Layer]]:
    """Names and layers of all depths, each layer once."""
    found: dict[int, tuple[str, tf.keras.layers.Layer]] = {}

    def walk(parent: Any, path: str) -> None:
        for layer in parent._flatten_layers(recursive=False, include_self=False):
            if id(layer) not in found:
                found[id(layer)] = f"{path}{layer.name}", layer
                if not isinstance(layer, CLOSED):
                    walk(layer, f"{path}{layer.name}/")

    walk(model, "")
    names = Counter(name for name, _ in found.values())
    return [
        (name if names[name] == 1 else f"{name} ({type(layer).__name__} {i})", layer)
        for i, (name, layer) in enumerate(found.values())
    ]


def _site(name: str, layer: tf.keras.layers.Layer) -> Site | None:
    if isinstance(layer, BaseLayer):
        kernels = tuple(
            Kernel(layer, attribute, quantizer)
            for attribute, owner in KERNEL_QUANTIZERS.items()
            for quantizer in [getattr(layer, owner, None)]
            if quantizer is not None and hasattr(layer, attribute)
        )
        if layer.input_quantizer is None and not kernels:
            return None
        return Site(name, layer, layer.input_quantizer, kernels)
    if isinstance(layer, lq.quantizers.Quantizer):
        return Site(name, layer, type(layer).call.__get__(layer))
    activation = getattr(layer, "activation", None)  # a function: a quantizer inside is a layer of its own
    is_function = isinstance(layer, tf.keras.layers.Activation) and not isinstance(activation, tf.keras.layers.Layer)
    if is_function and getattr(activation, "precision", None) is not None:
        return Site(name, layer, activation)
    return None


def name_of(quantizer: Quantizer) -> str:
    """The name of a quantizer, for a message."""
    owner = getattr(quantizer, "__self__", quantizer)  # of a bound method
    name = getattr(owner, "__name__", type(owner).__name__)
    precision = getattr(owner, "precision", None)
    return name if precision in (None, 1) else f"{name}, {precision} bits"
