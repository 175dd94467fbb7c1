"""One batch on its way through a network, and what is counted of it in each layer, compiled."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq.analysis.figures import Place
from sdbnn_larq.analysis.sites import Kernel, Site, name_of
from sdbnn_larq.analysis.tally import SMALLEST_SUMS, Batch, PlaceTally, count_place
from sdbnn_larq.analysis.watch import watched
from sdbnn_larq.layers.binary import KERNEL_QUANTIZERS


@dataclass(frozen=True)
class Use:
    """One use of a layer.

    # Attributes
        name: the layer's, numbered from its second use on.
        site: the layer.
        problem: why nothing can be counted here.
    """

    name: str
    site: Site
    problem: str | None = None


class Look:
    """Counts the signs of batches of one form.

    # Arguments
        model: built.
        sites: where it takes signs.
        shifts: names of its Activation Self-Distributions by the layers' ids.
        form: `tf.TensorSpec`s of the inputs.

    # Attributes
        uses: of the layers, in the order of their calls.
        unmatched: names of the shifts whose outputs no layer took the sign of.
    """

    def __init__(
        self, model: tf.keras.Model, sites: Sequence[Site], shifts: Mapping[str, tf.keras.layers.Layer], form: Any
    ):
        self.form = form
        self.uses: list[Use] = []
        self._sites = {id(site.layer): site for site in sites}
        self._calls: Counter[str] = Counter()
        self._unshifted: dict[int, tuple[tf.Tensor, tf.Tensor, tf.keras.layers.Layer]] = {}
        self._matched: set[int] = set()
        layers = [*(site.layer for site in sites), *shifts.values()]

        def count(inputs: Any) -> list[Batch]:
            self._graph = tf.compat.v1.get_default_graph()
            self._counts: list[Batch] = []
            with watched(layers, self._see):
                model(inputs, training=False)
            return self._counts

        self._step = tf.function(count, input_signature=[form]).get_concrete_function()
        called = {use.site.name for use in self.uses}
        self.uses += [Use(site.name, site, "the model does not call it") for site in sites if site.name not in called]
        self.unmatched = [name for name, layer in shifts.items() if id(layer) not in self._matched]
        del self._unshifted

    def _see(self, layer: tf.keras.layers.Layer, inputs: Any, outputs: Any) -> None:
        site = self._sites.get(id(layer))
        if site is None:
            # The output is kept, so that no other tensor gets its id.
            self._unshifted[id(outputs)] = inputs, outputs, layer
            return
        self._calls[site.name] += 1
        number = self._calls[site.name]
        name = site.name if number == 1 else f"{site.name}_{number}"
        problem = self._problem(site, inputs)
        self.uses.append(Use(name, site, problem))
        if problem is not None:
            return
        unshifted = None
        if id(inputs) in self._unshifted:
            unshifted, _, shift = self._unshifted[id(inputs)]
            self._matched.add(id(shift))
        self._counts.append(_count(site, inputs, unshifted))

    def _problem(self, site: Site, inputs: Any) -> str | None:
        if tf.compat.v1.get_default_graph() is not self._graph:
            return "the model calls it inside a function or a loop of its own"
        if not tf.is_tensor(inputs) or inputs.shape.rank is None or inputs.shape.rank < 2:
            return "its input is not one tensor of known rank with a channel axis"
        if inputs.shape[0] is not None:
            return "it is not given a batch"
        if getattr(site.layer, "data_format", "channels_last") != "channels_last":
            return "its channels are not last"
        return None

    def __call__(self, batch: Any) -> list[Batch]:
        """Counts one batch: tensors for each use without a problem."""
        return self._step(batch)


def _count(site: Site, x: tf.Tensor, unshifted: tf.Tensor | None = None) -> Batch:
    """Counts of one layer: activations and, if it has 1-bit kernels alone, sums."""
    bits = _quantized(site, x)
    fires = bits > 0
    sizes = tf.abs(bits)
    axes = list(range(x.shape.rank - 1))
    batch: dict[str, Any] = {
        "images": tf.shape(x)[0],
        "is_sign": tf.reduce_all((sizes > 0) & (sizes == tf.reduce_max(sizes, axis=axes))),
    }
    bare_fires = None if unshifted is None else _quantized(site, unshifted) > 0
    batch["activations"] = count_place(x, fires, None if unshifted is None else (unshifted, bare_fires))
    if site.kernels and {kernel.attribute for kernel in site.kernels} == _kernels_of(site.layer):
        y = _sums(site, fires, Kernel.quantized)
        bare = None
        if unshifted is not None or any(kernel.shift for kernel in site.kernels):
            z = _sums(site, fires if bare_fires is None else bare_fires, Kernel.unshifted)
            bare = z, z >= 0
        batch["are_sums"] = tf.reduce_all(y == tf.round(y))
        batch["sums"] = count_place(y, y >= 0, bare, smallest=SMALLEST_SUMS)
    return batch


def _quantized(site: Site, x: tf.Tensor) -> tf.Tensor:
    return x if site.quantizer is None else site.quantizer(x)


def _kernels_of(layer: tf.keras.layers.Layer) -> set[str]:
    return {attribute for attribute in KERNEL_QUANTIZERS if getattr(layer, attribute, None) is not None}


def _sums(site: Site, fires: tf.Tensor, read: Callable[[Kernel], tf.Tensor]) -> tf.Tensor:
    """What the layer's convolution or product makes of ±1 inputs and ±1 kernels, in float32."""
    bare = copy.copy(site.layer)
    vars(bare).pop("convolution_op", None)  # `set_precision` binds it to the layer itself
    kernels = {kernel.attribute: _sign(read(kernel) > 0) for kernel in site.kernels}
    vars(bare).update(input_quantizer=None, use_bias=False, activation=tf.keras.activations.linear, **kernels)
    return type(bare).call(bare, _sign(fires))


