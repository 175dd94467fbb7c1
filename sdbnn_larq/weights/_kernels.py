"""1-bit kernels as a packed file stores them: signs, and one magnitude for each output channel."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from sdbnn_larq.weights.names import variable

QUANTIZERS = {
    "kernel": "kernel_quantizer",
    "depthwise_kernel": "depthwise_quantizer",
    "pointwise_kernel": "pointwise_quantizer",
}


def one_bit_quantizers(model: tf.keras.Model, weights: Mapping[str, tf.Variable]) -> dict[str, Callable]:
    """The quantizer of each kernel that takes one bit, by the kernel's name."""
    names = {id(weight): name for name, weight in weights.items()}
    found: dict[str, Callable] = {}
    for layer in model._flatten_layers():
        for kernel, attribute in QUANTIZERS.items():
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
    for total in _sums(signs, quantized, quantizer):
        if np.array_equal(quantizer(kernel_of_sum(signs, total)), quantized):
            return "s" if total.size == latent.shape[-1] else "t", signs, total
    return "l", latent, None


def latent_kernel(signs: np.ndarray, magnitude: np.ndarray) -> tf.Tensor:
    """A kernel of these signs and magnitudes, float32. TensorFlow makes it: an array would be copied once more."""
    magnitude = magnitude.astype(np.float32)
    return tf.where(signs.view(np.bool_), magnitude, -magnitude)


def kernel_of_sum(signs: np.ndarray, total: np.ndarray) -> tf.Tensor:
    """A kernel of these signs whose magnitudes add up to `total` without rounding, in any order.

    A quantizer that multiplies the signs by the mean magnitude reads the same scale from it as from the weights whose
    sum it was. The mean of equal magnitudes would be rounded otherwise. All are as good as equal here: whole multiples
    of the total's last binary place, which differ by one at most.

    # Arguments
        signs: of any rank, output channels last.
        total: float32, of each output channel's magnitudes, or of all together if it is one number.
    """
    count = signs.size // total.size
    _, exponent = np.frexp(total.astype(np.float64))
    place = np.ldexp(1.0, exponent - np.finfo(np.float32).nmant - 1)
    whole, rest = np.divmod(total / place, count)
    magnitude = (whole + (np.arange(count)[:, None] < rest)) * place
    # None is 0, whose sign would be lost; what takes its place changes no sum.
    magnitude = np.maximum(magnitude, np.finfo(np.float32).tiny).astype(np.float32)
    return latent_kernel(signs, magnitude.reshape(signs.shape))


def _sums(signs: np.ndarray, quantized: np.ndarray, quantizer: Callable) -> Iterator[np.ndarray]:
    """What the magnitudes may have added up to where the quantizer's values are signs with a scale."""
    scale = np.abs(quantized).reshape(-1, quantized.shape[-1])
    if not (scale == scale[0]).all() or not scale[0].all() or (scale == 1).all():
        return
    for target in (scale[0], scale[0][:1]):  # of each channel, or of the kernel
        guess = target * np.float32(signs.size // target.size)
        found = guess.copy()
        for offset in range(-4, 5):
            total = (guess + offset * np.spacing(guess)).astype(np.float32)
            got = np.abs(np.asarray(quantizer(kernel_of_sum(signs, total)))).reshape(-1, scale.shape[-1])[0]
            found = np.where(got[: target.size] == target, total, found)
        yield found
