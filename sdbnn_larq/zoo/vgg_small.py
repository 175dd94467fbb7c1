"""VGG-Small for CIFAR-10."""

import os
from collections.abc import Sequence
from typing import Optional

import tensorflow as tf
from larq_zoo.core import utils
from zookeeper import factory

from sdbnn_larq._initializers import HE_NORMAL_FAN_OUT, TORCH_DEFAULT, normal
from sdbnn_larq.zoo._factory import SDBNNFactory
from sdbnn_larq.zoo.registry import register


@factory
class VGGSmallFactory(SDBNNFactory):
    """SD-BNN's VGG-Small (https://arxiv.org/abs/2103.02394)."""

    name = "vgg_small"
    image_size = 32
    checkpoint_names = (*SDBNNFactory.checkpoint_names, (r"^logits$", "fc"))

    kernel_initializer = HE_NORMAL_FAN_OUT
    float_initializer = HE_NORMAL_FAN_OUT
    asd_initializer = TORCH_DEFAULT
    dense_initializer = normal(0.01)

    def body(self, x: tf.Tensor) -> tf.Tensor:
        x = self.float_conv(x, 128, 3, name="conv0")
        x = self.batch_norm(x, name="bn0")
        x = self.hard_tanh(x, name="hard_tanh0")
        for i, filters in enumerate((128, 256, 256, 512, 512), 1):
            x = self.sd_conv(x, filters, name=f"conv{i}")
            if i in (1, 3, 5):
                x = tf.keras.layers.MaxPool2D(2, name=f"pool{i}")(x)
            x = self.batch_norm(x, name=f"bn{i}")
            x = self.hard_tanh(x, name=f"hard_tanh{i}")
        return x

    def head(self, x: tf.Tensor) -> tf.Tensor:
        return tf.keras.layers.Flatten(name="flatten")(x)

    def build(self) -> tf.keras.models.Model:
        return super().build()


@register(VGGSmallFactory)
def VGGSmall(
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
) -> tf.keras.models.Model:
    """Instantiates SD-BNN's VGG-Small architecture for 32×32 images.

    # CIFAR-10 Metrics

    | Top-1 Accuracy (authors) | Parameters | 1-bit MACs  | Memory   |
    | ------------------------ | ---------- | ----------- | -------- |
    | 90.8 %                   | 4 715 018  | 603 979 776 | 1.09 MiB |

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

    # Returns
        A Keras model instance.

    # Raises
        ValueError: in case of an invalid argument, or of weights that do not fit.

    # References
        - [Self-Distribution Binary Neural Networks](https://arxiv.org/abs/2103.02394)
    """
    return VGGSmallFactory(**locals()).build()
