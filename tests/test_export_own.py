"""What a user's own network may do that the zoo's do not: exported right, or refused in one line by name."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from exports import MODULES, SUFFIXES, export, randomised, users_model
from PIL import Image

from sdbnn_larq import convert, layers, zoo
from sdbnn_larq.convert import flatten
from sdbnn_larq.layers.binary import takes_sign

# isort: split
import larq as lq

pytestmark = pytest.mark.usefixtures("memory_of_a_test")

KERAS = tf.keras.layers
ONE_BIT = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}


@tf.keras.utils.register_keras_serializable("tests")
class ShiftedSign(lq.quantizers.Quantizer):
    """ReActNet's RSign, which has a threshold for each channel."""

    precision = 1

    def build(self, shape):
        self.beta = self.add_weight(name="beta", shape=(shape[-1],), initializer="zeros")
        super().build(shape)

    def call(self, x):
        return lq.quantizers.ste_sign(x - self.beta)


def image_model(build) -> tf.keras.Model:
    image = tf.keras.Input((8, 8, 3))
    return randomised(tf.keras.Model(image, build(image)))


def inner(**kwargs) -> tf.keras.Model:
    return tf.keras.Sequential([tf.keras.Input((8, 8, 3), **kwargs), KERAS.Conv2D(4, 3), KERAS.BatchNormalization()])


def agrees(target: str, model: tf.keras.Model, folder: Path) -> bool:
    images = np.random.default_rng(2).standard_normal((3, *model.input_shape[1:]), np.float32)
    expected = model(images, training=False).numpy()
    got = convert.ExportedModel(folder / f"model{SUFFIXES[target]}").predict(images)
    return bool(np.abs(got - expected).max() <= 1e-4 * np.ptp(expected))


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda x: inner()(x, training=True), "sequential"),
        (lambda x: inner()(KERAS.Dropout(0.5, name="drop")(x, True)), "drop"),
        (lambda x: tf.keras.Sequential([inner(), KERAS.Dropout(0.5)], name="net")(x, training=True), "net"),
        (lambda x: KERAS.RandomContrast(0.9, name="contrast")(x, training=True), "contrast"),
        (lambda x: KERAS.BatchNormalization(name="bn")(x, training=True), "bn"),
    ],
)
def test_called_in_training_mode(target, tmp_path, build, name):
    """Monte Carlo dropout, for one: a file would infer, and say nothing of the difference."""
    with pytest.raises(ValueError, match=rf"`training=True`.* Received: {name}(_\d+)?\.$"):
        export(target, image_model(build), tmp_path)


def frozen() -> tf.keras.layers.Layer:
    layer = KERAS.BatchNormalization()
    layer.trainable = False
    return layer


@pytest.mark.parametrize(
    "build",
    [
        lambda x: KERAS.Dropout(0.5)(inner()(x, training=False), training=False),
        lambda x: frozen()(KERAS.Conv2D(4, 3)(x), training=True),
        lambda x: tf.keras.Sequential([KERAS.Conv2D(4, 3), KERAS.ReLU()])(x, training=True),
        lambda x: KERAS.Dropout(0.0)(KERAS.Conv2D(4, 3)(x), True),
    ],
)
def test_called_in_a_mode_that_makes_no_difference(target, tmp_path, build):
    model = image_model(build)
    export(target, model, tmp_path)
    assert agrees(target, model, tmp_path)


@pytest.mark.parametrize("pack", [lambda y: {"y": y}, lambda y: (y,)])
def test_output_in_a_container(target, tmp_path, pack):
    image = tf.keras.Input((8, 8, 3))
    model = randomised(tf.keras.Model(image, pack(KERAS.Dense(4)(KERAS.Flatten()(image)))))
    assert export(target, model, tmp_path).top1_agreement == 1.0


def pixels() -> tf.keras.Model:
    return tf.keras.Sequential([tf.keras.Input((8, 8, 3), dtype="uint8"), KERAS.Rescaling(1 / 255)])


def flat() -> tf.keras.Model:
    return tf.keras.Sequential([tf.keras.Input((192,)), KERAS.Dense(2)])


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda x: pixels()(KERAS.Rescaling(40.0, 128.0)(x)), "takes uint8 of rank 4 and is given float32"),
        (lambda x: flat()(KERAS.Reshape((192, 1))(x)), "of rank 2 and is given float32 of rank 3"),
    ],
)
def test_model_inside_whose_input_keras_adapts(target, tmp_path, build, reason):
    image = tf.keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match=reason):
        export(target, tf.keras.Model(image, build(image)), tmp_path)


def test_model_of_pixels(target, tmp_path):
    image = tf.keras.Input((8, 8, 3), dtype="uint8")
    model = tf.keras.Model(image, KERAS.Conv2D(2, 3)(KERAS.Rescaling(1 / 255)(image)))
    with pytest.raises(ValueError, match=r"must take floats; with `uint8`.*Received: a model that takes uint8\.$"):
        export(target, model, tmp_path)


