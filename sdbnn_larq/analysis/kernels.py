"""The signs of a layer's weights."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from sdbnn_larq.analysis.figures import Place, Signs
from sdbnn_larq.analysis.sites import Kernel, name_of
from sdbnn_larq.analysis.tally import histogram_of, mean_difference


@dataclass(frozen=True)
class KernelSigns:
    """What is known of a kernel.

    # Attributes
        place: None for one that is not 1-bit.
        problem: what is not known, and why.
    """

    place: Place | None = None
    problem: str | None = None


def kernel_signs(kernel: Kernel) -> KernelSigns:
    """Looks at a kernel as it is now."""
    latent, quantized = kernel.latent(), np.asarray(kernel.quantized())
    columns = by_channel(quantized, kernel.channel_axes)
    sizes = np.abs(columns)
    if not sizes.all() or not np.isfinite(sizes).all() or (sizes != sizes[0]).any():
        return KernelSigns(problem=f"its kernel is not ±1, nor ± one scale for a channel ({name_of(kernel.quantizer)})")
    if not np.isfinite(latent).all():
        raise ValueError(f"Weights must be finite. Received: {kernel.layer.name}, whose {kernel.attribute} is not.")
    if has_one_size(by_channel(np.asarray(latent), kernel.channel_axes)):
        what = "its latent weights are not known: all have one size, as in a packed file, which keeps their signs alone"
        return KernelSigns(Place(_signs(columns > 0, None)), what if kernel.shift else None)
    if kernel.shift is None:
        return KernelSigns(Place(_signs(columns > 0, latent)))
    bare = by_channel(np.asarray(kernel.unshifted()), kernel.channel_axes)
    turned = ((columns > 0) != (bare > 0)).mean(axis=0)
    return KernelSigns(Place(_signs(columns > 0, kernel.shift.shifted(latent)), _signs(bare > 0, latent), turned))


def _signs(fires: np.ndarray, values: tf.Tensor | None) -> Signs:
    """Of `(weights, channels)`."""
    return Signs(
        share=fires.mean(axis=0),
        difference=mean_difference(fires.sum(axis=1), fires.shape[1]),
        histogram=None if values is None else histogram_of(values),
    )


def by_channel(kernel: np.ndarray, channel_axes: tuple[int, ...]) -> np.ndarray:
    """A kernel as `(weights, channels)`."""
    last = np.moveaxis(kernel, channel_axes, range(-len(channel_axes), 0))
    return last.reshape(-1, np.prod(last.shape[-len(channel_axes) :]))


def has_one_size(latent: np.ndarray) -> bool:
    """Whether the weights of each channel are of one size but for rounding."""
    sizes = np.abs(latent)
    return len(latent) > 1 and bool((np.ptp(sizes, axis=0) <= 1e-5 * sizes.max(axis=0)).all())
