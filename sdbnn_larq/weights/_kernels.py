"""1-bit kernels as a packed file stores them: signs, and one magnitude for each output channel."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from sdbnn_larq.layers.binary import KERNEL_QUANTIZERS
from sdbnn_larq.weights.names import variable


def one_bit_quantizers(model: tf.keras.Model, weights: Mapping[str, tf.Variable]) -> dict[str, Callable]:
    """The quantizer of each kernel that takes one bit, by the kernel's name."""
    names = {id(weight): name for name, weight in weights.items()}
    found: dict[str, Callable] = {}
    for layer in model._flatten_layers():
        for kernel, attribute in KERNEL_QUANTIZERS.items():
            quantizer, weight = getattr(layer, attribute, None), getattr(layer, kernel, None)
            if quantizer is not None and weight is not None and getattr(quantizer, "precision", None) == 1:
                found[names[id(variable(weight))]] = quantizer
    return found


def packed_kernel(latent: np.ndarray, quantizer: Callable) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Code, signs and magnitudes from which the quantizer reads what it reads from `latent`.

    Where there are none, the code is `"l"` and the latent values themselves take the place of the signs.
    """
    quantized = np.asarray(quantizer(tf.constant(latent)))
    signs = quantized > 0
    limits = np.finfo(np.float16)
    mean = np.abs(latent).mean(axis=tuple(range(latent.ndim - 1)), dtype=np.float64)
    magnitude = mean.clip(limits.smallest_subnormal, limits.max).astype(np.float16)
    if np.array_equal(quantizer(latent_kernel(signs, magnitude)), quantized):
        return "1", signs, magnitude
    if (scale := _scale(quantized)) is not None:
        for code, size in (("s", len(scale)), ("t", 1), ("b", len(scale))):
            if size == 1 and np.ptp(scale):
                continue

            def read(total: np.ndarray, code: str = code) -> np.ndarray:
                return np.asarray(quantizer(kernel_of_sum(code, signs, total)))

            total = _sum(signs, scale[:size], read)
            if np.array_equal(read(total), quantized):
                return code, signs, total
    return "l", latent, None


def latent_kernel(signs: np.ndarray, magnitude: np.ndarray) -> tf.Tensor:
    """A kernel of these signs and magnitudes, float32. TensorFlow makes it: an array would be copied once more."""
    magnitude = magnitude.astype(np.float32)
    return tf.where(signs.view(np.bool_), magnitude, -magnitude)


def kernel_of_sum(code: str, signs: np.ndarray, total: np.ndarray) -> tf.Tensor:
    """A kernel of these signs whose magnitudes add up to `total` without rounding, in any order.

    A quantizer that multiplies the signs by the mean magnitude reads the same scale from it as from the weights whose
    sum it was. The mean of equal magnitudes would be rounded otherwise. All are as good as equal here: whole multiples
    of the total's last binary place, which differ by one at most.

    A quantizer that first shifts the weights by a share of their mean (Weight Self-Distribution) would read another
    scale. So with the code b, half of the total is that of the positive weights: their mean is 0, and nothing shifts.

    # Arguments
        code: s, t or b.
        signs: of any rank, output channels last.
        total: float32, of each output channel's magnitudes, or of all together (t).
    """
    flat = signs.reshape(signs.size // total.size, -1).astype(bool)
    _, exponent = np.frexp(total.astype(np.float64))
    place = np.ldexp(1.0, exponent - np.finfo(np.float32).nmant - 1)
    units = total / place
    if code == "b":
        few = np.where(flat.all(0), units, np.where(flat.any(0), units // 2, 0))
        magnitude = np.where(flat, _shared(few, flat), _shared(units - few, ~flat)) * place
    else:
        magnitude = _shared(units, np.ones_like(flat)) * place
    # None is 0, whose sign would be lost; what takes its place changes no sum.
    magnitude = np.maximum(magnitude, np.finfo(np.float32).tiny).astype(np.float32)
    return latent_kernel(signs, magnitude.reshape(signs.shape))


def _shared(units: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Units shared out in each column as evenly as whole numbers can be; the first have one more."""
    whole, rest = np.divmod(units, np.maximum(among.sum(0), 1))
    return whole + (among.cumsum(0) <= rest)


def _scale(quantized: np.ndarray) -> np.ndarray | None:
    """Of each output channel, if the quantizer's values are signs with a scale."""
    scale = np.abs(quantized).reshape(-1, quantized.shape[-1])
    return scale[0] if (scale == scale[0]).all() and scale[0].all() and not (scale == 1).all() else None


def _sum(signs: np.ndarray, scale: np.ndarray, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What the magnitudes add up to from which the quantizer reads the scale, where there is such a number.

    # Arguments
        signs: the kernel's.
        scale: of each output channel, or of the kernel.
        read: what the quantizer makes of the kernel of a sum.
    """
    guess = scale * np.float32(signs.size // scale.size)
    found, missing = guess, np.ones(scale.size, bool)
    for offset in sorted(range(-4, 5), key=abs):
        total = (guess + offset * np.spacing(guess)).astype(np.float32)
        got = np.abs(read(total)).reshape(-1, signs.shape[-1])[0, : scale.size]
        found = np.where(missing & (got == scale), total, found)
        missing &= got != scale
        if not missing.any() or (np.abs(got - scale) > 16 * np.spacing(scale)).any():  # found, or not to be found
            break
    return found
