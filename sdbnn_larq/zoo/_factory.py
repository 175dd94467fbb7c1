"""What all architectures of the zoo share: their options, their input and the self-distribution convolution."""

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import larq as lq
import tensorflow as tf
from larq_zoo.core import utils
from larq_zoo.core.model_factory import ModelFactory
from zookeeper import Field

from sdbnn_larq._counts import is_count
from sdbnn_larq._initializers import HE_NORMAL
from sdbnn_larq.layers import ActivationSelfDistribution, HardTanh, SymmetricQuantConv2D
from sdbnn_larq.quantizers import WeightSelfDistribution
from sdbnn_larq.weights import NetworkDescription
from sdbnn_larq.zoo._weights import GIVEN, load_weights
from sdbnn_larq.zoo.registry import architecture_of

SELF_DISTRIBUTIONS = ("both", "activation", "weight", None)


@contextlib.contextmanager
def _no_constraint_warnings() -> Iterator[None]:
    """Larq recommends a `kernel_constraint` for 1-bit kernels; the authors of SD-BNN use none."""
    log, own = logging.getLogger("larq.layers_base"), threading.get_ident()

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != own

    log.addFilter(of_others)
    try:
        yield
    finally:
        log.removeFilter(of_others)


def _is_input(tensor: utils.TensorType) -> bool:
    """Whether a Keras tensor is a model's input, and not a layer's output."""
    return isinstance(tensor.node.layer, tf.keras.layers.InputLayer)


