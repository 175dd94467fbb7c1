"""Which layers of a Keras model compute in 1 bit, and with which kernel."""

import larq as lq
import numpy as np
import tensorflow as tf

# What the kernels of Larq's layers are called, and the quantizers that read them.
KERNEL_QUANTIZERS = {
    "kernel": "kernel_quantizer",
    "depthwise_kernel": "depthwise_quantizer",
    "pointwise_kernel": "pointwise_quantizer",
}
QUANTIZERS = ("input_quantizer", *KERNEL_QUANTIZERS.values())


def kernel_of(layer: tf.keras.layers.Layer, name: str = "kernel") -> np.ndarray:
    """A layer's kernel as inference uses it: quantized where the layer quantizes it."""
    with lq.context.quantized_scope(True):
        return tf.convert_to_tensor(getattr(layer, name)).numpy()


def takes_sign(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer's inputs are ±1, decided by its input quantizer's values, not by its name."""
    quantizer = getattr(layer, "input_quantizer", None)
    if quantizer is None:
        return False
    spec = tf.nest.flatten(layer.input_spec)[0]
    rank = (spec and (spec.ndim or spec.min_ndim)) or 2
    channels = (spec and spec.axes.get(-1)) or 1  # of which each may have a threshold of its own
    values = np.array([-2.0, -0.3, -1e-6, 0.0, 1e-6, 0.3, 2.0], np.float32)
    probe = np.tile(values[:, None], channels).reshape(*[1] * (rank - 2), len(values), channels)
    return np.array_equal(quantizer(tf.constant(probe)), np.where(probe < 0, -1, 1))


def scale_of(kernel: np.ndarray) -> np.ndarray | None:
    """The size of the weights in each output channel, where all of a channel's are ±that; `None` where they are not."""
    sizes = np.abs(kernel).reshape(-1, kernel.shape[-1])
    return sizes[0] if sizes[0].all() and (sizes == sizes[0]).all() else None


def is_binary(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer multiplies 1-bit inputs with a 1-bit kernel."""
    return (
        getattr(layer, "kernel_quantizer", None) is not None
        and takes_sign(layer)
        and scale_of(kernel_of(layer)) is not None
    )


def should_be_binary(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer quantizes its inputs or its kernel and yet does not multiply 1 bit with 1 bit."""
    return any(getattr(layer, name, None) is not None for name in QUANTIZERS) and not is_binary(layer)


def one_bit_part(layer: tf.keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    """What a 1-bit layer computes before its scale, bias and activation: integers, by Keras and with its padding."""
    config = {"input_quantizer": "ste_sign", "kernel_quantizer": None, "use_bias": False, "activation": None}
    bare = type(layer).from_config({**layer.get_config(), **config})
    bare.build(x.shape)
    bare.kernel.assign(np.sign(kernel_of(layer)))
    return np.asarray(bare(x))
