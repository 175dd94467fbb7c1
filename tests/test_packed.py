"""Files of packed weights: exact and small."""

from pathlib import Path

import larq as lq
import larq_zoo
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from authors_weights import floatx
from larq_zoo.literature.dorefanet import magnitude_aware_sign_unclipped
from larq_zoo.literature.xnornet import xnor_weight_scale
from packing import assert_equal, images, randomize, small_model, values

from sdbnn_larq import zoo
from sdbnn_larq.layers import ActivationSelfDistribution
from sdbnn_larq.quantizers import WeightSelfDistribution
from sdbnn_larq.weights import named_weights, read_description
from sdbnn_larq.weights._kernels import one_bit_quantizers

pytestmark = pytest.mark.usefixtures("memory_of_a_test")

GOLDEN = Path(__file__).parent / "golden"
HALF = ("logits/kernel", "*_asd_*")


@pytest.mark.parametrize(
    ("name", "limit", "half"),
    [("ResNet20", 70_000, ()), ("VGGSmall", 1_000_000, HALF), ("CifarResNet18", 2_500_000, HALF)],
)
@pytest.mark.slow
def test_size_and_predictions(tmp_path, name, limit, half):
    path = tmp_path / "weights.safetensors"
    model = randomize(zoo.get_model(name))
    for name_, weight in named_weights(model).items():  # float16 is exact for what it can represent
        if half and ("_asd_" in name_ or name_ == "logits/kernel"):
            weight.assign(weight.numpy().astype(np.float16))
    zoo.save_packed(model, path, {"classes": ["a"]}, half=half)
    assert path.stat().st_size < limit
    other = zoo.get_model(name)
    assert zoo.load_packed(other, path) == {"classes": ["a"]}
    np.testing.assert_array_equal(model(images(model)), other(images(model)))


