"""What `weights=` takes: paths, URLs and tags, and what it refuses."""

import dataclasses
import hashlib
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from sdbnn_larq import zoo
from sdbnn_larq.layers import HardTanh
from sdbnn_larq.quantizers import EDESign
from sdbnn_larq.weights import PublishedWeights, published
from sdbnn_larq.weights import catalogue as _catalogue
from sdbnn_larq.weights import download as _download
from sdbnn_larq.zoo._weights import load_weights

DESCRIPTION = zoo.NetworkDescription(
    "ResNet20",
    {"num_classes": 2},
    (32, 32, 3),
    zoo.SMALL_IMAGES,
    ("a", "b"),
    {"dataset": "Cifar10", "data": "CIFAR-10", "recipe": "none", "seeds": [0], "licence": "MIT"},
)
FIELDS = {"description": DESCRIPTION, "tag": "cifar10", "accuracy": 50.0, "images": 2}


@pytest.fixture(scope="module")
def model():
    return tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,))], name="resnet20")


@pytest.fixture
def packed(tmp_path, model):
    zoo.save_packed(model, tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "sdbnn_larq"


@pytest.fixture
def registry(tmp_path, packed, monkeypatch):
    monkeypatch.setattr(_catalogue, "folder", lambda: tmp_path)
    content = packed.read_bytes()
    (tmp_path / "registry.json").write_text("[]")
    _catalogue._read.cache_clear()
    sha256 = hashlib.sha256(content).hexdigest()
    entry = PublishedWeights(**FIELDS, file=packed.name, size=len(content), sha256=sha256)
    _catalogue.publish(entry)
    yield entry
    _catalogue._read.cache_clear()


def assert_loads(model, weights):
    before = model.get_weights()
    model.set_weights([np.zeros_like(value) for value in before])
    load_weights(model, "ResNet20", weights)
    for value, expected in zip(model.get_weights(), before):
        np.testing.assert_array_equal(value, expected)


def test_paths(tmp_path, model, packed):
    assert_loads(model, packed)
    assert_loads(model, str(packed))
    model.save_weights(tmp_path / "a.h5")
    assert_loads(model, str(tmp_path / "a.h5"))


def test_tag(model, registry):
    assert_loads(model, "cifar10")
    assert_loads(model, "ResNet20/cifar10")
    assert zoo.list_models(pretrained=True) == ["ResNet20/cifar10"]


def test_a_folder_or_file_of_the_tag_s_name_is_not_the_tag(model, registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "cifar10", tmp_path / "ResNet20" / "cifar10"):
        path.mkdir(parents=True)
        assert_loads(model, "/".join(path.relative_to(tmp_path).parts))


def test_unknown_tag_names_those_that_exist(model, registry):
    with pytest.raises(ValueError, match=r"of ResNet20: ResNet20/cifar10. Received: weights='imagenet'"):
        load_weights(model, "ResNet20", "imagenet")


def test_published_file_with_another_hash(model, registry):
    _catalogue.publish(dataclasses.replace(registry, sha256="0" * 64))
    with pytest.raises(ValueError, match="must have SHA-256 0000"):
        load_weights(model, "ResNet20", "cifar10")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tag", "../cifar10"),
        ("file", "http://localhost/a.safetensors"),
        ("file", "../a.safetensors"),
        ("sha256", "abc"),
        ("size", 0),
        ("accuracy", 86.912),
        ("description", DESCRIPTION.replace(preprocessing=None)),
        ("description", DESCRIPTION.replace(class_names=None)),
        ("description", DESCRIPTION.replace(provenance={**DESCRIPTION.provenance, "seeds": []})),
        ("description", DESCRIPTION.replace(provenance={"data": "CIFAR-10"})),
    ],
)
def test_entry_that_says_too_little(registry, name, value):
    with pytest.raises(ValueError, match=f"`{name}` of published weights must"):
        dataclasses.replace(registry, **{name: value})


def test_registry_and_its_files():
    """What the registry says of a file is what the file says of itself."""
    entries = published()
    assert len({entry.name for entry in entries}) == len(entries) > 0
    for entry in entries:
        path = _catalogue.folder() / entry.file
        assert path.stat().st_size == entry.size
        assert zoo.describe(path) == entry.description == zoo.describe(entry.name)
        model = zoo.load(entry.name)
        assert model.description == entry.description
        assert model.input_shape[1:] == entry.description.input_shape
        card = Path(__file__).parents[1] / "zoo" / f"{entry.name.replace('/', '_').lower()}.md"
        assert f"**{entry.accuracy:.2f} %**" in card.read_text("utf-8")


