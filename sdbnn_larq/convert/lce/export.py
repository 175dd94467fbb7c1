"""Export to Larq Compute Engine, whose ARM runtime has 1-bit convolutions."""

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import larq as lq
import numpy as np
import tensorflow as tf

from sdbnn_larq._errors import one_line
from sdbnn_larq.convert.graph import Call, calls, output_call
from sdbnn_larq.convert.lce import file
from sdbnn_larq.convert.lce.run import run
from sdbnn_larq.convert.runtime import require
from sdbnn_larq.convert.source import NORMALIZED, Source, prepare
from sdbnn_larq.convert.staging import staged
from sdbnn_larq.convert.verification import Block, Report, Values, VerificationError, verify
from sdbnn_larq.layers import ActivationSelfDistribution, HardTanh
from sdbnn_larq.layers.binary import is_binary, kernel_of, takes_sign
from sdbnn_larq.preprocessing import normalize
from sdbnn_larq.weights import ImagePreprocessing

# A 1-bit convolution can write bits for the next through these, and so loses speed if the export looks in between.
_FUSED = (tf.keras.layers.BatchNormalization, tf.keras.layers.MaxPool2D, lq.layers.QuantConv2D)


def to_lce(
    model: tf.keras.Model,
    path: str | os.PathLike,
    *,
    batch_size: int | None = None,
    uint8: bool = False,
    preprocessing: ImagePreprocessing | None = None,
    class_names: Sequence[str] | None = None,
    verify: bool = True,
    images: np.ndarray | None = None,
    allow_float: bool = False,
) -> Report:
    """Writes a network as a `.tflite` file for Larq Compute Engine, with 1-bit kernels and 1-bit convolutions.

    Kernel quantizers, Weight Self-Distribution among them, are folded into constant ±1 kernels. Before anything is
    written, the network is run in parts, in Keras and in Larq Compute Engine on the same inputs: 1-bit layers must give
    the same integers, and every part must agree to 1e-4 of its range. That finds, among others, two mistakes of Larq
    Compute Engine's: explicit padding before a convolution at stride 2, and 3×3 convolutions of images of less than 3×3
    pixels.

    !!! example
        ```python
        model = sdbnn_larq.zoo.load("ResNet20/cifar10")
        report = sdbnn_larq.convert.to_lce(model, "resnet20.tflite", uint8=True)
        ```

    # Arguments
        model: a functional or sequential model of Keras's, Larq's and this package's layers.
        path: the output, ending in `.tflite`.
        batch_size: the batch size of the file; if `None`, 1 until the program that runs it sets another with
            `ResizeInputTensor`.
        uint8: whether the file takes pixels, 0 to 255, and normalises them, to the last bit as
            `zoo.preprocess_input` does; otherwise it takes what the model takes.
        preprocessing: from pixels to the model's input; that of the model's description if `None`.
        class_names: one for each output; those of the model's description if `None`. The file's metadata hold the
            whole description, which `ExportedModel` gives back.
        verify: whether to compare the result with Keras.
        images: what to compare on, as the file takes it; 4 of random noise if `None`.
        allow_float: whether a layer that has a quantizer may compute with float inputs or float weights, as in a
            network with `binary_weights=False`.

    # Returns
        A report: the file's size and the agreement with Keras.

    # Raises
        ImportError: if Larq Compute Engine is not installed.
        ValueError: for a 1-bit layer that would not stay 1-bit, a model of another type than float32, a layer that
            Larq Compute Engine does not convert or that is called with `training=True`, or an argument that does not
            fit.
        OSError: if `path` cannot be written.
        VerificationError: if a part's results differ from Keras's, or the file does not run.
    """
    lce = require("larq_compute_engine", "lce")
    source = prepare(
        model,
        batch_size=batch_size,
        uint8=uint8,
        preprocessing=preprocessing,
        class_names=class_names,
        images=images,
        allow_float=allow_float,
    )
    types = {weight.dtype.name for weight in source.model.weights if weight.dtype.is_floating}
    if other := sorted(types - {"float32"}):
        raise ValueError(f"Larq Compute Engine takes models of float32. Received: weights of {', '.join(other)}.")
    with staged(path, (".tflite",)) as temporary:
        cuts = _cuts(source.model)
        names = [*([NORMALIZED] if source.uint8 else []), *(call.layer.name for call in cuts)]
        content, tensors = file.only_output(_convert(lce, source, cuts), names)
        binary = _binary_calls(content, source.model, allow_float)
        if batch_size is None:
            content = file.allow_any_batch(content)
        content = file.with_metadata(content, source.metadata)
        temporary.write_bytes(content)
        report = _verify(source, content, cuts, tensors, binary) if verify else Report()
    return replace(report, files={str(path): Path(path).stat().st_size})


class _DenseAsConvolution(lq.layers.QuantDense):
    """A 1-bit dense layer as a 1×1 convolution, which Larq Compute Engine has in 1 bit."""

    def call(self, inputs):
        if inputs.shape.rank != 2:
            return super().call(inputs)
        x = self.input_quantizer(inputs[:, None, None, :])
        y = tf.nn.conv2d(x, self.kernel[None, None], 1, "VALID")[:, 0, 0, :]
        return self.activation(y + self.bias if self.use_bias else y)