def test_load_into_float64(tmp_path):
    path = tmp_path / "weights.safetensors"
    model = randomize(small_model())
    zoo.save_packed(model, path)
    with floatx("float64"):
        other = small_model()
    zoo.load_packed(other, path)
    logits = other(images(model).astype("float64"))
    assert logits.dtype == tf.float64
    np.testing.assert_allclose(logits, model(images(model)), rtol=1e-5, atol=1e-5)
    zoo.save_packed(other, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


ONE_BIT = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


def keras_named_convolutions() -> tf.keras.Model:
    """Float and 1-bit layers in turn, with the names that Keras gives them."""
    return tf.keras.Sequential(
        [
            tf.keras.Input((12, 12, 3)),
            tf.keras.layers.Conv2D(8, 3),
            tf.keras.layers.BatchNormalization(),
            lq.layers.QuantConv2D(8, 3, **ONE_BIT),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.Conv2D(8, 3),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(5),
        ]
    )


def keras_named_dense() -> tf.keras.Model:
    image = x = tf.keras.Input((8,))
    for _ in range(3):
        x = tf.keras.layers.BatchNormalization()(lq.layers.QuantDense(8, **ONE_BIT)(tf.keras.layers.Dense(8)(x)))
    return tf.keras.Model(image, tf.keras.layers.Dense(8)(x))


def nested_twice() -> tf.keras.Model:
    """Two networks inside a third, whose layers all have the same names."""

    def inner(name):
        return tf.keras.Sequential(
            [tf.keras.Input((8,)), tf.keras.layers.Dense(8, name="same"), lq.layers.QuantDense(8, **ONE_BIT)], name=name
        )

    image = tf.keras.Input((8,))
    return tf.keras.Model(image, inner("b")(tf.keras.layers.Dense(8, name="same")(inner("a")(image))))


def unnamed_shifts() -> tf.keras.Model:
    image = x = tf.keras.Input((8,))
    for mode in ("dynamic", "static", "dynamic"):
        x = lq.layers.QuantDense(8, **ONE_BIT)(ActivationSelfDistribution(4, mode)(x))
    return tf.keras.Model(image, x)


def partly_frozen() -> tf.keras.Model:
    model = keras_named_dense()
    for layer in model.layers[1:5]:
        layer.trainable = False
    return model


def odd_names() -> tf.keras.Model:
    names = ("a>b", "A-1.x", "dense_1", "conv2d_1", "dense", "a")
    return tf.keras.Sequential([tf.keras.Input((8,)), *(tf.keras.layers.Dense(8, name=name) for name in names)])


class Subclassed(tf.keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.blocks = [tf.keras.layers.Dense(8), lq.layers.QuantDense(8, **ONE_BIT)]
        self.scale = self.add_weight(name="scale", shape=(8,))
        self.last = tf.keras.layers.Dense(8)
        self.build((None, 8))

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return self.last(inputs * self.scale)


STRANGERS = [
    keras_named_convolutions,
    keras_named_dense,
    unnamed_shifts,
    nested_twice,
    partly_frozen,
    odd_names,
    Subclassed,
]


@pytest.mark.parametrize("build", STRANGERS, ids=lambda build: build.__name__)
def test_every_weight_comes_back_to_its_layer(tmp_path, build):
    """Models nobody here wrote, the copy built after other layers, and frozen otherwise."""
    model = randomize(build())
    zoo.save_packed(model, tmp_path / "a")
    tf.keras.layers.Dense(1), tf.keras.layers.Conv2D(1, 1)  # Keras goes on numbering
    copy = build()
    if build is not partly_frozen:
        for layer in copy.layers[::2]:
            layer.trainable = False
    else:
        copy.trainable = True
    zoo.load_packed(copy, tmp_path / "a")
    one_bit = one_bit_quantizers(model, named_weights(model))
    for (name, weight), expected in zip(named_weights(copy).items(), named_weights(model).values(), strict=True):
        same = np.sign if name in one_bit else np.asarray
        np.testing.assert_array_equal(same(weight), same(expected))
    x = np.random.RandomState(1).standard_normal((4, *(getattr(model, "input_shape", None) or (None, 8))[1:]))
    np.testing.assert_array_equal(model(x.astype(np.float32)), copy(x.astype(np.float32)))


def test_reads_the_first_format_of_a_model_with_keras_s_names():
    """A file that version 0.1.0 wrote, and what the model that wrote it gave."""
    model = keras_named_convolutions()
    assert zoo.load_packed(model, GOLDEN / "format1_keras_names.safetensors") == {"note": "old"}
    with np.load(GOLDEN / "format1_keras_names.npz") as expected:
        np.testing.assert_allclose(model(expected["x"]), expected["y"], rtol=1e-5, atol=1e-5)
    assert read_description(GOLDEN / "format1_keras_names.safetensors") is None


@pytest.mark.parametrize("scale", ["magnitude_aware_sign", xnor_weight_scale, magnitude_aware_sign_unclipped])
@pytest.mark.parametrize("shifted", [False, True])
def test_scaled_signs_take_one_bit(tmp_path, scale, shifted):
    """Bi-Real's, XNOR's and DoReFa's kernels: signs and a scale for each channel or for all, exactly."""

    def quantizer():
        return WeightSelfDistribution(scale) if shifted else scale

    def build():
        return tf.keras.Sequential(
            [
                tf.keras.Input((8, 8, 32)),
                lq.layers.QuantConv2D(48, 3, input_quantizer="ste_sign", kernel_quantizer=quantizer()),
                lq.layers.QuantConv2D(16, 5, input_quantizer="ste_sign", kernel_quantizer=quantizer()),
            ],
            name="scaled",
        )

    model, copy = randomize(build()), build()
    zoo.save_packed(model, tmp_path / "a")
    zoo.load_packed(copy, tmp_path / "a")
    np.testing.assert_array_equal(model(images(model)), copy(images(model)))
    assert set(safetensors.numpy.load_file(tmp_path / "a")) == {"sign_bits", "sum", "float32"}


# Each kind of network; the others of larq-zoo are deeper or wider ones of the same.
LARQ_ZOO = [
    *("BinaryAlexNet", "BiRealNet", "BinaryResNetE18", "BinaryDenseNet28", "BinaryDenseNet37Dilated"),
    *("DoReFaNet", "MeliusNet22", "RealToBinaryNet", "XNORNet", "QuickNetSmall"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", LARQ_ZOO)
def test_larq_zoo_round_trip(tmp_path, name):
    """Larq-zoo's networks predict the same to the last bit, and store no 1-bit kernel in full."""
    build = getattr(larq_zoo.sota, name, None) or getattr(larq_zoo.literature, name)
    size = 224 if name == "XNORNet" else 64  # a smaller one is nothing after its poolings
    model, copy = (build(weights=None, input_shape=(size, size, 3), num_classes=10) for _ in range(2))
    randomize(model)
    zoo.save_packed(model, tmp_path / "a")
    zoo.load_packed(copy, tmp_path / "a")
    x = np.random.RandomState(1).standard_normal((2, size, size, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(x), copy(x))
    with safetensors.safe_open(tmp_path / "a", "np") as file:
        assert "latent" not in file.keys()  # noqa: SIM118
    assert (tmp_path / "a").stat().st_size < stored_bytes(model) + 2**16


def stored_bytes(model: tf.keras.Model) -> int:
    """A bit for each 1-bit weight, 4 bytes for a scale of each of its channels and for any other weight."""
    weights = named_weights(model)
    one_bit = one_bit_quantizers(model, weights)
    return sum(
        np.size(weight) // 8 + 1 + 4 * weight.shape[-1] if name in one_bit else 4 * np.size(weight)
        for name, weight in weights.items()
    )


def test_depthwise_pointwise_and_dense_kernels(tmp_path):
    model, other = randomize(small_model()), small_model()
    zoo.save_packed(model, tmp_path / "a", half=[])
    zoo.load_packed(other, tmp_path / "a")
    np.testing.assert_array_equal(model(images(model)), other(images(model)))
    stored = safetensors.numpy.load_file(tmp_path / "a")
    assert stored["sign_bits"].size == sum(
        (np.size(weight) + 7) // 8 for name, weight in named_weights(model).items() if name.endswith("kernel")
    )


def test_kernel_that_one_bit_cannot_give_is_saved_in_full(tmp_path):
    def build():
        return tf.keras.Sequential(
            [lq.layers.QuantConv2DTranspose(4, 3, kernel_quantizer="wsd_sign", input_shape=(4, 4, 2))], name="up"
        )

    model, other = build(), build()
    kernel = next(iter(named_weights(model).values()))
    kernel.assign(np.random.RandomState(0).standard_normal(kernel.shape) * np.array([1.0, 1e-6]))
    zoo.save_packed(model, tmp_path / "a")
    zoo.load_packed(other, tmp_path / "a")
    assert_equal(values(model), values(other))


def test_latent_weights_keep_sign_and_mean_magnitude(tmp_path):
    model = randomize(small_model())
    zoo.save_packed(model, tmp_path / "a")
    before = model.layers[0].kernel.latent_variable.numpy()
    zoo.load_packed(model, tmp_path / "a")
    after = model.layers[0].kernel.latent_variable.numpy()
    np.testing.assert_allclose(np.abs(after), np.broadcast_to(np.abs(before).mean((0, 1, 2)), after.shape), rtol=1e-3)


def test_training_goes_on_from_a_packed_file(tmp_path):
    tf.keras.utils.set_random_seed(0)
    model = small_model()
    zoo.save_packed(model, tmp_path / "a")
    zoo.load_packed(model, tmp_path / "a")
    signs = np.sign(model.layers[0].kernel.latent_variable)
    x = np.random.RandomState(0).standard_normal((96, 6, 6, 3)).astype(np.float32)
    y = x[:, :3].mean((1, 2)).argmax(-1)
    trained = tf.keras.Sequential([model, tf.keras.layers.BatchNormalization()])
    trained.compile(tf.keras.optimizers.Adam(0.01), tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = trained.fit(x, y, batch_size=32, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert np.any(np.sign(model.layers[0].kernel.latent_variable) != signs)


def test_constants_that_a_layer_makes_of_its_weights(tmp_path):
    """Keras's `Normalization`, in a model that has predicted before its weights are loaded."""

    def model(values):
        normalization = tf.keras.layers.Normalization()
        normalization.adapt(values)
        return tf.keras.Sequential([tf.keras.Input((3,)), normalization, lq.layers.QuantDense(4)])

    x = np.random.RandomState(0).standard_normal((8, 3)).astype(np.float32)
    first, second = model(5 * x + 3), model(x)
    assert not np.allclose(first.predict(x), second.predict(x))
    zoo.save_packed(first, tmp_path / "a")
    zoo.load_packed(second, tmp_path / "a")
    np.testing.assert_array_equal(second.predict(x), first.predict(x))


def test_the_same_weights_give_the_same_file(tmp_path):
    model, names = small_model(), {"names": ["é", '"', "\\", "\n", "日"]}
    contents = set()
    for number in range(8):
        zoo.save_packed(model, tmp_path / f"{number}.safetensors", names)
        contents.add((tmp_path / f"{number}.safetensors").read_bytes())
    assert len(contents) == 1
    assert zoo.load_packed(model, tmp_path / "0.safetensors") == names
