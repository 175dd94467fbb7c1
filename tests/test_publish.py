"""From a trained network to published weights, whose accuracy the command line recomputes."""

import json

import pytest
import tensorflow as tf
from click.testing import CliRunner
from zookeeper import configure

from sdbnn_larq import zoo
from sdbnn_larq.cli import main
from sdbnn_larq.training import Digits
from sdbnn_larq.training.preprocessing import normalize
from sdbnn_larq.weights import catalogue as _catalogue


def sdbnn(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A packed file of ResNet-20 without weight self-distribution after an epoch of digits."""
    tf.keras.utils.set_random_seed(0)
    digits = Digits()
    configure(digits, {})
    images, labels = digits.splits["train"]
    model = zoo.ResNet20(self_distribution="activation")
    model.compile(tf.keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(normalize(images), labels, batch_size=32, epochs=3, verbose=0)
    path = tmp_path_factory.mktemp("trained") / "weights.safetensors"
    description = model.description.replace(preprocessing=digits.preprocessing, provenance={"task": "TrainDigits"})
    zoo.save_packed(model, path, description=description)
    return path


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    (tmp_path / "registry.json").write_text("[]")
    (tmp_path / "zoo").mkdir()  # where the command runs
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_catalogue, "folder", lambda: tmp_path)
    _catalogue._read.cache_clear()
    yield tmp_path
    _catalogue._read.cache_clear()


def publish(trained, tag="digits", **changed):
    options = {"dataset": "Digits", "data": "scikit-learn's digits", "recipe": "three epochs", "seed": 0} | changed
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return sdbnn("publish", "ResNet20", "--weights", trained, "--tag", tag, *flags)


@pytest.mark.slow
def test_what_is_published_can_be_recomputed_and_used(trained, catalogue):
    result = publish(trained)
    assert result.exit_code == 0, result.output
    files = ["registry.json", "resnet20_digits.safetensors", "zoo/resnet20_digits.md"]
    assert sorted(str(path.relative_to(catalogue)) for path in catalogue.rglob("*.*")) == files
    (entry,) = json.loads((catalogue / "registry.json").read_text())
    assert entry["images"] == 359
    assert 15 < entry["accuracy"] < 100  # it has learnt something
    assert entry["description"]["arguments"] == {"self_distribution": "activation", "num_classes": 10}
    assert entry["description"]["class_names"] == list("0123456789")
    for command in (["ResNet20", "--weights", "digits"], ["ResNet20/digits"], ["resnet20_digits.safetensors"]):
        assert f"{entry['accuracy']:.2f}% of 359 test images of Digits" in sdbnn("evaluate", *command).output
    assert f"ResNet20/digits: {entry['accuracy']:.2f}% of 359" in sdbnn("models", "--pretrained").output
    assert sdbnn("models", "--pretrained", "VGG*").output == ""
    assert f"**{entry['accuracy']:.2f} %**" in (catalogue / "zoo" / "resnet20_digits.md").read_text("utf-8")
    assert zoo.list_models(pretrained=True) == ["ResNet20/digits"]
    assert zoo.load("ResNet20/digits").description == zoo.describe("ResNet20/digits")
    zoo.ResNet20(weights="digits", self_distribution="activation")
    with pytest.raises(ValueError, match="`self_distribution` must be 'activation', with which the weights"):
        zoo.ResNet20(weights="digits")

    assert publish(trained, seed=2).exit_code == 0
    assert [(e.tag, e.description.provenance["seeds"]) for e in _catalogue.published()] == [("digits", [2])]


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"dataset": "Nothing"}, "`dataset`"), ({"half": "nothing"}, "`half`"), ({"card": "no/a.md"}, "--card")],
)
@pytest.mark.slow
def test_nothing_is_published_by_mistake(trained, catalogue, changed, message):
    result = publish(trained, **changed)
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in catalogue.rglob("*.*")] == ["registry.json"]
