"""ResNet-18 and ResNet-34 for ImageNet."""

import os
from collections.abc import Sequence
from typing import Optional

import tensorflow as tf
from larq_zoo.core import utils
from zookeeper import Field, factory

from sdbnn_larq._initializers import TORCH_DEFAULT, uniform
from sdbnn_larq.layers import SymmetricMaxPool2D
from sdbnn_larq.zoo._factory import SDBNNFactory
from sdbnn_larq.zoo.registry import register


@factory
class ResNet18Factory(SDBNNFactory):
    """SD-BNN's ResNet-18 with Bi-Real shortcuts and PReLU (https://arxiv.org/abs/2103.02394)."""

    name = "resnet18"
    image_size = 224
    checkpoint_names = (
        (r"^layer(\d)_(\d+)_", r"layer\1.\2."),
        (r"\.conv_asd_squeeze$", ".binary_conv.beta.fc.0"),
        (r"\.conv_asd_excite$", ".binary_conv.beta.fc.2"),
        (r"\.conv$", ".binary_conv"),
        (r"\.bn$", ".bn1"),
        (r"\.shortcut_conv$", ".downsample.1"),
        (r"\.shortcut_bn$", ".downsample.2"),
        (r"^logits$", "fc"),
    )
    blocks = (4, 4, 4, 4)

    input_quantizer = "approx_sign"
    kernel_quantizer = "ste_sign"
    kernel_initializer = uniform(0.0, 1e-3)
    float_initializer = TORCH_DEFAULT
    asd_initializer = TORCH_DEFAULT
    dense_initializer = TORCH_DEFAULT
    bias_initializer = uniform(-(512**-0.5), 512**-0.5)

    asd_reduction: int = Field(8)

    def body(self, x: tf.Tensor) -> tf.Tensor:
        x = self.photograph_stem(x)
        x = SymmetricMaxPool2D(3, 2, name="pool1")(x)
        for stage, blocks in enumerate(self.blocks, 1):
            for block in range(blocks):
                strides = 2 if stage > 1 and block == 0 else 1
                x = self.bireal_block(x, 64 * 2 ** (stage - 1), strides, name=f"layer{stage}_{block}")
        return x

    def bireal_block(self, x: tf.Tensor, filters: int, strides: int, *, name: str) -> tf.Tensor:
        shortcut = x
        if strides != 1:
            shortcut = tf.keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_shortcut_pool")(x)
            shortcut = self.float_conv(shortcut, filters, 1, name=f"{name}_shortcut_conv")
            shortcut = self.batch_norm(shortcut, name=f"{name}_shortcut_bn")
        x = self.sd_conv(x, filters, strides, name=f"{name}_conv")
        x = self.batch_norm(x, name=f"{name}_bn")
        x = tf.keras.layers.add([x, shortcut], name=f"{name}_add")
        return tf.keras.layers.PReLU(
            alpha_initializer=tf.keras.initializers.Constant(0.25), shared_axes=[1, 2], name=f"{name}_prelu"
        )(x)

    def head(self, x: tf.Tensor) -> tf.Tensor:
        return utils.global_pool(x, name="global")

    def build(self) -> tf.keras.models.Model:
        return super().build()


@factory
class ResNet34Factory(ResNet18Factory):
    """SD-BNN's ResNet-34: as its ResNet-18, with 6, 8, 12 and 6 blocks."""

    name = "resnet34"
    blocks = (6, 8, 12, 6)

    def build(self) -> tf.keras.models.Model:
        return super().build()