def test_the_user_s_model_is_what_the_file_is_compared_with(target, tmp_path, monkeypatch):
    """Not only the copy of it that has no models inside."""

    def wrong(self, layer, model):
        copy = copies(self, layer, model)
        return (lambda x: copy(x + x)) if isinstance(layer, KERAS.Conv2D) else copy

    copies = flatten._Copies._copy
    monkeypatch.setattr(flatten._Copies, "_copy", wrong)
    with pytest.raises(convert.VerificationError, match="must agree with Keras to"):
        export(target, image_model(inner()), tmp_path)


@pytest.mark.parametrize("shared", [layers.HardTanh, lambda: layers.ActivationSelfDistribution(4)])
def test_layer_used_in_another_order_than_computed(target, tmp_path, shared):
    act = shared()

    def build(image):
        stem = KERAS.Conv2D(16, 3)(image)
        short = lq.layers.QuantConv2D(16, 1, **ONE_BIT)(act(KERAS.BatchNormalization()(stem)))
        main = lq.layers.QuantConv2D(16, 1, **ONE_BIT)(act(stem))
        main = KERAS.Conv2D(16, 1)(KERAS.ReLU()(KERAS.BatchNormalization()(main)))
        return KERAS.Add()([short, main])

    model = image_model(build)
    assert export(target, model, tmp_path).exact_layers == 2
    assert agrees(target, model, tmp_path)


def shifted(**options) -> tf.keras.Model:
    quantizers = {**ONE_BIT, "input_quantizer": ShiftedSign(), **options}
    return users_model(KERAS.Conv2D(16, 3), lq.layers.QuantConv2D(8, 3, name="shifted", **quantizers))


def test_threshold_of_each_channel(target, tmp_path):
    """As long as all are 0 it is the sign, and else it is refused, by name."""
    model = shifted()
    assert not takes_sign(model.get_layer("shifted"))
    with pytest.raises(ValueError, match=r"Received: shifted with float inputs or weights\.$"):
        export(target, model, tmp_path)
    model.get_layer("shifted").input_quantizer.beta.assign(np.zeros(16))
    assert export(target, model, tmp_path).exact_layers == 1
    assert agrees(target, model, tmp_path)


@pytest.mark.parametrize("threshold", [0.0, 0.2])
@pytest.mark.parametrize("kernel_quantizer", ["ste_sign", None])
def test_lce_keeps_the_weights_of_a_quantizer_in_float(tmp_path, threshold, kernel_quantizer):
    pytest.importorskip(MODULES["lce"])
    model = shifted(kernel_quantizer=kernel_quantizer, kernel_constraint=None)
    model.get_layer("shifted").input_quantizer.beta.assign(np.full(16, threshold))
    export("lce", model, tmp_path, allow_float=True, batch_size=1)
    assert agrees("lce", model, tmp_path)


def test_layers_that_lce_has_not_in_one_bit(tmp_path):
    pytest.importorskip(MODULES["lce"])
    model = users_model(KERAS.Conv2D(8, 3), lq.layers.QuantConv2DTranspose(8, 3, name="up", **ONE_BIT))
    with pytest.raises(ValueError, match=r"Received: 0 of 1 did, not up\.$"):
        export("lce", model, tmp_path)
    assert export("lce", model, tmp_path, allow_float=True, batch_size=1).exact_layers == 0
    assert agrees("lce", model, tmp_path)


