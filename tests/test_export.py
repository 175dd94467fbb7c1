"""Export to Larq Compute Engine and OpenVINO; every successful export here is also verified block by block."""

import importlib
import sys

import numpy as np
import pytest
import tensorflow as tf
from authors_weights import floatx
from exports import BINARY, MODULES, SUFFIXES, export, randomised, users_model

from sdbnn_larq import convert, layers, zoo
from sdbnn_larq.convert.verification import every_pixel_value
from sdbnn_larq.layers.binary import kernel_of
from sdbnn_larq.preprocessing import mean_and_scale, normalize

# isort: split
import larq as lq  # needs the Keras that sdbnn_larq chooses

pytestmark = pytest.mark.usefixtures("memory_of_a_test")


@pytest.mark.parametrize(
    ("name", "size", "limits"),
    [
        ("ResNet20", 32, {"lce": 120e3}),
        ("VGGSmall", 32, {}),
        ("CifarResNet18", 32, {}),
        ("ResNet18", 96, {"lce": 5.5e6, "openvino": 5.5e6}),  # the file's size does not depend on the image's
    ],
)
@pytest.mark.slow
def test_zoo(target, tmp_path, name, size, limits):
    model = randomised(zoo.get_model(name, input_shape=(size, size, 3)))
    names = [f"class {i:04d} of 1,000" for i in range(model.output_shape[-1])]  # a long name for each
    report = export(target, model, tmp_path, class_names=names)
    assert report.blocks >= sum(isinstance(layer, layers.ActivationSelfDistribution) for layer in model.layers)
    assert report.max_difference <= 1e-4
    assert sorted(report.files) == sorted(map(str, tmp_path.iterdir()))
    assert sum(report.files.values()) <= limits.get(target, 1e9)
    assert report.exact_layers == sum(isinstance(layer, layers.ActivationSelfDistribution) for layer in model.layers)


@pytest.mark.parametrize(
    "options",
    [
        {"include_top": False, "self_distribution": None},
        {"binary_weights": False},
        {"binary": False, "classifier_activation": None},
    ],
)
@pytest.mark.slow
def test_options_of_the_zoo(target, tmp_path, options):
    allow_float = options.get("binary_weights") is False
    model = randomised(zoo.ResNet20(input_shape=(32, 32, 3), **options))
    export(target, model, tmp_path, allow_float=allow_float, batch_size=1)


@pytest.mark.slow
def test_batch_size(target, tmp_path):
    assert export(target, zoo.ResNet20(), tmp_path, batch_size=3, images=np.ones((4, 32, 32, 3))).top1_agreement == 1.0


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("pad_values", [0.0, 1.0])
def test_padding_in_openvino(tmp_path, padding, strides, pad_values):
    pytest.importorskip("openvino")
    model = users_model(
        tf.keras.layers.Conv2D(16, 1),
        lq.layers.QuantConv2D(16, 3, strides, padding, pad_values=pad_values, **BINARY),
        tf.keras.layers.MaxPool2D(3, 2, padding),
        tf.keras.layers.PReLU(),
        layers.ActivationSelfDistribution(mode="static"),
        tf.keras.layers.Conv2D(8, 3, strides, "same", activation="relu"),
        tf.keras.layers.Flatten(),
        lq.layers.QuantDense(7, **BINARY),
        tf.keras.layers.Dense(5, activation="softmax"),
    )
    export("openvino", model, tmp_path)


def wrong_padding(layer, x):
    """TensorFlow's SAME where the layer's padding is symmetric."""
    from sdbnn_larq.convert.openvino.emitters.convolutions import convolution
    from sdbnn_larq.convert.openvino.emitters.padding import same_padding

    pads = zip(*(same_padding(8, 3, stride) for stride in layer.strides))
    return convolution(layer, x, kernel_of(layer), list(layer.strides), [list(p) for p in pads], [1, 1])


