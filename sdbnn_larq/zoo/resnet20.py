"""ResNet-20 for CIFAR-10."""

import os
from collections.abc import Sequence
from typing import Optional

import tensorflow as tf
from larq_zoo.core import utils
from zookeeper import Field, factory

from sdbnn_larq.zoo._factory import SDBNNFactory
from sdbnn_larq.zoo.registry import register


@factory
class ResNet20Factory(SDBNNFactory):
    """SD-BNN's ResNet-20 with Bi-Real shortcuts (https://arxiv.org/abs/2103.02394)."""

    name = "resnet20"
    image_size = 32
    checkpoint_names = (*SDBNNFactory.checkpoint_names, (r"^logits$", "linear"))
    filters: int = Field(16)  # of the first stage
    # Initial γ of the batch normalisations before a sum. At 1, as the authors have it, 44 % of an untrained network's
    # sums leave the range that hard tanh passes on, at 0.1 8 %: a short training goes further.
    branch_gamma: float = Field(1.0)

    def body(self, x: tf.Tensor) -> tf.Tensor:
        x = self.float_conv(x, self.filters, 3, name="conv1")
        x = self.batch_norm(x, name="bn1")
        x = self.hard_tanh(x, name="hard_tanh1")
        for stage in (1, 2, 3):
            filters = self.filters * 2 ** (stage - 1)
            for block in range(3):
                for conv in (1, 2):
                    strides = 2 if stage > 1 and block == 0 and conv == 1 else 1
                    x = self.residual_conv(x, filters, strides, name=f"layer{stage}_{block}", conv=conv)
        return x

    def residual_conv(self, x: tf.Tensor, filters: int, strides: int, *, name: str, conv: int) -> tf.Tensor:
        """A convolution with a shortcut of its own."""
        shortcut = x if strides == 1 else self.option_a(x, filters, name=f"{name}_shortcut")
        x = self.sd_conv(x, filters, strides, name=f"{name}_conv{conv}")
        x = self.batch_norm(x, gamma=self.branch_gamma, name=f"{name}_bn{conv}")
        x = tf.keras.layers.add([x, shortcut], name=f"{name}_add{conv}")
        return self.hard_tanh(x, name=f"{name}_hard_tanh{conv}")

    @staticmethod
    def option_a(x: tf.Tensor, filters: int, *, name: str) -> tf.Tensor:
        """The shortcut without parameters: every second pixel, and zeros for the channels that are new."""
        x = tf.keras.layers.AveragePooling2D(1, strides=2, name=f"{name}_subsample")(x)
        new = filters - x.shape[-1]
        # Read as NCHW, the last axis of NHWC is a spatial one.
        return tf.keras.layers.ZeroPadding2D(
            ((0, 0), (new // 2, new - new // 2)), data_format="channels_first", name=f"{name}_pad"
        )(x)

    def head(self, x: tf.Tensor) -> tf.Tensor:
        return self.batch_norm(utils.global_pool(x, name="global"), name="bn2")

    def build(self) -> tf.keras.models.Model:
        return super().build()


@register(ResNet20Factory)
def ResNet20(
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
    filters: int = 16,
    branch_gamma: float = 1.0,
) -> tf.keras.models.Model:
    """Instantiates SD-BNN's ResNet-20 architecture for 32×32 images.

    # CIFAR-10 Metrics

    | Top-1 Accuracy (authors) | Parameters | 1-bit MACs | Memory     |
    | ------------------------ | ---------- | ---------- | ---------- |
    | 86.9 %                   | 274 074    | 40 108 032 | 59.2 KiB   |

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
        filters: channels of the first stage; the others have twice and four times as many.
        branch_gamma: initial γ of the batch normalisations before a sum; 0.1 helps a short training.

    # Returns
        A Keras model instance.

    # Raises
        ValueError: in case of an invalid argument, or of weights that do not fit.

    # References
        - [Self-Distribution Binary Neural Networks](https://arxiv.org/abs/2103.02394)
        - [Bi-Real Net: Enhancing the Performance of 1-bit CNNs With Improved Representational Capability and Advanced
            Training Algorithm](https://arxiv.org/abs/1808.00278)
    """
    return ResNet20Factory(**locals()).build()
