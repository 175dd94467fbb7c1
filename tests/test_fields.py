"""Fields as they are written on the command line."""

import os

import pytest
from zookeeper import configure

from sdbnn_larq.cli._fields import parse_fields
from sdbnn_larq.recipes.folder import TrainFolder
from sdbnn_larq.recipes.imagenet_resnet18_stage2 import TrainImageNetResNet18Stage2
from sdbnn_larq.training import ImageFolder


@pytest.mark.parametrize(
    "name", ["2024", "1e3", "007", "None", "True", "(1, 2)", "a=b", "=", "a b", "café", "'x", "{}"]
)
@pytest.mark.parametrize(
    ("owner", "prefix", "field"),
    [(TrainFolder, "", "output_dir"), (TrainFolder, "dataset.", "directory"), (ImageFolder, "", "directory")],
)
def test_a_folder_may_have_any_name(name, owner, prefix, field):
    assert parse_fields([f"{prefix}{field}={name}"], owner) == {prefix + field: name}


def test_values_have_the_declared_types():
    text = "epochs=3 learning_rate=1 data_dir=None strategy=7 model.self_distribution=None model.input_shape=(8,8,3)"
    assert parse_fields(text.split(), TrainFolder) == {
        "epochs": 3,
        "learning_rate": 1,
        "data_dir": None,
        "strategy": "7",
        "model.self_distribution": None,
        "model.input_shape": (8, 8, 3),
    }


def test_the_chosen_component_says_the_types():
    fields = ["dataset=PhotoFolder", "dataset.directory=2024"]
    assert parse_fields(fields, TrainFolder)["dataset.directory"] == "2024"
    fields = ["teacher=saved_model", "teacher.path=34"]
    assert parse_fields(fields, TrainImageNetResNet18Stage2)["teacher.path"] == "34"


def test_home_directory(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert parse_fields(["dataset.directory=~/photos", "model.weights=~/w.h5"], TrainFolder) == {
        "dataset.directory": "/somewhere/photos",
        "model.weights": "/somewhere/w.h5",
    }
    assert parse_fields(["directory=a~b"], ImageFolder) == {"directory": "a~b"}


def test_flags():
    assert parse_fields(["--deterministic", "--no-dataset.strict"], TrainFolder) == {
        "deterministic": True,
        "dataset.strict": False,
    }


def test_a_component_that_is_set_as_a_flag_is_left_to_zookeeper():
    assert parse_fields(["--dataset", "--dataset.strict"], TrainFolder) == {"dataset": True, "dataset.strict": True}


@pytest.mark.parametrize("item", ["--epochs", "--no-epochs", "epochs=True", "--learning_rate", "--preprocessing.shift"])
def test_numbers_are_no_flags(item):
    with pytest.raises(ValueError, match=r"must be set as (\S+)=VALUE, not True or False\."):
        parse_fields([item], TrainFolder)


@pytest.mark.parametrize("item", ["epochs", "", "=3", "a b=3", "--", "-i"])
def test_what_is_no_field_is_refused_in_one_line(item):
    with pytest.raises(ValueError, match=r"key=value") as error:
        parse_fields([item], TrainFolder)
    assert "\n" not in str(error.value)


def test_unknown_fields_are_left_to_the_task():
    fields = parse_fields(["dataset.nothing.deeper=2", "dataset=Nothing", "nothing=3"], TrainFolder)
    assert fields == {"dataset.nothing.deeper": 2, "dataset": "Nothing", "nothing": 3}
    with pytest.raises((ValueError, TypeError), match=r"[Nn]othing"):
        configure(TrainFolder(), fields)


def test_a_folder_that_is_no_utf8_can_be_given():
    name = os.fsdecode(b"caf\xe9")
    assert parse_fields([f"directory={name}"], ImageFolder) == {"directory": name}