def test_planted_padding_is_caught_in_openvino(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    from sdbnn_larq.convert.openvino.emitters import EMITTERS

    monkeypatch.setitem(EMITTERS, layers.SymmetricQuantConv2D, wrong_padding)
    with pytest.raises(RuntimeError, match=r"Block 'layer2_0_conv1' must agree with Keras exactly\. Received: \d+ of"):
        export("openvino", randomised(zoo.ResNet20()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_converters_own_mistake_is_caught_in_lce(tmp_path):
    pytest.importorskip("larq_compute_engine")
    model = users_model(
        layers.ActivationSelfDistribution(name="asd"),
        tf.keras.layers.ZeroPadding2D(1),  # taken for SAME, which pads (0, 1)
        tf.keras.layers.Conv2D(4, 3, 2, name="conv2d"),
        layers.ActivationSelfDistribution(),
        tf.keras.layers.GlobalAveragePooling2D(),
    )
    with pytest.raises(RuntimeError, match="Block 'conv2d' must agree with Keras to "):
        export("lce", model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_later_use_of_a_layer_with_the_name_of_another(target, tmp_path):
    first, second, third = (tf.keras.layers.Conv2D(8, 3, padding="same", name=name) for name in ("x", "x_1", "x_2"))
    export(target, users_model(first, second, third, first), tmp_path)


def test_file_that_does_not_run(tmp_path):
    """Its converter drops the reshape, and takes the images of a batch for rows."""
    pytest.importorskip("larq_compute_engine")
    image = tf.keras.Input((8, 8, 8))
    x = tf.keras.layers.Dense(8)(tf.keras.layers.GlobalAveragePooling2D()(image))
    x = tf.keras.layers.Multiply()([image, tf.keras.layers.Reshape((1, 1, 8))(x)])
    model = tf.keras.Model(image, x)
    with pytest.raises(convert.VerificationError, match=r"Received: an error; a fixed `batch_size` may help\.$"):
        export("lce", model, tmp_path)
    assert not list(tmp_path.iterdir())
    export("lce", model, tmp_path, batch_size=3)


@pytest.mark.slow
def test_planted_bit_is_caught_in_lce(tmp_path, monkeypatch):
    """One wrong bit of one kernel, which moves the block's outputs by a few per cent of their range at most."""
    pytest.importorskip("larq_compute_engine")
    from sdbnn_larq.convert.lce import export as lce
    from sdbnn_larq.convert.lce import file

    find = lce._binary_calls

    def find_then_flip(content, model, allow_float):
        found = find(content, model, allow_float)
        monkeypatch.setattr(file, "binary_part", flip_one_bit(file.binary_part))
        return found

    def flip_one_bit(binary_part):
        def part(content, places):
            parsed = file.parse(content)
            kernel = file.binary_operators(parsed)[4][0].inputs[1]
            buffer = parsed.buffers[parsed.subgraphs[0].tensors[kernel].buffer]
            buffer.data = np.array(buffer.data)
            buffer.data[0] ^= 1
            return binary_part(file.pack(parsed), places)

        return part

    monkeypatch.setattr(lce, "_binary_calls", find_then_flip)
    with pytest.raises(RuntimeError, match=r"Block '\w+' must agree with Keras exactly\. Received: \d+ of"):
        export("lce", randomised(zoo.ResNet20()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_1_bit_dense_layer_and_pixels(target, tmp_path):
    image = tf.keras.Input((6, 6, 3))
    x = tf.keras.layers.Conv2D(16, 3, activation="relu")(image)
    x = lq.layers.QuantConv2D(32, 3, padding="same", pad_values=1.0, **BINARY)(x)
    x = lq.layers.QuantDense(8, **BINARY)(tf.keras.layers.Flatten()(x))
    model = randomised(tf.keras.Model(image, tf.keras.layers.Dense(5)(x)))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), np.uint8)
    report = export(
        target, model, tmp_path, uint8=True, preprocessing=zoo.SMALL_IMAGES, images=pixels, class_names=list("abcde")
    )
    assert report.exact_layers == 2
    assert report.top1_agreement is not None


ODD = zoo.ImagePreprocessing(1.0, "bicubic", (1.5, 100.25, 254.9), (0.3, 77.7, 1e3))


@pytest.mark.parametrize("preprocessing", [zoo.SMALL_IMAGES, ODD], ids=["imagenet", "odd"])
@pytest.mark.parametrize("size", [(3, 5), (20, 20)])
def test_pixels_are_normalised_to_the_last_bit(target, tmp_path, preprocessing, size):
    """A network that returns its input shows it as the runtime computes it in the whole, compiled file."""
    image = tf.keras.Input((*size, 3))
    model = tf.keras.Model(image, tf.keras.layers.Activation("linear")(tf.keras.layers.ZeroPadding2D(1)(image)))
    export(target, model, tmp_path, uint8=True, preprocessing=preprocessing)
    network = convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}")
    pixels = every_pixel_value(size)
    assert {len(np.unique(pixels[..., channel])) for channel in range(3)} == {256}
    expected = normalize(pixels, preprocessing)
    np.testing.assert_array_equal(network.predict(pixels)[:, 1:-1, 1:-1], expected)
    assert network.description.preprocessing == preprocessing
    np.testing.assert_array_equal(zoo.preprocess_input(pixels, network), pixels)  # the file does the rest


@pytest.mark.parametrize("wrong", ["mean", "std"])
def test_other_normalisation_is_caught(target, tmp_path, monkeypatch, wrong):
    """One unit in the last place of one channel."""

    def nearly(preprocessing):
        values = list(mean_and_scale(preprocessing))
        place = ["mean", "std"].index(wrong)
        values[place] = values[place].copy()
        values[place][1] = np.nextafter(values[place][1], np.float32(np.inf))
        return values

    module = {"openvino": "openvino.emitters.elementwise", "lce": "lce.export"}[target]
    module = importlib.import_module(f"sdbnn_larq.convert.{module}")
    if target == "openvino":
        monkeypatch.setattr(module, "mean_and_scale", nearly)
    else:
        monkeypatch.setattr(module, "normalize", lambda x, p: (tf.cast(x, tf.float32) - nearly(p)[0]) * nearly(p)[1])
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), tf.keras.layers.Conv2D(4, 3)])
    with pytest.raises(convert.VerificationError, match=r"Block 'normalization' must agree .* \d+ of 768 values"):
        export(target, model, tmp_path, uint8=True, preprocessing=zoo.SMALL_IMAGES)
    assert not list(tmp_path.iterdir())


