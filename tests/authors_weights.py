"""Which Keras weight each entry of the authors' state dicts is, and how its layout changes."""

import re
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def find_weight(model: tf.keras.Model, key: str) -> tf.Variable:
    """The Keras weight of an entry of the authors' state dict."""
    module, last = key.removeprefix("module.").rsplit(".", 1)
    module = module.replace(".", "_")
    if module in ("linear", "fc"):
        module = "logits"
    if model.name in ("resnet18", "resnet34"):  # one convolution a block, so the zoo numbers none
        module = re.sub(r"(layer\d_\d+)_(?:binary_)?(conv|bn)1?", r"\1_\2", module)
    module = re.sub("shortcut_0|downsample_1", "shortcut_conv", module)
    module = re.sub("shortcut_1|downsample_2", "shortcut_bn", module)
    if match := re.fullmatch(r"(.*)_(?:dy)?beta_fc_([02])", module):
        return model.get_layer(f"{match[1]}_asd").shift.layers[int(match[2]) // 2].kernel
    layer = model.get_layer(module)
    if last == "alpha":
        return layer.kernel_quantizer.alpha
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        return getattr(layer, BATCH_NORM[last])
    if isinstance(layer, tf.keras.layers.PReLU):
        return layer.alpha
    kernel = layer.bias if last == "bias" else layer.kernel
    return getattr(kernel, "latent_variable", kernel)


def to_keras(value: np.ndarray, shape: tuple[int, ...], name: str = "") -> np.ndarray:
    """From PyTorch's layout to a Keras weight of the given shape, in the model of the given name."""
    if len(shape) == 4 and value.size == np.prod(shape):  # OIHW, or ImageNet's kernels as one column
        return value.reshape(shape[::-1][:2] + shape[:2]).transpose(2, 3, 1, 0)
    if name == "vgg_small" and shape[0] == 8192:  # flattened from CHW
        return value.reshape(-1, 512, 4, 4).transpose(2, 3, 1, 0).reshape(shape)
    return value.T if value.ndim == 2 else value.reshape(shape)


def to_torch(value: np.ndarray, shape: tuple[int, ...], name: str = "") -> np.ndarray:
    """The inverse of `to_keras`, for an entry of the given shape."""
    if name == "vgg_small" and value.shape[0] == 8192:
        return value.reshape(4, 4, 512, -1).transpose(3, 2, 0, 1).reshape(shape)
    if value.ndim == 4 and len(shape) > 1:
        return value.transpose(3, 2, 0, 1).reshape(shape)
    return value.T if value.ndim == 2 else value.reshape(shape)


def weights_by_key(model: tf.keras.Model, keys) -> Iterator[tuple[str, tf.Variable]]:
    """Pairs of state-dict entry and Keras weight; Keras does not count batches."""
    return ((key, find_weight(model, key)) for key in keys if not key.endswith("num_batches_tracked"))


def fill(model: tf.keras.Model, state: dict[str, np.ndarray]) -> tf.keras.Model:
    """Copies a state dict of the authors into a model of the zoo."""
    for key, weight in weights_by_key(model, state):
        weight.assign(to_keras(np.asarray(state[key]), tuple(weight.shape), model.name))
    return model


class floatx:
    """`with floatx("float64"):` builds layers of that type."""

    def __init__(self, dtype: str):
        self.dtype = dtype

    def __enter__(self):
        tf.keras.backend.set_floatx(self.dtype)

    def __exit__(self, *exception):
        tf.keras.backend.set_floatx("float32")