class _ShiftOfRank4(ActivationSelfDistribution):
    """Activation Self-Distribution that keeps the rank: the converter drops a reshape, and batches of 1 with it."""

    def call(self, inputs, mask=None):
        if self.mode == "static" or inputs.shape.rank != 4 or mask is not None:
            return super().call(inputs, mask)
        squeeze, excite = self.shift.weights
        mean = tf.reduce_mean(inputs, axis=[1, 2], keepdims=True)
        hidden = tf.nn.relu(tf.nn.conv2d(mean, squeeze[None, None], 1, "VALID"))
        shift = tf.sigmoid(tf.nn.conv2d(hidden, excite[None, None], 1, "VALID"))
        return inputs + tf.minimum(shift, self.LARGEST_SHIFT)


def _cuts(model: tf.keras.Model) -> list[Call]:
    """The tensors that separate blocks, the output last: those that the file holds as floats in any case."""
    all_calls = calls(model)
    consumers = Counter(id_ for call in all_calls for id_ in set(call.inputs))
    binary_inputs = {id_ for call in all_calls if takes_sign(call.layer) for id_ in call.inputs}
    shifted = {call.inputs[0] for call in all_calls if isinstance(call.layer, ActivationSelfDistribution)}
    last = output_call(model, all_calls)
    cuts = [
        call
        for call in all_calls
        if not isinstance(call.layer, tf.keras.layers.InputLayer)
        and call is not last
        and call.name == call.layer.name
        and (
            isinstance(call.layer, ActivationSelfDistribution)
            or call.output in shifted
            or consumers[call.output] > 1
            or (call.output in binary_inputs and not isinstance(call.layer, _FUSED))
        )
    ]
    return [*cuts, last]


def _folded(model: tf.keras.Model, cuts: list[Call], batch_size: int | None) -> tf.keras.Model:
    """A copy with constant kernels whose outputs are the tensors to look at."""

    def fold(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        config = layer.get_config()
        kind = type(layer)
        if kind is ActivationSelfDistribution:
            kind = _ShiftOfRank4
        elif kind is lq.layers.QuantDense and is_binary(layer):
            kind = _DenseAsConvolution
        if config.get("kernel_quantizer") is not None:
            config["kernel_quantizer"] = None
        if takes_sign(layer) and (is_binary(layer) or not _weights_of_quantizer(layer)):
            config["input_quantizer"] = "ste_sign"
        try:
            return kind.from_config(config)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Layers must be ones that their configuration describes. Received: {layer.name!r}: "
                f"{one_line(error)[:200]}"
            ) from error

    image = tf.keras.Input(batch_shape=(batch_size, *model.input_shape[1:]), name=model.inputs[0].node.layer.name)
    clone = tf.keras.models.clone_model(model, input_tensors=image, clone_function=fold)
    for layer in model.layers:
        if getattr(layer, "kernel_quantizer", None) is None:
            clone.get_layer(layer.name).set_weights(layer.get_weights())
        else:
            copy = clone.get_layer(layer.name)
            copy.kernel.assign(kernel_of(layer))
            if layer.use_bias:
                copy.bias.assign(layer.bias)
            if not is_binary(layer) and (weights := _weights_of_quantizer(layer)):
                copy.input_quantizer.set_weights([weight.numpy() for weight in weights])
    outputs = [clone.get_layer(call.layer.name).get_output_at(call.place) for call in cuts[:-1]]
    return tf.keras.Model(clone.inputs, [*outputs, *clone.outputs], name=model.name)


def _weights_of_quantizer(layer: tf.keras.layers.Layer) -> list[tf.Variable]:
    return getattr(getattr(layer, "input_quantizer", None), "weights", [])


def _convert(lce: ModuleType, source: Source, cuts: list[Call]) -> bytes:
    """Converts the model with an output at each cut, named by its layer."""
    model = _folded(source.model, cuts, source.batch_size)
    names = [call.layer.name for call in cuts]
    module = tf.Module()
    module.weights = model.variables  # a bare module, because saving a Keras model traces it many times over
    image = tf.TensorSpec(model.input_shape, tf.uint8 if source.uint8 else tf.float32, name=model.input_names[0])

    def predict(x: tf.Tensor) -> dict[str, tf.Tensor]:
        x = normalize(x, source.preprocessing) if source.uint8 else x
        outputs = dict(zip(names, tf.nest.flatten(model(x, training=False))))
        return {NORMALIZED: x, **outputs} if source.uint8 else outputs

    module.predict = tf.function(predict, input_signature=[image])
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # nobody trains the file
    with tempfile.TemporaryDirectory() as folder:
        try:
            tf.saved_model.save(module, folder, signatures=module.predict, options=options)
            return lce.convert_saved_model(folder)
        except OSError:
            raise
        except Exception as error:  # TensorFlow's and the converter's have many types
            raise ValueError(
                f"`model` must be made of what Larq Compute Engine converts. Received: {one_line(error)[:300]}"
            ) from error


