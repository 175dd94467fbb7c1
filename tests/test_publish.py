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
    model.fit(normalize(images), labels, batch_size=32, verbose=0)
    path = tmp_path_factory.mktemp("trained") / "weights.safetensors"
    zoo.save_packed(model, path, {"options": {"self_distribution": "activation"}, "report": {"seed": 0}})
    return path


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    (tmp_path / "registry.json").write_text("[]")
    monkeypatch.setattr(_catalogue, "folder", lambda: tmp_path)
    return tmp_path


def publish(trained, tag="digits", **changed):
    options = {"dataset": "Digits", "data": "scikit-learn's digits", "recipe": "one epoch", "seed": 0} | changed
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return sdbnn("publish", "ResNet20", "--weights", trained, "--tag", tag, *flags)


def test_what_is_published_can_be_recomputed_and_used(trained, catalogue):
    result = publish(trained)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in catalogue.iterdir()) == [
        "registry.json",
        "resnet20_digits.md",
        "resnet20_digits.safetensors",
    ]
    (entry,) = json.loads((catalogue / "registry.json").read_text())
    assert entry["images"] == 359
    assert 15 < entry["accuracy"] < 100  # it has learnt something
    assert entry["arguments"] == {"self_distribution": "activation", "num_classes": 10}
    shown = sdbnn("evaluate", "ResNet20", "--weights", "digits").output
    assert f"{entry['accuracy']:.2f}% of 359 test images of Digits" in shown
    assert f"ResNet20 digits: {entry['accuracy']:.2f}% of 359" in sdbnn("models", "--pretrained").output
    assert sdbnn("models", "--pretrained", "VGG*").output == ""
    assert f"**{entry['accuracy']:.2f} %**" in (catalogue / "resnet20_digits.md").read_text("utf-8")
    assert zoo.list_models(pretrained=True) == ["ResNet20"]
    zoo.ResNet20(weights="digits", **entry["arguments"])
    with pytest.raises(ValueError, match="no layer1_0_conv1/alpha_bias"):
        zoo.ResNet20(weights="digits")

    assert publish(trained, seed=2).exit_code == 0
    assert [(entry.tag, entry.seeds) for entry in _catalogue.entries()] == [("digits", [2])]


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"dataset": "Nothing"}, "`dataset`"), ({"half": "nothing"}, "`half`")],
)
def test_nothing_is_published_by_mistake(trained, catalogue, changed, message):
    result = publish(trained, **changed)
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in catalogue.iterdir()] == ["registry.json"]