def test_no_such_file(model):
    with pytest.raises(ValueError, match="is not a file"):
        load_weights(model, "ResNet20", "missing.safetensors")


def test_renamed_file(tmp_path, model, packed):
    packed.rename(tmp_path / "a.h5")
    with pytest.raises(ValueError, match="does not fit"):
        load_weights(model, "ResNet20", tmp_path / "a.h5")


def test_file_url(model, packed, cache):
    assert_loads(model, packed.as_uri())
    zoo.save_packed(zoo.ResNet20(num_classes=7), packed)
    assert zoo.load(packed.as_uri()).output_shape == (None, 7)  # what lies there now
    assert len(list(cache.iterdir())) == 1


def test_other_schemes_are_refused(model, cache):
    with pytest.raises(ValueError, match="must start with https:// or file://"):
        load_weights(model, "ResNet20", "ftp://localhost/a.safetensors")


def test_missing_url(model, tmp_path, cache):
    with pytest.raises(ValueError, match="must be readable"):
        load_weights(model, "ResNet20", (tmp_path / "missing.safetensors").as_uri())
    assert not list(cache.iterdir())


def test_cache_that_cannot_be_written(tmp_path, model, packed, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="KERAS_HOME"):
        load_weights(model, "ResNet20", packed.as_uri())


def test_too_large_or_other_hash(packed, cache):
    with pytest.raises(ValueError, match="more than 10 bytes"):
        _download.fetch(packed.as_uri(), limit=10)
    with pytest.raises(ValueError, match="must have SHA-256 0000"):
        _download.fetch(packed.as_uri(), limit=10**6, sha256="0" * 64)
    assert not list(cache.iterdir())


def test_cached_file_with_another_hash_is_fetched_again(packed, cache):
    sha256 = hashlib.sha256(packed.read_bytes()).hexdigest()
    path = _download.fetch(packed.as_uri(), 10**6, sha256)
    path.write_bytes(b"damaged")
    assert _download.fetch(packed.as_uri(), 10**6, sha256).read_bytes() == packed.read_bytes()


def test_fetching_at_once(packed, cache):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: _download.fetch(packed.as_uri(), 10**6), range(32)))
    assert {path.read_bytes() for path in paths} == {packed.read_bytes()}
    assert len(list(cache.iterdir())) == 1


def test_damaged_file_does_not_stay_in_the_cache(model, packed, cache):
    content = packed.read_bytes()
    packed.write_bytes(content[:-9])
    with pytest.raises(ValueError, match="undamaged"):
        load_weights(model, "ResNet20", packed.as_uri())
    packed.write_bytes(content)
    assert_loads(model, packed.as_uri())


def rebuilt(model, change):
    """A copy with each layer as `change` makes it of its configuration."""
    copy = tf.keras.models.clone_model(model, clone_function=lambda layer: change(layer, layer.get_config()))
    copy.set_weights(model.get_weights())
    return copy


def with_relu(layer, config):
    return tf.keras.layers.ReLU(name=layer.name) if isinstance(layer, HardTanh) else layer.from_config(config)


def with_other_names(layer, config):
    return layer.from_config({**config, "name": f"x_{layer.name}"})


WHOLE = {
    "wsd_scale": (
        lambda: zoo.ResNet20(wsd_scale=0.02),
        "with layer1_0_conv1.kernel_quantizer.scale=0.01 (wsd_scale). Received: ",
    ),
    "asd_mode": (
        lambda: zoo.ResNet20(asd_mode="static"),
        "with layer1_0_conv1_asd.mode=dynamic (asd_mode). Received: ",
    ),
    "binary": (
        lambda: zoo.ResNet20(binary=False),
        "with layer1_0_conv1.input_quantizer=EDESign (binary). Received: ",
    ),
    "class": (lambda: rebuilt(zoo.ResNet20(), with_relu), "with hard_tanh1=HardTanh. Received: "),
    "names": (
        lambda: rebuilt(zoo.ResNet20(wsd_scale=0.02), with_other_names),
        "with layer1_0_conv1.kernel_quantizer.scale=0.01 (wsd_scale). Received: ",
    ),
}


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_keras_model_whose_layers_compute_something_else(name, suffix, tmp_path):
    make, message = WHOLE[name]
    path = tmp_path / f"whole.{suffix}"
    make().save(path)
    with pytest.raises(ValueError, match=re.escape(message)):
        zoo.load(path, "ResNet20")
    if name != "names":
        with pytest.raises(ValueError, match=re.escape(message)):
            zoo.ResNet20(weights=path, include_top=False)