def _binary_calls(content: bytes, model: tf.keras.Model, allow_float: bool) -> dict[int, Call]:
    """The uses of 1-bit layers, by the place of their kernel among the file's 1-bit convolutions.

    # Raises
        ValueError: if a 1-bit layer's kernel is not that of a 1-bit convolution in the file and may not be float.
    """
    waiting: dict[bytes, list[Call]] = {}
    for call in calls(model):
        if is_binary(call.layer):
            waiting.setdefault(_without_turns(call)[0], []).append(call)
    found = {
        i: waiting[kernel].pop(0) for i, (kernel, _) in enumerate(file.binary_kernels(content)) if waiting.get(kernel)
    }
    missing = [call for rest in waiting.values() for call in rest]
    if missing and not allow_float:
        # The converter writes a large one as "fill with this", to be computed anew at each run.
        even = all(np.ptp(kernel_of(call.layer)) == 0 for call in missing)
        raise ValueError(
            f"Every 1-bit layer must become a 1-bit convolution. Received: {len(found)} of "
            f"{len(found) + len(missing)} did, not {', '.join(call.name for call in missing)}"
            f"{', whose weights all have the same sign, as in an untrained network' if even else ''}."
        )
    return found


def _without_turns(call: Call) -> tuple[bytes, np.ndarray]:
    kernel = kernel_of(call.layer)
    *_, channels, filters = kernel.shape
    return file.without_turns(file.packed_kernel(kernel.reshape(-1, 1, channels, filters)), filters, channels)


def _verify(source: Source, content: bytes, cuts: list[Call], tensors: list[int], binary: dict[int, Call]) -> Report:
    size = source.batch_size or 2  # another than the file's own shows that it may change

    def run_file(part: bytes, inputs: list[np.ndarray]) -> list[np.ndarray]:
        try:
            return run(part if source.batch_size else file.with_batch(part, size), inputs)
        except RuntimeError as error:  # the runtime says more on stderr
            hint = "" if source.batch_size else "; a fixed `batch_size` may help"
            raise VerificationError(f"Larq Compute Engine must run the file. Received: an error{hint}.") from error

    *inner, last = zip(_blocks(cuts), tensors[-len(cuts) :])
    inner += _blocks_of_signs(content, source.model, binary, {call.output for call in cuts})
    parts = file.split(content, [tensor for _, tensor in inner])
    blocks = [block for block, _ in (*inner, last)]
    turns = [turned for _, turned in file.binary_kernels(content)]

    def run_parts(values: Values) -> tuple[Values, Values]:
        fed = [values[block.output] for block in blocks[:-1]]
        fed = [x[:, None, None] if block.signs and x.ndim == 2 else x for block, x in zip(blocks, fed)]
        outputs = run_file(parts, [source.images, *fed])
        outputs = [
            file.signs(output, values[block.output].shape) if block.signs else output
            for block, output in zip(blocks, outputs)
        ]
        integers = []
        if binary:
            convolutions, shapes = file.binary_part(content, list(binary))
            inputs = [_enlarged(values[call.inputs[0]], shape) for call, shape in zip(binary.values(), shapes)]
            integers = run_file(convolutions, inputs)
        return (
            {block.output: output for block, output in zip(blocks, outputs)},
            {
                call.output: _cropped(counts * turns[place] * _without_turns(call)[1], call)
                for (place, call), counts in zip(binary.items(), integers)
            },
        )

    def normalized(pixels: np.ndarray) -> np.ndarray:
        return run_file(file.with_output(content, tensors[0]), [pixels])[0]

    outputs = run_file(content, [source.images])[0]
    return verify(source, blocks, list(binary.values()), run_parts, normalized, outputs)


def _blocks(cuts: list[Call]) -> list[Block]:
    return [
        Block(call.name, call.output, call.inputs[0] if isinstance(call.layer, HardTanh) else None) for call in cuts
    ]


def _blocks_of_signs(
    content: bytes, model: tf.keras.Model, binary: dict[int, Call], compared: set[str]
) -> list[tuple[Block, int]]:
    """The bits that 1-bit layers take, where no cut is, with their tensors: a sign that rounding turns would spread."""
    by_output = {call.output: call for call in calls(model)}
    found = {}
    for place, (tensor, shape) in enumerate(file.bit_inputs(content)):
        call = by_output[binary[place].inputs[0]] if place in binary else None
        if call and call.output not in compared and call.keras_output.shape[1:] in (shape[1:], shape[3:]):
            found[tensor] = Block(call.name, call.output, signs=True)
    return [(block, tensor) for tensor, block in found.items()]


def _enlarged(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A layer's input as its convolution takes it: what `SymmetricQuantConv2D` adds is cropped again afterwards."""
    if value.ndim == 2:
        return value[:, None, None, :]
    return np.pad(value, [(0, 0), *((0, size - n) for size, n in zip(shape[1:3], value.shape[1:3])), (0, 0)])


def _cropped(result: np.ndarray, call: Call) -> np.ndarray:
    shape = call.keras_output.shape
    return result[:, 0, 0] if len(shape) == 2 else result[:, : shape[1], : shape[2]]
