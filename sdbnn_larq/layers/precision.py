"""Mixed precision for binary networks: products of ±1 with ±1 in bfloat16 while a model trains."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from sdbnn_larq.layers.binary import kernel_of, takes_sign

PRECISIONS = ("float32", "mixed")
CONVOLUTIONS = (lq.layers.QuantConv1D, lq.layers.QuantConv2D, lq.layers.QuantConv3D)

_thread = threading.local()  # a strategy traces each replica in a thread of its own


@contextlib.contextmanager
def mixed_products() -> Iterator[None]:
    """Lets the layers that `set_precision` chose compute in bfloat16 in this block, for a training loop of your own.

    !!! example
        ```python
        set_precision(model, "mixed")
        with mixed_products(), tf.GradientTape() as tape:
            probabilities = model(images, training=True)
            loss = tf.keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        gradients = tape.gradient(loss, model.trainable_variables)
        ```
    """
    before = _are_mixed()
    _thread.mixed = True
    try:
        yield
    finally:
        _thread.mixed = before


def _are_mixed() -> bool:
    return getattr(_thread, "mixed", False)


def set_precision(model: tf.keras.Model, precision: str) -> list[str]:
    """Chooses how a model's 1-bit layers compute while `fit` trains it.

    With `"mixed"`, each convolution and dense layer whose inputs and weights are all ±1 casts both to bfloat16, which
    is exact, and accumulates their products in float32. The sums are stored in bfloat16, which holds every integer up
    to 256 and every even one up to 512; a larger sum is rounded to eight significant bits. So are the gradients that
    pass through those layers. Everything else, latent weights included, stays in float32, and so do `evaluate`,
    `predict`, what is saved and what is exported.

    Call it after the layers are built. It holds for this object: a copy or a loaded model computes in float32 until it
    is called again.

    !!! example
        ```python
        model = sdbnn_larq.zoo.VGGSmall()
        sdbnn_larq.layers.set_precision(model, "mixed")
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(images, labels)
        ```

    # Arguments
        model: any Keras model of Larq layers, nested ones included.
        precision: `"float32"` or `"mixed"`.

    # Returns
        The names of the layers that compute in bfloat16 from now on. Layers whose operands are not ±1, or that share
        weights by groups or depth, are not among them.

    # Raises
        ValueError: for another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {PRECISIONS}. Received: precision={precision!r}.")
    for layer in model.submodules:
        for name in ("convolution_op", "call"):
            if _is_ours(vars(layer).get(name)):
                delattr(layer, name)
    if _is_ours(vars(model).get("train_step")):
        model.train_step = model.train_step.args[0]
    chosen = []
    if precision == "mixed":
        for layer in model.submodules:
            if not _has_one_bit_products(layer):
                continue
            if isinstance(layer, lq.layers.QuantDense):
                layer.call = functools.partial(_dense, layer, layer.call)
            else:
                layer.convolution_op = functools.partial(_convolution, layer.convolution_op)
            chosen.append(layer.name)
        model.train_step = functools.partial(_train_step, model.train_step)
    model.train_function = None  # to be traced anew
    return chosen


def _is_ours(function: Any) -> bool:
    return isinstance(function, functools.partial) and function.func in (_convolution, _dense, _train_step)


def _has_one_bit_products(layer: tf.Module) -> bool:
    """Whether a layer sums products of ±1 with ±1, whatever its weights become."""
    if not isinstance(layer, (*CONVOLUTIONS, lq.layers.QuantDense)):
        return False
    if not layer.built:
        raise ValueError(f"`model` must be built, to see what its layers compute. Received: {layer.name}, not built.")
    quantizers = layer.input_quantizer, layer.kernel_quantizer
    return (
        all(getattr(quantizer, "precision", None) == 1 for quantizer in quantizers)
        and takes_sign(layer)
        and bool((np.abs(kernel_of(layer)) == 1).all())
        and getattr(layer, "groups", 1) == 1
        and tf.keras.backend.get_value(getattr(layer, "pad_values", 0)) in (-1, 0, 1)
    )


def _convolution(operation: Callable, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A layer's `convolution_op`, of ±1 or 0 with ±1."""
    if not _are_mixed():
        return operation(inputs, kernel)
    return tf.cast(operation(tf.cast(inputs, tf.bfloat16), tf.cast(kernel, tf.bfloat16)), inputs.dtype)


def _dense(layer: lq.layers.QuantDense, call: Callable, inputs: tf.Tensor) -> tf.Tensor:
    """A dense layer's `call`, of ±1 with ±1."""
    if not _are_mixed():
        return call(inputs)
    signs = layer.input_quantizer(inputs)
    with lq.context.quantized_scope(True):
        kernel = tf.cast(layer.kernel, tf.bfloat16)
    outputs = tf.cast(tf.tensordot(tf.cast(signs, tf.bfloat16), kernel, 1), signs.dtype)
    if layer.use_bias:
        outputs = outputs + layer.bias
    return layer.activation(outputs)


def _train_step(step: Callable, data: Any) -> dict[str, tf.Tensor]:
    with mixed_products():
        return step(data)


def has_bfloat16() -> bool:
    """Whether this machine multiplies in bfloat16: its GPUs (from Ampere on), or else its processor."""
    if gpus := tf.config.list_physical_devices("GPU"):
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(each.get("compute_capability", (0, 0)) >= (8, 0) for each in details)
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
