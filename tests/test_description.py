"""A network's description: carried by models and files, and enough to build, feed and read the network."""

import inspect
import json

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import zookeeper
from zookeeper import configure

from sdbnn_larq import zoo
from sdbnn_larq.weights import read_description
from sdbnn_larq.zoo.registry import architecture

NAMES = ("ape", "bee", "cat")
ARGUMENTS = [
    ("ResNet20", {"asd_reduction": 4}),
    ("ResNet20", {"filters": 8, "self_distribution": "activation"}),
    ("ResNet20", {"asd_mode": "static", "wsd_scale": 0.5}),
    ("ResNet20", {"branch_gamma": 0.0, "wsd_scale": 0.0}),
    ("ResNet20", {"binary_weights": False, "classifier_activation": None}),
    ("CifarResNet18", {"filters": 8, "self_distribution": None}),
    ("VGGSmall", {"binary": False}),
    ("ResNet18", {"asd_reduction": 32, "asd_mode": "dynamic"}),
    ("ResNet34", {"self_distribution": "weight"}),
]


def trained(name: str, arguments: dict, size: int = 64) -> tf.keras.Model:
    """A network as training leaves it: random weights, but all the rest."""
    model = zoo.get_model(name, num_classes=len(NAMES), input_shape=(size, size, 3), **arguments)
    model.description = model.description.replace(
        preprocessing=zoo.PHOTOGRAPHS, class_names=NAMES, provenance={"task": "TrainFolder", "seeds": [0]}
    )
    return model


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS, ids=lambda value: str(value))
@pytest.mark.slow
def test_a_file_is_enough_to_build_the_network(tmp_path, name, arguments):
    model = trained(name, arguments)
    path = tmp_path / "weights.safetensors"
    zoo.save_packed(model, path)
    assert zoo.describe(path) == zoo.describe(str(path)) == zoo.describe(model)
    loaded = zoo.load(path)
    assert loaded.description == model.description
    assert loaded.input_shape == (None, 64, 64, 3)
    x = np.random.default_rng(0).standard_normal((2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_arguments_are_those_that_differ_from_the_default():
    assert zoo.ResNet20().description.arguments == {"num_classes": 10}
    model = zoo.ResNet20(asd_reduction=16, asd_mode="static", num_classes=3)
    assert model.description.arguments == {"asd_mode": "static", "num_classes": 3}
    assert zoo.ResNet20(include_top=False).description.arguments == {"include_top": False}


@pytest.mark.parametrize("name", [*zoo.list_models(), "FloatResNet34"])
def test_public_functions_have_the_fields_of_their_factories(name):
    """None is hidden, none forgotten, and the defaults agree."""
    found = architecture(name)
    parameters = inspect.signature(found.function).parameters
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
    factory = found.factory()
    configure(factory, {"num_classes": 7})
    fields = set(factory.__component_fields__) - {"dataset"}
    if found.listed:
        assert set(parameters) == fields
    for field in set(parameters) - {"num_classes"}:
        assert getattr(factory, field) == parameters[field].default, field
        documented = found.function.__doc__
        assert f"        {field}: " in documented or "Arguments, return value" in documented, field


def test_a_subclassed_factory_is_not_taken_for_the_original():
    from sdbnn_larq.zoo.resnet20 import ResNet20Factory

    @zookeeper.factory
    class Wider(ResNet20Factory):
        def build(self) -> tf.keras.models.Model:
            return super().build()

    factory = Wider()
    configure(factory, {"num_classes": 10})
    assert factory.build().description is None


def test_describe_refuses_what_has_no_description(tmp_path):
    model = tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,))])
    with pytest.raises(ValueError, match="must have a description"):
        zoo.describe(model)
    zoo.save_packed(model, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="must have a description"):
        zoo.describe(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"`zoo\.load_packed` fills a model that you build"):
        zoo.load(tmp_path / "a.safetensors")