@pytest.mark.parametrize("saved", [{}, {"self_distribution": "activation"}], ids=["both", "activation"])
def test_a_whole_keras_model_with_more_layers(saved, tmp_path):
    """Keras loads the layers that the network has, without a word about the others."""
    zoo.ResNet20(**saved).save(tmp_path / "whole.keras")
    message = r"must be of a network without layer1_0_conv1_asd \(ActivationSelfDistribution\)\. Received: '.*keras'\."
    without = {"self_distribution": "weight" if not saved else None}
    with pytest.raises(ValueError, match=message):
        zoo.ResNet20(weights=tmp_path / "whole.keras", **without)


@pytest.mark.parametrize("bias", ["group", "scalar", "link"])
def test_a_damaged_file_of_keras_weights(bias, tmp_path):
    path = tmp_path / "damaged.h5"
    zoo.ResNet20().save_weights(path)
    with h5py.File(path, "a") as file:
        name = "logits/logits/bias:0"
        del file[name]
        if bias == "group":
            file.create_group(name)
        else:
            file[name] = 0.0 if bias == "scalar" else h5py.SoftLink("/nowhere")
    with pytest.raises(ValueError, match="`weights` must be") as error:
        zoo.ResNet20(weights=path)
    assert "\n" not in str(error.value)


class Applied(tf.keras.layers.Layer):
    """A layer of a user that cannot be saved."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def trained_network():
    model = zoo.ResNet20()
    model.compile(tf.keras.optimizers.Adam(), "sparse_categorical_crossentropy")
    for layer in model.layers:
        for quantizer in (getattr(layer, "input_quantizer", None), getattr(layer, "kernel_quantizer", None)):
            if isinstance(quantizer, EDESign):
                quantizer.t.assign(3.0)
    return model


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_whole_keras_model_of_the_same_layers(suffix, tmp_path):
    path = tmp_path / f"whole.{suffix}"
    images = np.random.RandomState(0).randn(2, 32, 32, 3).astype(np.float32)
    for model, arguments in (
        (trained_network(), {}),
        (rebuilt(zoo.ResNet20(), with_other_names), {}),
        (zoo.ResNet20(wsd_scale=0.02, asd_mode="static"), {"wsd_scale": 0.02, "asd_mode": "static"}),
    ):
        model.save(path)
        restored = zoo.ResNet20(weights=path, **arguments)
        np.testing.assert_array_equal(restored(images, training=False), model(images, training=False))


def test_layers_in_front_of_the_network_are_the_users(tmp_path):
    path = tmp_path / "whole.keras"
    image = tf.keras.Input((32, 32, 3))
    zoo.ResNet20(input_tensor=tf.keras.layers.Rescaling(2.0, name="rescaling")(image)).save(path)
    zoo.ResNet20(input_tensor=tf.keras.layers.Rescaling(3.0, name="rescaling")(image), weights=path)
    zoo.ResNet20(input_tensor=Applied(lambda x: 2 * x)(image), weights=path)


def test_a_whole_keras_model_of_another_input_size(tmp_path):
    zoo.ResNet18(num_classes=3, input_shape=(64, 64, 3)).save(tmp_path / "whole.keras")
    zoo.ResNet18(num_classes=3, input_shape=(96, 96, 3), weights=tmp_path / "whole.keras")


@pytest.mark.parametrize("config", [b"{", b"[" * 100_000, b'{"config": {"layers": [{"config": {"name": []}}]}}', None])
def test_what_no_whole_keras_model_says_is_left_to_keras(config, model, tmp_path):
    path = tmp_path / "whole.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config or b" " * 1000)
    if config is None:  # damaged
        damaged = bytearray(path.read_bytes())
        damaged[45:50] = b"\xff" * 5
        path.write_bytes(damaged)
    with pytest.raises(ValueError, match="which does not fit"):
        load_weights(model, "ResNet20", path)