class SDBNNFactory(ModelFactory):
    """Base class of the zoo's factories: options, input, output and weights; `body` holds the architecture."""

    name: str  # the model's, and that of its weights
    image_size: int
    # Regular expressions from the names of layers to those of modules in a PyTorch checkpoint, applied in turn; here
    # what the authors' CIFAR-10 networks share.
    checkpoint_names: tuple[tuple[str, str], ...] = (
        (r"^layer(\d)_(\d+)_", r"layer\1.\2."),
        (r"_asd_squeeze$", ".dybeta.fc.0"),
        (r"_asd_excite$", ".dybeta.fc.2"),
        (r"\.shortcut_conv$", ".shortcut.0"),
        (r"\.shortcut_bn$", ".shortcut.1"),
    )

    input_quantizer: str = "ede_sign"
    kernel_quantizer: str = "ede_sign"
    kernel_initializer = HE_NORMAL  # of the self-distribution convolutions
    float_initializer = HE_NORMAL
    asd_initializer = HE_NORMAL
    dense_initializer = HE_NORMAL
    bias_initializer: str | dict = "zeros"

    # larq-zoo's types for these admit neither paths nor the Keras tensors of tf_keras, nor an error in one line.
    input_shape: Any = Field(None)
    weights: Any = Field(None)
    input_tensor: Any = Field(None)
    classifier_activation: Optional[str] = Field("softmax")
    self_distribution: Optional[str] = Field("both")
    binary_weights: bool = Field(True)
    binary: bool = Field(True)
    asd_mode: str = Field("dynamic")
    asd_reduction: int = Field(16)
    wsd_scale: float = Field(0.01)

    @property
    def image_input(self) -> utils.TensorType:
        if not hasattr(self, "_image_input"):
            shape = self.input_shape or getattr(getattr(self, "dataset", None), "image_shape", None)
            if shape is not None and not (isinstance(shape, Sequence) and len(shape) == 3):
                raise ValueError(
                    f"`input_shape` must be height, width and channels. Received: input_shape={self.input_shape!r}."
                )
            for axis, size in enumerate(shape or ()):
                if not (is_count(size) or (size is None and axis < 2 and not self.include_top)):
                    raise ValueError(
                        "`input_shape` must be integers of at least 1; height and width may be None with "
                        f"include_top=False. Received: input_shape={shape}, include_top={self.include_top}."
                    )
            given = self.input_tensor
            if given is not None and not (tf.is_tensor(given) and utils.is_keras_tensor(given)):
                raise ValueError(f"`input_tensor` must be a Keras tensor. Received: input_tensor={given!r}.")
            if shape is None and self.include_top:
                shape = (self.image_size, self.image_size, 3)
            # `weights` has a check of its own in `load_weights`.
            shape = utils.validate_input(shape, None, self.include_top, self.num_classes)
            self._image_input = utils.get_input_layer(shape, self.input_tensor)
        return self._image_input

    def body(self, x: tf.Tensor) -> tf.Tensor:
        """The feature extractor, from the image to the last feature map."""
        raise NotImplementedError

    def head(self, x: tf.Tensor) -> tf.Tensor:
        """From the last feature map to the features that the classifier takes."""
        raise NotImplementedError

    def build(self) -> tf.keras.models.Model:
        self._check()
        with _no_constraint_warnings():
            x = self.body(self.image_input)
        if self.include_top:
            x = tf.keras.layers.Dense(
                self.num_classes,
                kernel_initializer=self.dense_initializer,
                bias_initializer=self.bias_initializer,
                name="logits",
            )(self.head(x))
            if self.classifier_activation:
                x = tf.keras.layers.Activation(self.classifier_activation, dtype="float32", name="predictions")(x)
        inputs = tf.keras.utils.get_source_inputs(self.image_input)  # with the layers in front of `input_tensor`
        model = tf.keras.Model(inputs=inputs[0] if len(inputs) == 1 else inputs, outputs=x, name=self.name)
        model.description = self._description()
        if self.weights is not None:
            found = architecture_of(type(self))
            stored = load_weights(model, found.name if found else self.name, self.weights)
            if model.description and stored:
                model.description = model.description.replace(
                    preprocessing=stored.preprocessing,
                    class_names=stored.class_names if self.include_top else None,
                    provenance=stored.provenance,
                )
        return model

    def _check(self) -> None:
        for name in ("wsd_scale", "branch_gamma"):
            if not 0 <= getattr(self, name, 0) < float("inf"):
                raise ValueError(f"`{name}` must be 0 or more. Received: {name}={getattr(self, name)}.")
        if self.self_distribution not in SELF_DISTRIBUTIONS:
            raise ValueError(
                f"`self_distribution` must be one of {SELF_DISTRIBUTIONS}. Received: {self.self_distribution!r}."
            )
        if self.classifier_activation not in ("softmax", None):
            raise ValueError(
                f'`classifier_activation` must be "softmax" or None. Received: {self.classifier_activation!r}.'
            )
        for name in ("filters", "asd_reduction", *(["num_classes"] if self.include_top else [])):
            value = getattr(self, name, 1)
            if not is_count(value):
                raise ValueError(f"`{name}` must be an integer of at least 1. Received: {name}={value!r}.")

    def _description(self) -> NetworkDescription | None:
        """Of the network as it is built; none for a factory that is not registered, or behind layers of the user's."""
        found = architecture_of(type(self))
        if found is None or not _is_input(self.image_input):
            return None
        arguments = {}
        for name, default in found.defaults.items():
            # The number of classes has no default that all know: larq-zoo's is ImageNet's.
            if name not in GIVEN and (getattr(self, name) != default or (name == "num_classes" and self.include_top)):
                arguments[name] = getattr(self, name)
        if not self.include_top:
            arguments.pop("num_classes", None)
        height, width, channels = self.image_input.shape[1:]
        shape = (height or self.image_size, width or self.image_size, channels)
        return NetworkDescription(found.name, arguments, shape)

    def sd_conv(self, x: tf.Tensor, filters: int, strides: int = 1, *, name: str) -> tf.Tensor:
        """ASD and a 3×3 convolution with WSD, both inputs 1-bit; what the options switch off is left out."""
        if self.binary and self.self_distribution in ("both", "activation"):
            x = ActivationSelfDistribution(self.asd_reduction, self.asd_mode, self.asd_initializer, name=f"{name}_asd")(
                x
            )
        kernel_quantizer = None
        if self.binary and self.binary_weights:
            kernel_quantizer = lq.quantizers.get(self.kernel_quantizer)
            if self.self_distribution in ("both", "weight"):
                kernel_quantizer = WeightSelfDistribution(kernel_quantizer, self.wsd_scale)
        return SymmetricQuantConv2D(
            filters,
            3,
            strides,
            input_quantizer=self.input_quantizer if self.binary else None,
            kernel_quantizer=kernel_quantizer,
            kernel_initializer=self.kernel_initializer,
            use_bias=False,
            name=name,
        )(x)

    def float_conv(self, x: tf.Tensor, filters: int, kernel_size: int, strides: int = 1, *, name: str) -> tf.Tensor:
        return SymmetricQuantConv2D(
            filters, kernel_size, strides, kernel_initializer=self.float_initializer, use_bias=False, name=name
        )(x)

    def photograph_stem(self, x: tf.Tensor) -> tf.Tensor:
        """A 7×7 convolution at stride 2 with 3 zeros on every side, of which an even side does not reach the last."""
        padding = [(3, 2 if side and side % 2 == 0 else 3) for side in x.shape[1:3]]
        x = tf.keras.layers.ZeroPadding2D(padding, name="conv1_pad")(x)
        x = tf.keras.layers.Conv2D(64, 7, 2, use_bias=False, kernel_initializer=self.float_initializer, name="conv1")(x)
        return self.batch_norm(x, name="bn1")

    @staticmethod
    def batch_norm(x: tf.Tensor, *, gamma: float = 1.0, name: str) -> tf.Tensor:
        return tf.keras.layers.BatchNormalization(
            momentum=0.9,
            epsilon=1e-5,
            gamma_initializer=tf.keras.initializers.Constant(gamma),
            # Under a strategy, of the batches of all replicas together.
            synchronized=tf.distribute.get_strategy().num_replicas_in_sync > 1,
            name=name,
        )(x)

    @staticmethod
    def hard_tanh(x: tf.Tensor, *, name: str) -> tf.Tensor:
        return HardTanh(name=name)(x)