def rewritten(path, **changes):
    """A packed file whose description says something else."""
    model = trained("ResNet20", {})
    fields = model.description.to_json()
    for name, value in changes.items():
        fields[name] = value(fields[name]) if callable(value) else value

    class Hostile(zoo.NetworkDescription):
        def to_json(self):
            return fields

    zoo.save_packed(model, path, description=Hostile(**vars(model.description)))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "ResNet21"}, "Did you mean ResNet20"),
        ({"architecture": ""}, "`architecture` of a description must be a name"),
        ({"arguments": lambda a: {**a, "weights": "/etc/passwd"}}, "must have this version's arguments"),
        ({"arguments": lambda a: {**a, "depth": 3}}, "depth=3"),
        ({"arguments": lambda a: {**a, "filters": "many"}}, "filters='many'"),
        ({"arguments": lambda a: {**a, "filters": -8}}, "filters=-8"),
        ({"arguments": lambda a: {**a, "binary": 1}}, "binary=1"),
        ({"arguments": lambda a: {**a, "filters": [8]}}, "filters"),
        (
            {"arguments": lambda a: {**a, "num_classes": 10**12}, "class_names": None},
            r"of [\d,]+ bytes .* num_classes=10",
        ),
        ({"arguments": lambda a: {**a, "filters": 10**30}}, r"of [\d,]+ bytes must be of a smaller .* filters=1000"),
        (
            {"arguments": lambda a: {**a, "wsd_scale": 10**400}},
            "`wsd_scale` of a description must be a string",
        ),
        ({"arguments": None}, "`arguments` of a description must be"),
        ({"input_shape": [32, 32]}, "`input_shape` of a description must be"),
        ({"input_shape": [32, 0, 3]}, "`input_shape` of a description must be"),
        ({"class_names": ["one"]}, "3 names"),
        ({"class_names": "abc"}, "`class_names` of a description must be"),
        ({"preprocessing": lambda p: {**p, "std": [1, 1, 0]}}, "`std` of a description must be greater than 0"),
        ({"preprocessing": lambda p: {**p, "crop": 2}}, "`crop` of a description must be"),
        ({"preprocessing": lambda p: {**p, "resample": "best"}}, "`resample` of a description must be"),
        ({"preprocessing": {"mean": [0, 0, 0]}}, "must have the fields crop"),
        ({"preprocessing": 5}, "must have the fields crop"),
        ({"arguments": lambda a: {**a, "num_classes": 4}, "class_names": None}, "logits/kernel of shape"),
    ],
)
@pytest.mark.slow
def test_a_file_that_describes_no_network(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        zoo.load(rewritten(tmp_path / "a.safetensors", **changes))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("value", [None, [], {}, {"architecture": "ResNet20"}, "ResNet20"])
def test_json_that_is_no_description(value):
    with pytest.raises(ValueError, match="A description must have the fields"):
        zoo.NetworkDescription.from_json(value)


def test_json_round_trip():
    description = trained("ResNet20", {"wsd_scale": 0.5}).description
    assert zoo.NetworkDescription.from_json(json.loads(json.dumps(description.to_json()))) == description


def test_class_names_that_no_file_can_hold():
    with pytest.raises(ValueError, match="UTF-8"):
        trained("ResNet20", {}).description.replace(class_names=("a", "b", "caf\udce9"))


class TestFirstFormat:
    """Files of version 0.1.0 say less; the rest is found in what they hold."""

    @pytest.mark.slow
    def test_published_weights(self, golden):
        path = golden / "format1_resnet20.safetensors"
        description = zoo.describe(path)
        assert (description.architecture, description.input_shape) == ("ResNet20", (32, 32, 3))
        assert description.preprocessing == zoo.SMALL_IMAGES
        assert description.class_names[3] == "cat"
        assert description.provenance["report"]["epochs"] == 60
        x = np.random.default_rng(0).standard_normal((4, 32, 32, 3)).astype(np.float32)
        frogs = zoo.load(path)(x).numpy()[:, 6]  # the same weights, written in format 2, gave these
        np.testing.assert_allclose(frogs, [0.9315, 0.9845, 0.9528, 0.9028], atol=1e-4)

    def test_fields_are_read_off_the_shapes(self, golden):
        description = read_description(golden / "format1_fields.safetensors")
        assert description.arguments == {
            "self_distribution": "activation",
            "num_classes": 3,
            "filters": 8,
            "asd_reduction": 4,
        }
        assert zoo.load(golden / "format1_fields.safetensors").description.class_names == ("a", "b", "c")

    @pytest.mark.parametrize("metadata", ["[]", "5", "null", '"x"', '{"report": 5}', '{"options": 5}'])
    def test_metadata_of_another_kind(self, golden, tmp_path, metadata):
        with safetensors.safe_open(golden / "format1_fields.safetensors", "np") as file:
            header = {**file.metadata(), "metadata": metadata}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        safetensors.numpy.save_file(arrays, tmp_path / "a.safetensors", header)
        with pytest.raises(ValueError, match="must be an undamaged file of packed weights"):
            zoo.describe(tmp_path / "a.safetensors")


class TestTransfer:
    """Published, packed and Keras weights without their top, and tops that do not fit."""

    @pytest.fixture(scope="class")
    def files(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("transfer")
        model = zoo.load("ResNet20/cifar10")
        zoo.save_packed(model, folder / "a.safetensors")
        model.save_weights(folder / "a.h5")
        model.save(folder / "whole.h5")
        zoo.save_packed(zoo.ResNet20(include_top=False, weights="cifar10"), folder / "body.safetensors")
        zoo.ResNet20(include_top=False, weights="cifar10").save_weights(folder / "body.h5")
        return {"tag": "cifar10", "long tag": "ResNet20/cifar10", **{path.name: path for path in folder.iterdir()}}

    @pytest.mark.parametrize(
        "kind", ["tag", "long tag", "a.safetensors", "a.h5", "whole.h5", "body.safetensors", "body.h5"]
    )
    @pytest.mark.slow
    def test_body(self, files, kind):
        body = zoo.ResNet20(include_top=False, weights=files[kind], input_shape=(32, 32, 3))
        whole = zoo.ResNet20(weights="cifar10")
        expected = tf.keras.Model(whole.input, whole.get_layer(body.layers[-1].name).output)
        x = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
        np.testing.assert_array_equal(body(x), expected(x))

    @pytest.mark.slow
    def test_body_at_another_size(self, files):
        assert zoo.ResNet20(include_top=False, weights="cifar10", input_shape=(96, 64, 3)).output_shape[1:3] == (24, 16)
        assert zoo.ResNet20(include_top=False, weights="cifar10").input_shape == (None, None, None, 3)

    @pytest.mark.parametrize("kind", ["tag", "a.safetensors"])
    @pytest.mark.slow
    def test_another_number_of_classes(self, files, kind):
        with pytest.raises(ValueError, match="`num_classes` must be the 10 of the weights, or `include_top` False"):
            zoo.ResNet20(weights=files[kind], num_classes=3)

    @pytest.mark.parametrize(
        "argument", [{"asd_reduction": 4}, {"wsd_scale": 0.5}, {"asd_mode": "static"}, {"filters": 8}]
    )
    @pytest.mark.parametrize("top", [True, False])
    @pytest.mark.slow
    def test_another_network(self, files, argument, top):
        (name,) = argument
        with pytest.raises(ValueError, match=f"`{name}` must be .*with which the weights were trained"):
            zoo.ResNet20(weights="cifar10", include_top=top, **argument)

    def test_another_architecture(self, files):
        with pytest.raises(ValueError, match=r"must be of CifarResNet18\. Received: .*weights of ResNet20"):
            zoo.CifarResNet18(weights=files["a.safetensors"])
        with pytest.raises(ValueError, match="must be of VGGSmall"):
            zoo.load(files["a.safetensors"], "VGGSmall")

    def test_a_body_has_no_top_to_give(self, files):
        with pytest.raises(ValueError, match="must have a classifier, or `include_top` be False"):
            zoo.ResNet20(weights=files["body.safetensors"])

    def test_keras_weights_need_a_name(self, files):
        with pytest.raises(ValueError, match="`name` must be the architecture"):
            zoo.load(files["a.h5"])
        assert zoo.load(files["a.h5"], "ResNet20").output_shape == (None, 10)

    @pytest.mark.slow
    def test_layers_in_front(self, files):
        """As in `keras.applications`: what `input_tensor` comes from is part of the model, whose pixels are others."""
        image = tf.keras.Input((32, 32, 3))
        model = zoo.ResNet20(input_tensor=tf.keras.layers.Rescaling(1 / 255)(image), weights="cifar10")
        plain = zoo.ResNet20(weights="cifar10")
        x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
        np.testing.assert_allclose(model(x), plain(x / np.float32(255)), atol=1e-5)
        with pytest.raises(ValueError, match="must have a description"):
            zoo.describe(model)
