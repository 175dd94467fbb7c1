"""Shows images to a network and counts its signs."""

from collections import defaultdict
from typing import Any

import numpy as np
import tensorflow as tf

from sdbnn_larq.analysis.batches import batches
from sdbnn_larq.analysis.figures import LayerSigns, SignReport
from sdbnn_larq.analysis.kernels import kernel_signs
from sdbnn_larq.analysis.look import Look, Use, UseTally, batch_count, batch_form, check_fits, has_form
from sdbnn_larq.analysis.sites import shifts, sites


def signs(model: tf.keras.Model, images: Any = None, *, batch_size: int = 100) -> SignReport:
    """Counts the signs of a network's activations, weights and sums, layer by layer, and what its shifts turn.

    The images are shown once, in inference mode. Memory does not grow with their number. The model is not changed, and
    other threads may go on using it if its layers themselves allow it; Larq's with `pad_values` other than 0 do not.

    It works for any Keras model with layers of Larq: models inside models, layers that are used twice, several inputs,
    subclassed models that were called before. What is not a sign, such as a quantizer of 2 bits, is named in
    `SignReport.left_out`.

    !!! example
        ```python
        report = signs(model, images)
        report["layer1_0_conv1"].activations.signs.mean_share  # of all signs, how many are +1
        report["layer1_0_conv1"].activations.turned.mean()  # how many the shift turned
        report.write_csv("signs.csv")
        ```

    # Arguments
        model: built, with at least one layer whose inputs or kernel are quantized.
        images: what `model.predict` takes: an array or arrays, a `tf.data.Dataset`, or an iterable of batches, prepared
            as the model takes them and all of one size. None to look at the weights alone.
        batch_size: images that are shown at once where `images` is an array.

    # Returns
        A `SignReport`.

    # Raises
        ValueError: if the model has no such layer or is not built, if the images do not fit, or if a value that should
            have a sign is not finite.
    """
    return Observer(model).report(images, batch_size)


class Observer:
    """Counts the signs of a model as often as asked, e.g. after each epoch; what is asked is compiled once.

    # Arguments
        model: as for `signs`.

    # Raises
        ValueError: if the model has no 1-bit layer or is not built.
    """

    def __init__(self, model: tf.keras.Model):
        if not isinstance(model, tf.keras.Model) or not model.built:
            raise ValueError(f"`model` must be a Keras model that is built. Received: model={model!r}.")
        self.model = model
        self.sites, self.shifts = sites(model), shifts(model)
        if not self.sites:
            raise ValueError(
                f"`model` must have a Larq layer that quantizes its inputs or its kernel. Received: {model.name!r} "
                "without."
            )
        self._look: Look | None = None

    def report(self, images: Any = None, batch_size: int = 100) -> SignReport:
        """Counts once more; arguments and errors as for `signs`."""
        count, tallies = (0, {}) if images is None else self._show(images, batch_size)
        uses = self._look.uses if images is not None and self._look else [Use(site.name, site) for site in self.sites]
        left_out: dict[str, list[str]] = defaultdict(list)
        layers: list[LayerSigns] = []
        looked_at: set[int] = set()
        for use in uses:
            layer, kind = use.site.layer, type(use.site.layer).__name__
            problems = left_out[use.name]
            problems += [use.problem] if use.problem else []
            places = tallies[use.name].places(count, problems) if use.name in tallies else {}
            kernels = {use.site.kernel_name(kernel): kernel_signs(kernel) for kernel in use.site.kernels}
            if any(found.place is None for found in kernels.values()):
                places.pop("sums", None)
            for name, found in kernels.items() if id(layer) not in looked_at else ():
                problems += [found.problem] if found.problem else []
                if found.place and name == use.name:
                    places["weights"] = found.place
                elif found.place:
                    layers.append(LayerSigns(name, kind, weights=found.place))
            looked_at.add(id(layer))
            if places:
                layers.append(LayerSigns(use.name, kind, **places))
        if images is not None and self._look:
            for name in self._look.unmatched:
                left_out[name].append("no layer takes the sign of what it gives, so what it turns is not known")
        return SignReport(
            self.model.name, count, tuple(layers), {name: tuple(found) for name, found in left_out.items() if found}
        )

    def weight_signs(self) -> dict[str, np.ndarray]:
        """Whether each weight is positive as the network computes with it, by layer."""
        return {
            site.kernel_name(kernel): np.asarray(kernel.quantized()) > 0
            for site in self.sites
            for kernel in site.kernels
        }

    def _show(self, images: Any, batch_size: int) -> tuple[int, dict[str, UseTally]]:
        """Shows all images; gives their number and what was counted, by the name of each use."""
        count = 0
        tallies: dict[str, UseTally] = {}
        for batch in batches(images, batch_size):
            if self._look is None or (not count and not has_form(batch, self._look.form)):
                check_fits(self.model, batch_form(batch))
                self._look = Look(self.model, self.sites, self.shifts, batch_form(batch))
            look = self._look
            if not has_form(batch, look.form):
                raise ValueError(
                    f"`images` must all have one size and type. Received: {look.form} and {batch_form(batch)}."
                )
            counted = [use for use in look.uses if use.problem is None]
            tallies = tallies or {use.name: UseTally(use) for use in counted}
            for use, found in zip(counted, look(batch)):
                tallies[use.name].add(found, batch_count(batch))
            count += batch_count(batch)
        return count, tallies