def test_layer_with_the_name_of_the_pixels_is_refused(target, tmp_path):
    """Only in a file that takes pixels, which would have the name twice."""
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), tf.keras.layers.Conv2D(4, 3, name="normalized_pixels")])
    with pytest.raises(ValueError, match=r"With `uint8`, layers must have other names .* 'normalized_pixels'\.$"):
        export(target, model, tmp_path, uint8=True, preprocessing=zoo.SMALL_IMAGES, verify=False)
    assert not list(tmp_path.iterdir())
    export(target, model, tmp_path)


@pytest.mark.slow
def test_file_takes_preprocessing_and_names_from_the_description(target, tmp_path):
    model = zoo.load("ResNet20/cifar10")
    export(target, model, tmp_path, uint8=True, verify=False)
    network = convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}")
    assert network.description == zoo.describe("ResNet20/cifar10")
    export(target, model, tmp_path, uint8=True, preprocessing=ODD, class_names=list("abcdefghij"), verify=False)
    network = convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}")
    assert network.description == model.description.replace(preprocessing=ODD, class_names=tuple("abcdefghij"))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(zoo.preprocess_input(pixels, network), pixels)
    assert zoo.decode_predictions(network.predict(pixels), 1, network)[0][0][0] in "abcdefghij"


@pytest.mark.parametrize("names", [["a", "ü \u2028 \x85", "<&>"], None], ids=["names", "none"])
def test_file_of_a_network_of_ones_own_and_of_an_earlier_version(target, tmp_path, monkeypatch, names):
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(3)], "own")
    export(target, model, tmp_path, class_names=names)
    own = convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}").description
    assert (own.architecture, own.input_shape, own.preprocessing) == ("own", (8, 8, 3), None)
    assert own.class_names == (names and tuple(names))
    written = {"network": "resnet20", "input": "uint8", "mean": [1, 2, 3], "deviation": [4, 5, 6]}
    written.update({"class_names": names} if names else {})
    monkeypatch.setattr("sdbnn_larq.convert.metadata.from_description", lambda _: written)
    export(target, model, tmp_path)
    old = convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}")
    assert old.metadata == written
    assert old.description.architecture == "ResNet20"
    assert old.description.preprocessing == zoo.ImagePreprocessing(1.0, "bilinear", (1, 2, 3), (4, 5, 6))
    assert old.description.class_names == (names and tuple(names))
    monkeypatch.setattr("sdbnn_larq.convert.metadata.from_description", lambda _: {})
    export(target, model, tmp_path)
    assert convert.ExportedModel(tmp_path / f"model{SUFFIXES[target]}").description is None