@register(ResNet18Factory)
def ResNet18(
    *,  # Keyword arguments only
    input_shape: Optional[Sequence[Optional[int]]] = None,
    input_tensor: Optional[utils.TensorType] = None,
    weights: Optional[str | os.PathLike] = None,
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: Optional[str] = "softmax",
    self_distribution: Optional[str] = "both",
    binary_weights: bool = True,
    binary: bool = True,
    asd_mode: str = "dynamic",
    asd_reduction: int = 8,
    wsd_scale: float = 0.01,
) -> tf.keras.models.Model:
    """Instantiates SD-BNN's ResNet-18 architecture for 224×224 images.

    # ImageNet Metrics

    | Top-1 Accuracy (authors) | Top-5 (authors) | Parameters | 1-bit MACs    | Memory   |
    | ------------------------ | --------------- | ---------- | ------------- | -------- |
    | 66.5 %                   | 86.7 %          | 11 980 840 | 1 676 279 808 | 5.11 MiB |

    # Arguments
        input_shape: shape of the image, `(224, 224, 3)` if `None`. It should have 3 channels.
        input_tensor: optional Keras tensor to use as image input for the model: the output of `layers.Input()`, or of
            layers of your own behind one, which then become part of the model.
        weights: `None` (random initialization), the path or URL (`https://`, `file://`) of a file of packed
            (`.safetensors`) or Keras (`.h5`) weights, or a tag of published weights, e.g. `"imagenette"`.
        include_top: whether to include the fully-connected layer at the top of the network.
        num_classes: number of classes; used only if `include_top`.
        classifier_activation: `"softmax"`, or `None` for logits.
        self_distribution: `"both"`, or only that of the `"activation"` or the `"weight"`, or `None`.
        binary_weights: `False` for 1-bit activations with float weights, the first stage of a two-stage training.
        binary: `False` for the float twin: the same topology without any quantizer.
        asd_mode: `"dynamic"`, a shift that the activations decide, or `"static"`, a learned constant.
        asd_reduction: channels for each hidden unit of Activation Self-Distribution.
        wsd_scale: factor of Weight Self-Distribution's shift.

    # Returns
        A Keras model instance.

    # Raises
        ValueError: in case of an invalid argument, or of weights that do not fit.

    # References
        - [Self-Distribution Binary Neural Networks](https://arxiv.org/abs/2103.02394)
        - [Bi-Real Net: Enhancing the Performance of 1-bit CNNs With Improved Representational Capability and Advanced
            Training Algorithm](https://arxiv.org/abs/1808.00278)
    """
    return ResNet18Factory(**locals()).build()


@register(ResNet34Factory)
def ResNet34(
    *,  # Keyword arguments only
    input_shape: Optional[Sequence[Optional[int]]] = None,
    input_tensor: Optional[utils.TensorType] = None,
    weights: Optional[str | os.PathLike] = None,
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: Optional[str] = "softmax",
    self_distribution: Optional[str] = "both",
    binary_weights: bool = True,
    binary: bool = True,
    asd_mode: str = "dynamic",
    asd_reduction: int = 8,
    wsd_scale: float = 0.01,
) -> tf.keras.models.Model:
    """Instantiates SD-BNN's ResNet-34 architecture for 224×224 images.

    It has 22 377 000 parameters. The authors give no accuracy for it.

    # Arguments
        input_shape: shape of the image, `(224, 224, 3)` if `None`. It should have 3 channels.
        input_tensor: optional Keras tensor to use as image input for the model: the output of `layers.Input()`, or of
            layers of your own behind one, which then become part of the model.
        weights: `None` (random initialization), the path or URL (`https://`, `file://`) of a file of packed
            (`.safetensors`) or Keras (`.h5`) weights, or a tag of published weights (none yet).
        include_top: whether to include the fully-connected layer at the top of the network.
        num_classes: number of classes; used only if `include_top`.
        classifier_activation: `"softmax"`, or `None` for logits.
        self_distribution: `"both"`, or only that of the `"activation"` or the `"weight"`, or `None`.
        binary_weights: `False` for 1-bit activations with float weights, the first stage of a two-stage training.
        binary: `False` for the float twin: the same topology without any quantizer.
        asd_mode: `"dynamic"`, a shift that the activations decide, or `"static"`, a learned constant.
        asd_reduction: channels for each hidden unit of Activation Self-Distribution.
        wsd_scale: factor of Weight Self-Distribution's shift.

    # Returns
        A Keras model instance.

    # Raises
        ValueError: in case of an invalid argument, or of weights that do not fit.

    # References
        - [Self-Distribution Binary Neural Networks](https://arxiv.org/abs/2103.02394)
    """
    return ResNet34Factory(**locals()).build()
