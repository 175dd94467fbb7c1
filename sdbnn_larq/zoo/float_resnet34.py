"""The float ResNet-34 that teaches SD-BNN's ImageNet networks."""

import os
from collections.abc import Sequence
from typing import Optional

import tensorflow as tf
from larq_zoo.core import utils
from zookeeper import factory

from sdbnn_larq.layers import SymmetricMaxPool2D
from sdbnn_larq.zoo._factory import SDBNNFactory
from sdbnn_larq.zoo.registry import register


@factory
class FloatResNet34Factory(SDBNNFactory):
    """The ordinary ResNet-34, as torchvision computes it (https://arxiv.org/abs/1512.03385)."""

    name = "float_resnet34"
    image_size = 224
    blocks = (3, 4, 6, 3)
    checkpoint_names = (
        (r"^layer(\d)_(\d+)_", r"layer\1.\2."),
        (r"\.shortcut_conv$", ".downsample.0"),
        (r"\.shortcut_bn$", ".downsample.1"),
        (r"^logits$", "fc"),
    )

    def body(self, x: tf.Tensor) -> tf.Tensor:
        x = self.photograph_stem(x)
        x = tf.keras.layers.ReLU(name="relu1")(x)
        x = SymmetricMaxPool2D(3, 2, name="pool1")(x)
        for stage, blocks in enumerate(self.blocks, 1):
            for block in range(blocks):
                strides = 2 if stage > 1 and block == 0 else 1
                x = self.basic_block(x, 64 * 2 ** (stage - 1), strides, name=f"layer{stage}_{block}")
        return x

    def basic_block(self, x: tf.Tensor, filters: int, strides: int, *, name: str) -> tf.Tensor:
        shortcut = x
        if strides != 1:
            shortcut = self.float_conv(x, filters, 1, strides, name=f"{name}_shortcut_conv")
            shortcut = self.batch_norm(shortcut, name=f"{name}_shortcut_bn")
        x = self.float_conv(x, filters, 3, strides, name=f"{name}_conv1")
        x = self.batch_norm(x, name=f"{name}_bn1")
        x = tf.keras.layers.ReLU(name=f"{name}_relu1")(x)
        x = self.float_conv(x, filters, 3, name=f"{name}_conv2")
        x = self.batch_norm(x, name=f"{name}_bn2")
        x = tf.keras.layers.add([x, shortcut], name=f"{name}_add")
        return tf.keras.layers.ReLU(name=f"{name}_relu2")(x)

    def head(self, x: tf.Tensor) -> tf.Tensor:
        return utils.global_pool(x, name="global")

    def build(self) -> tf.keras.models.Model:
        return super().build()


@register(FloatResNet34Factory, listed=False)
def FloatResNet34(
    *,  # Keyword arguments only
    input_shape: Optional[Sequence[Optional[int]]] = None,
    input_tensor: Optional[utils.TensorType] = None,
    weights: Optional[str | os.PathLike] = None,
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: Optional[str] = "softmax",
) -> tf.keras.models.Model:
    """Instantiates the ordinary ResNet-34, a teacher for `ResNet18` and `ResNet34`.

    It has 21 797 672 parameters, all float; `list_models` leaves it out, `get_model` knows it.
    `convert.load_torch_checkpoint` reads torchvision's weights into it.

    # Arguments
        input_shape: shape of the image, `(224, 224, 3)` if `None`. It should have 3 channels.
        input_tensor: optional Keras tensor to use as image input for the model: the output of `layers.Input()`, or of
            layers of your own behind one, which then become part of the model.
        weights: `None` (random initialization), or the path or URL (`https://`, `file://`) of a file of packed
            (`.safetensors`) or Keras (`.h5`) weights.
        include_top: whether to include the fully-connected layer at the top of the network.
        num_classes: number of classes; used only if `include_top`.
        classifier_activation: `"softmax"`, or `None` for logits.

    # Returns
        A Keras model instance.

    # Raises
        ValueError: in case of an invalid argument, or of weights that do not fit.

    # References
        - [Deep Residual Learning for Image Recognition](https://arxiv.org/abs/1512.03385)
    """
    return FloatResNet34Factory(**locals()).build()