def _sign(fires: tf.Tensor) -> tf.Tensor:
    return tf.where(fires, 1.0, -1.0)


class UseTally:
    """The sum of what was counted of one use of a layer."""

    def __init__(self, use: Use):
        self.use = use
        self.activations, self.sums = PlaceTally(), PlaceTally()
        self.is_sign, self.are_sums, self.is_batch = True, True, True

    def add(self, batch: Batch, images: int) -> None:
        """Adds what was counted of a batch of so many images."""
        self.is_batch &= int(batch["images"]) == images
        if not self.is_batch:
            return
        self.is_sign &= bool(batch["is_sign"])
        self.activations.add(batch["activations"])
        if "sums" in batch:
            self.are_sums &= bool(batch["are_sums"])
            self.sums.add(batch["sums"])

    def places(self, images: int, problems: list[str]) -> dict[str, Place]:
        """The figures of so many images; what cannot be told is added to the problems."""
        site = self.use.site
        if not self.is_batch:
            problems.append("its batch is not the model's")
            return {}
        if not self.activations.finite:
            raise ValueError(
                f"Values before a sign must be finite. Received: some before {self.use.name!r} that are not."
            )
        if not self.is_sign:
            problems.append(
                "its inputs are not 1-bit"
                if site.quantizer is None
                else f"its input quantizer is no sign function ({name_of(site.quantizer)})"
            )
            return {}
        places = {"activations": self.activations.place(images)}
        if self.sums.parts and self.are_sums:
            places["sums"] = self.sums.place(images)
        elif self.sums.parts:
            problems.append("its sums are no integers")
        return places


def batch_form(batch: Any) -> Any:
    """`tf.TensorSpec`s of a batch, of any number of images."""
    return tf.nest.map_structure(lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), batch)


def batch_count(batch: Any) -> int:
    """How many images a batch has."""
    return len(tf.nest.flatten(batch)[0])


def has_form(batch: Any, form: Any) -> bool:
    """Whether a batch has the sizes and types of a form."""
    try:
        tf.nest.assert_same_structure(batch, form)
    except (TypeError, ValueError):
        return False
    return all(
        np.shape(part)[1:] == tuple(spec.shape[1:]) and part.dtype == spec.dtype
        for part, spec in zip(tf.nest.flatten(batch), tf.nest.flatten(form))
    )


def check_fits(model: tf.keras.Model, form: Any) -> None:
    """Refuses images that a functional model does not take; of a subclassed one, nobody knows what it takes."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return
    given = [form.get(name) for name in model.input_names] if isinstance(form, dict) else tf.nest.flatten(form)
    expected = [tensor.shape[1:] for tensor in inputs]
    if len(given) == len(expected) and all(
        spec is not None and spec.shape.rank and shape.is_compatible_with(spec.shape[1:])
        for shape, spec in zip(expected, given)
    ):
        return
    wanted = " and ".join(f"(n, {', '.join(map(str, shape))})" for shape in expected)
    got = tf.nest.map_structure(lambda spec: tuple(spec.shape), form)
    raise ValueError(f"`images` must have the shape {wanted}, as the model takes them. Received: {got}.")
