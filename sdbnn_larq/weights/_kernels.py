"""1-bit kernels as a packed file stores them: signs, and one magnitude for each output channel."""

from collections.abc import Callable, Mapping

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
    scale = _scale(signs, quantized, quantizer)
    return ("l", latent, None) if scale is None else ("s", signs, scale)


def _scale(signs: np.ndarray, quantized: np.ndarray, quantizer: Callable) -> np.ndarray | None:
    """The magnitude of each channel's weights to which the quantizer gives its scale; `None` if none does.

    A quantizer that multiplies by the mean magnitude rounds while it sums: the mean of equal numbers is a few units in
    the last place from them.
    """
    target = np.abs(quantized).reshape(-1, quantized.shape[-1])
    if not (target == target[0]).all() or not target[0].all():
        return None
    target = target[0]
    found, waiting = target.copy(), np.ones(target.shape, bool)
    guess, step = target.copy(), np.spacing(target)
    for offset in sorted(range(-8, 9), key=abs):
        trial = np.where(waiting, guess + offset * step, found).astype(np.float32)
        got = np.abs(np.asarray(quantizer(latent_kernel(signs, trial)))).reshape(-1, target.size)
        right = (got == target).all(axis=0)
        found, waiting = np.where(right & waiting, trial, found), waiting & ~right
        if not waiting.any():
            break
        if not offset:  # the first trial says how far the rounding leads
            guess = (target * (target / got[0])).astype(np.float32)
    # Channels may share a scale: all must be right together.
    return found if np.array_equal(quantizer(latent_kernel(signs, found)), quantized) else None


def latent_kernel(signs: np.ndarray, magnitude: np.ndarray) -> tf.Tensor:
    """A kernel of these signs and magnitudes, float32. TensorFlow makes it: an array would be copied once more."""
    magnitude = magnitude.astype(np.float32)
    return tf.where(signs.view(np.bool_), magnitude, -magnitude)
