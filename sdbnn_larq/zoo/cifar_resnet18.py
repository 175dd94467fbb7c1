"""ResNet-18 for CIFAR-10."""

import os
from collections.abc import Sequence
from typing import Optional

import tensorflow as tf
from larq_zoo.core import utils
from zookeeper import Field, factory

from sdbnn_larq.zoo._factory import SDBNNFactory
from sdbnn_larq.zoo.registry import register


@factory
class CifarResNet18Factory(SDBNNFactory):
    """SD-BNN's ResNet-18 for small images, with basic blocks (https://arxiv.org/abs/2103.02394)."""

    name = "cifar_resnet18"
    image_size = 32
    checkpoint_names = (*SDBNNFactory.checkpoint_names, (r"^logits$", "linear"))
    filters: int = Field(64)  # of the first stage

    def body(self, x: tf.Tensor) -> tf.Tensor:
        x = self.float_conv(x, self.filters, 3, name="conv1")
        x = self.batch_norm(x, name="bn1")
        x = self.hard_tanh(x, name="hard_tanh1")
        for stage in (1, 2, 3, 4):
            for block in range(2):
                strides = 2 if stage > 1 and block == 0 else 1
                x = self.basic_block(x, self.filters * 2 ** (stage - 1), strides, name=f"layer{stage}_{block}")
        return x

    def basic_block(self, x: tf.Tensor, filters: int, strides: int, *, name: str) -> tf.Tensor:
        shortcut = x
        if strides != 1:
            shortcut = self.float_conv(x, filters, 1, strides, name=f"{name}_shortcut_conv")
            shortcut = self.batch_norm(shortcut, name=f"{name}_shortcut_bn")
        x = self.sd_conv(x, filters, strides, name=f"{name}_conv1")
        x = self.batch_norm(x, name=f"{name}_bn1")
        x = self.hard_tanh(x, name=f"{name}_hard_tanh1")
        x = self.sd_conv(x, filters, name=f"{name}_conv2")
        x = self.batch_norm(x, name=f"{name}_bn2")
        x = tf.keras.layers.add([x, shortcut], name=f"{name}_add")
        return self.hard_tanh(x, name=f"{name}_hard_tanh2")

    def head(self, x: tf.Tensor) -> tf.Tensor:
        return self.batch_norm(utils.global_pool(x, name="global"), name="bn2")

    def build(self) -> tf.keras.models.Model:
        return super().build()


@register(CifarResNet18Factory)
def CifarResNet18(
    *,  # Keyword arguments only
    input_shape: Optional[Sequence[Optional[int]]] = None,
    input_tensor: Optional[utils.TensorType] = None,
    weights: Optional[str | os.PathLike] = None,
    include_top: bool = True,
    num_classes: int = 10,
    classifier_activation: Optional[str] = "softmax",
    self_distribution: Optional[str] = "both",
    binary_weights: bool = True,
    binary: bool = True,
    asd_mode: str = "dynamic",
    asd_reduction: int = 16,
    wsd_scale: float = 0.01,
    filters: int = 64,
) -> tf.keras.models.Model:
    """Instantiates SD-BNN's ResNet-18 architecture for 32×32 images.

    # CIFAR-10 Metrics

    | Top-1 Accuracy (authors) | Parameters | 1-bit MACs  | Memory   |
    | ------------------------ | ---------- | ----------- | -------- |
    | 92.5 %                   | 11 320 650 | 547 356 672 | 2.59 MiB |

    # Arguments
        input_shape: shape of the image, `(32, 32, 3)` if `None`. It should have 3 channels.
        input_tensor: optional Keras tensor to use as image input for the model: the output of `layers.Input()`, or of
            layers of your own behind one, which then become part of the model.
        weights: `None` (random initialization), the path or URL (`https://`, `file://`) of a file of packed
            (`.safetensors`) or Keras (`.h5`) weights, or a tag of published weights, e.g. `"cifar10"`.
        include_top: whether to include the fully-connected layer at the top of the network.
        num_classes: number of classes; used only if `include_top`.
        classifier_activation: `"softmax"`, or `None` for logits.
        self_distribution: `"both"`, or only that of the `"activation"` or the `"weight"`, or `None`.
        binary_weights: `False` for 1-bit activations with float weights, the first stage of a two-stage training.
        binary: `False` for the float twin: the same topology without any quantizer.
        asd_mode: `"dynamic"`, a shift that the activations decide, or `"static"`, a learned constant.
        asd_reduction: channels for each hidden unit of Activation Self-Distribution.
        wsd_scale: factor of Weight Self-Distribution's shift.
        filters: channels of the first stage; the others have twice, four and eight times as many.

    # Returns
        A Keras model instance.

    # Raises
        ValueError: in case of an invalid argument, or of weights that do not fit.

    # References
        - [Self-Distribution Binary Neural Networks](https://arxiv.org/abs/2103.02394)
    """
    return CifarResNet18Factory(**locals()).build()