def test_layers_that_lce_does_not_convert(tmp_path):
    pytest.importorskip(MODULES["lce"])
    with pytest.raises(ValueError, match=r"made of what Larq Compute Engine converts\. Received: [^\n]+$"):
        export("lce", users_model(KERAS.RandomCrop(7, 7)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_fault_of_the_model(tmp_path, monkeypatch):
    pytest.importorskip(MODULES["lce"])

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(OSError, match="No space left"):
        export("lce", users_model(KERAS.Conv2D(2, 3)), tmp_path)


def test_images_too_small_for_openvino(tmp_path):
    pytest.importorskip(MODULES["openvino"])
    model = tf.keras.Sequential(
        [tf.keras.Input((1, 1, 3)), KERAS.Conv2D(8, 1), lq.layers.QuantConv2D(8, 5, padding="same", **ONE_BIT)]
    )
    with pytest.raises(convert.VerificationError, match=r"OpenVINO must compile the file\. Received: [^\n]+$"):
        export("openvino", model, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("activation", [KERAS.ReLU(), KERAS.LeakyReLU(0.3), layers.HardTanh()])
def test_activation_that_is_a_layer(tmp_path, activation):
    pytest.importorskip(MODULES["openvino"])
    model = users_model(KERAS.Conv2D(8, 3, activation=activation), KERAS.Conv2D(3, 1))
    export("openvino", model, tmp_path)
    assert agrees("openvino", model, tmp_path)


def test_activation_that_no_export_knows(tmp_path):
    pytest.importorskip(MODULES["openvino"])
    with pytest.raises(ValueError, match=r"with activation='ThresholdedReLU'\.$"):
        export("openvino", users_model(KERAS.Conv2D(8, 3, activation=KERAS.ThresholdedReLU())), tmp_path)


def test_padding_that_several_layers_share_in_8_bits(tmp_path):
    """Each convolution takes 8-bit numbers, and the pooling what it took before."""
    pytest.importorskip(MODULES["openvino"])

    def build(image):
        padded = KERAS.ZeroPadding2D(1)(KERAS.ReLU()(image))
        convolutions = [KERAS.Conv2D(4, 3)(padded), KERAS.Conv2D(4, 3)(padded)]
        return KERAS.Concatenate()([*convolutions, KERAS.MaxPool2D(3, 1)(padded)])

    model = image_model(build)
    images = np.random.default_rng(3).standard_normal((8, 8, 8, 3)).astype(np.float32)
    files = {}
    for int8 in (False, True):
        files[int8] = tmp_path / f"int8_{int8}.xml"
        convert.to_openvino(model, files[int8], int8=int8, images=images)
    kinds = [(found.kind, found.precision) for found in convert.inspect(files[True]).operations if found.macs]
    assert kinds == [("Convolution", "int8")] * 2
    exact, rounded = (convert.ExportedModel(files[int8]).predict(images) for int8 in (False, True))
    error = np.abs(rounded - exact).max(axis=(0, 1, 2)) / np.ptp(exact)
    assert (error[:8] > 0).all()
    assert error.max() < 0.02
    assert not error[8:].any()


def test_description_of_the_user_s_own(target, tmp_path):
    model = users_model(KERAS.Conv2D(2, 3))
    model.description = "my first network"
    export(target, model, tmp_path)
    zoo.save_packed(model, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="must have a description"):
        zoo.describe(model)


@pytest.mark.parametrize(
    ("uint8", "batch_size", "words"), [(True, 1, ": 0 "), (False, 1, "--uint8"), (True, 2, "one image of pixels")]
)
def test_example_program_refuses_files_that_it_would_misread(tmp_path, uint8, batch_size, words):
    pytest.importorskip(MODULES["openvino"])
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), KERAS.Flatten(), KERAS.Dense(2, activation="softmax")])
    model.layers[-1].bias.assign([9.0, -9.0])
    options = {"uint8": uint8, "preprocessing": zoo.SMALL_IMAGES, "batch_size": batch_size}
    export("openvino", model, tmp_path, **options)
    Image.new("RGB", (9, 9)).save(tmp_path / "image.png")
    program = Path(__file__).parents[1] / "examples" / "classify_openvino.py"
    command = [sys.executable, program, tmp_path / "model.xml", tmp_path / "image.png"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert words in process.stdout + process.stderr
    assert "Traceback" not in process.stderr
    assert (process.returncode == 0) == (words == ": 0 ")


def test_binary_layer_of_half_precision_in_eager_mode():
    """The float twin of `CifarResNet18` under the policy; its kernel is a variable that casts itself."""
    layer = layers.SymmetricQuantConv2D(256, 3, dtype="mixed_bfloat16", use_bias=False)
    images = tf.random.stateless_normal((2, 4, 4, 256), (0, 0))
    assert np.array_equal(layer(images), tf.function(layer)(images))


def test_self_distribution_in_float64():
    layer = layers.ActivationSelfDistribution(2, dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 5, 5, 8))
    y = layer(x).numpy()
    squeeze, excite = layer.get_weights()
    shift = 1 / (1 + np.exp(-np.maximum(x.mean((1, 2)) @ squeeze, 0) @ excite))
    np.testing.assert_allclose(y, x + shift[:, None, None], rtol=1e-13)


@pytest.mark.parametrize(
    ("shape", "layer"),
    [((6, 6, 5), lq.layers.QuantConv2D(4, 3, **ONE_BIT)), ((5,), lq.layers.QuantDense(4, **ONE_BIT))],
)
def test_sign_is_found_before_and_after_building(shape, layer):
    assert takes_sign(layer)
    tf.keras.Sequential([tf.keras.Input(shape), layer])
    assert takes_sign(layer)


def test_the_report_tells_of_classes_that_rounding_turns(target, tmp_path):
    """Sums of 0 that Keras misses: the blocks agree, the classes of the whole file need not."""
    options = {**ONE_BIT, "kernel_quantizer": "magnitude_aware_sign"}
    signs = [lq.layers.QuantConv2D(16, 3, **options) for _ in range(2)]
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [tf.keras.Input((8, 8, 3)), KERAS.Conv2D(16, 3), *signs, KERAS.Flatten(), KERAS.Dense(10)]
    )
    images = np.random.default_rng(0).standard_normal((16, 8, 8, 3)).astype(np.float32)
    report = export(target, model, tmp_path, images=images)
    assert report.max_difference < 1e-5
    outputs = convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}").predict(images)
    assert report.top1_agreement == np.mean(outputs.argmax(1) == model(images).numpy().argmax(1))