def test_float_layer_where_a_binary_one_was_meant(target, tmp_path):
    half = lq.layers.QuantConv2D(16, 3, input_quantizer="ste_sign", name="half")
    model = users_model(tf.keras.layers.Conv2D(8, 1), half, tf.keras.layers.Flatten())
    with pytest.raises(ValueError, match=r"`allow_float` be True\. Received: half with float inputs or weights\.$"):
        export(target, model, tmp_path)
    assert not list(tmp_path.iterdir())
    assert export(target, model, tmp_path, allow_float=True, batch_size=1).exact_layers == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, r"`batch_size` must be a whole number from 1\. Received: batch_size=0\."),
        ({"class_names": ["a"]}, r"`class_names` must be as many as the model's 10 outputs\. Received: 1\."),
        ({"uint8": True}, r"`preprocessing` must be given .* Received: None\.$"),
        (
            {"uint8": True, "preprocessing": zoo.SMALL_IMAGES, "images": np.zeros((1, 32, 32, 3))},
            r"`images` must be uint8 pixels\. Received: float64\.",
        ),
    ],
)
@pytest.mark.slow
def test_arguments_that_do_not_fit(target, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export(target, zoo.ResNet20(), tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_float64(target, tmp_path):
    with floatx("float64"):  # the export copies the model, and Larq's quantizers do not say of which type they are
        first = tf.keras.layers.Conv2D(8, 1)
        model = users_model(first, lq.layers.QuantConv2D(8, 3, **BINARY), tf.keras.layers.Flatten())
        if target == "lce":
            with pytest.raises(ValueError, match=r"models of float32\. Received: weights of float64\.$"):
                export(target, model, tmp_path)
            assert not list(tmp_path.iterdir())
        else:
            assert export(target, model, tmp_path).exact_layers == 1


def test_openvino_needs_a_batch_size(tmp_path):
    pytest.importorskip("openvino")
    with pytest.raises(ValueError, match=r"`Model.reshape` changes it after reading\. Received: batch_size=None\.$"):
        convert.to_openvino(zoo.ResNet20(), tmp_path / "model.xml", batch_size=None)


def test_unsupported_layer_is_named(tmp_path):
    pytest.importorskip("openvino")
    with pytest.raises(ValueError, match=r"Received: layer 'odd' \(UpSampling2D\)\.$"):
        export("openvino", users_model(tf.keras.layers.UpSampling2D(name="odd")), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (tf.keras.layers.Conv2D(12, 1), "with 12 1-bit input channels, not a multiple of 8"),
        (tf.keras.layers.Dropout(0.1), "with 1-bit inputs, too directly behind the model's input or a Reshape"),
        (tf.keras.layers.ReLU(), "with 1-bit inputs, too directly behind the model's input or a Reshape"),
        (tf.keras.layers.Rescaling(2.0, -0.3), "with 1-bit inputs, too directly behind the model's input or a Reshape"),
    ],
)
def test_1_bit_convolution_that_openvino_gets_wrong(tmp_path, first, reason):
    pytest.importorskip("openvino")
    with pytest.raises(ValueError, match=rf"Received: layer 'odd' \(QuantConv2D\) {reason}\.$"):
        export("openvino", users_model(first, lq.layers.QuantConv2D(16, 3, name="odd", **BINARY)), tmp_path)


def test_1_bit_layer_that_would_be_float_is_named(tmp_path):
    pytest.importorskip("larq_compute_engine")
    model = users_model(lq.layers.QuantConv2DTranspose(8, 3, name="wide", **BINARY))
    with pytest.raises(ValueError, match=r"must become a 1-bit convolution\. Received: 0 of 1 did, not wide\.$"):
        export("lce", model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_untrained_kernels_of_one_sign_are_named(tmp_path):
    pytest.importorskip("larq_compute_engine")
    wide = lq.layers.QuantConv2D(512, 3, kernel_initializer="ones", name="wide", **BINARY)
    model = tf.keras.Sequential([tf.keras.Input((10, 10, 8)), tf.keras.layers.Conv2D(512, 1), wide])
    with pytest.raises(ValueError, match=r"not wide, whose weights all have the same sign, as in an untrained net"):
        export("lce", model, tmp_path)


def test_path_that_cannot_be_written(target, tmp_path):
    with pytest.raises(OSError, match=r"`path` must be a file in a writable folder\. Received: "):
        export(target, zoo.ResNet20(), tmp_path / "missing")


def test_wrong_suffix(target, tmp_path):
    with pytest.raises(ValueError, match="`path` must end in "):
        getattr(convert, f"to_{target}")(zoo.ResNet20(), tmp_path / "model.onnx")


def test_images_of_another_shape(target, tmp_path):
    with pytest.raises(ValueError, match=r"`images` must have the shape \(n, 32, 32, 3\)\. Received: \(1, 28, 28, 1\)"):
        export(target, zoo.ResNet20(), tmp_path, images=np.zeros((1, 28, 28, 1)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", MODULES)
def test_missing_runtime_names_its_extra(target, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[target], None)
    with pytest.raises(ImportError, match=rf"sdbnn_larq\[{target}\]"):
        getattr(convert, f"to_{target}")(zoo.ResNet20(), tmp_path / "model")
