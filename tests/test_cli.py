"""The command line, as a user runs it."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from sdbnn_larq.cli import main


def sdbnn(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One epoch on a fifth of the digits, in a process of its own."""
    output = tmp_path_factory.mktemp("runs") / "digits"
    fields = ["epochs=1", "dataset.test_fraction=0.4", "dataset.validation_fraction=0.4", f"output_dir={output}"]
    command = [sys.executable, "-m", "sdbnn_larq.cli", "train", "Digits", *fields]
    return output, subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_train_reports_and_saves(run):
    output, process = run
    assert process.returncode == 0, process.stderr
    assert "resnet20 stats" in process.stdout
    assert "test images after 1 epochs" in process.stdout.splitlines()[-1]
    report = json.loads((output / "report.json").read_text())
    assert report["test_images"] == pytest.approx(0.4 * 1797, abs=6)
    assert report["model_bytes"] == 60_648
    model = tf.keras.models.load_model(output / "model.keras")
    assert model.output_shape == (None, 10)


@pytest.mark.slow
def test_evaluate_gives_the_report_s_accuracy(run):
    """On the run's own test images, whose share the weights know; a field may ask for another."""
    output, _ = run
    report = json.loads((output / "report.json").read_text())
    result = sdbnn("evaluate", output / "weights.safetensors")
    assert result.exit_code == 0, result.output
    assert f"{report['test_accuracy']:.2%} of {report['test_images']} test images" in result.output
    assert "of 359 test images" in sdbnn("evaluate", output / "weights.safetensors", "test_fraction=0.2").output


def test_predict_names_classes(run, tmp_path):
    output, _ = run
    image = tmp_path / "one.png"
    image.write_bytes(tf.io.encode_png(np.zeros((20, 30, 3), np.uint8)).numpy())
    result = sdbnn("predict", "ResNet20", "--weights", output / "weights.safetensors", "--top", 10, image, image)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert len(lines) == 2
    classes = [part.split()[0] for part in lines[0].split(": ")[1].split(", ")]
    assert sorted(classes) == list("0123456789")


def test_version():
    assert sdbnn("--version").output == f"sdbnn_larq, version {version('sdbnn_larq')}\n"


def test_models_and_summary():
    assert sdbnn("models", "*18*").output.split() == ["CifarResNet18", "ResNet18"]
    assert "40108032" in sdbnn("summary", "ResNet20").output
    assert "float_resnet34 stats" in sdbnn("summary", "FloatResNet34").output


def test_train_runs_a_recipe_file(tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from zookeeper import Field, task\n"
        "from sdbnn_larq.recipes.digits import TrainDigits\n"
        "from my_choices import EPOCHS\n"
        "@task\n"
        "class Mine(TrainDigits):\n"
        "    epochs = Field(EPOCHS)\n"
    )
    (tmp_path / "my_choices.py").write_text("EPOCHS = 0\n")
    assert "epochs=0" in sdbnn("train", recipe).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "Digit"], "Did you mean Digits?"),
        (["train", "nothing.py"], "nothing.py"),
        (["train", "Digits", "epoch=3"], "Key 'epoch'"),
        (["train", "Digits", "epochs=many"], "epochs"),
        (["train", "Digits", "epochs=0"], "epochs=0"),
        (["train", "Digits", "epochs"], "key=value"),
        (["train", "Digits", "batch_size=5000"], "batch_size"),
        (["train", "Digits", "batch_size=1"], "`batch_size` must be at least 2 on each device for resnet20"),
        (["train", "Digits", "model.classifier_activation=None"], "must end in a softmax"),
        (["train", "Digits", "loss=crossentropi"], "`loss` must be"),
        (["train", "Digits", "loss=mse"], "`loss` must be"),
        (["train", "Digits", "optimizer=sgd"], "`optimizer` must be"),
        (["train", "Digits", "learning_rate=-1"], "`learning_rate` must be greater than 0. Received: -1."),
        (["train", "Digits", "weight_decay=0.1"], "`weight_decay` must be left out with Adam, which has none."),
        (["train", "Digits", "momentum=0.5"], "`momentum` must be left out with Adam, which has none."),
        (["train", "Digits", "t_min=0"], "`t_min` must be greater than 0 and finite. Received: t_min=0."),
        (["train", "Digits", "output_dir="], "`output_dir` must name a folder. Received: output_dir=''."),
        (["train", "Digits", "seed=-1"], "`seed` must be at least 0. Received: seed=-1."),
        (["train", "Digits", "seed=4294967296"], "`seed` must be below 2³². Received: seed=4294967296."),
        (["train", "Folder", "dataset.directory=.", "preprocessing.shift=-1"], "`shift` must be 0 or more pixels."),
        (["train", "ImagenetteResNet18", "dataset.directory=.", "preprocessing.min_area=5"], "`min_area` must be"),
        (["train", "ImagenetteResNet18", "dataset.directory=.", "preprocessing.min_area=0"], "`min_area` must be"),
        (["train", "Digits", "preprocessing=GrowingImages"], "must go with a model that takes images of any size."),
        (["tune", "Digits", "output_dir=here", "--range", "t_min=1:2"], "must be given as --output-dir DIR."),
        (["train", "Digits", "model.self_distribution=none"], "self_distribution"),
        (["train", "Cifar10ResNet20", "data_dir=nowhere"], "data_dir"),
        (["train", "Folder", "dataset.directory=nowhere"], "nowhere"),
        (["summary", "ResNet19"], "ResNet19"),
        (["predict", "ResNet20", "--weights", "nothing.h5", "image.png"], "nothing.h5"),
        (["predict", "ResNet20", "image.png"], "--weights"),
        (["evaluate", "ResNet20", "--weights", "cifar10", "--dataset", "Nothing"], "Nothing"),
        (["evaluate", "ResNet20/cifar10", "data_dir=nowhere"], "must be a folder with the prepared data set cifar10"),
        (
            ["evaluate", "ResNet20/cifar10", "--dataset", "Digits"],
            "Digits, whose class 0 is '0', not 'airplane'.",
        ),
        (["evaluate", "ResNet18/imagenette"], "`directory` must be given, as directory=VALUE. Received: none."),
        (["train", "Folder"], "`dataset.directory` must be given, as dataset.directory=VALUE. Received: none."),
        (["evaluate", "VGGSmall/cifar10", "--input-size", "64"], "must be left out for VGGSmall, whose classifier has"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = sdbnn(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_installed_command_says_one_line_and_nothing_of_tensorflow(tmp_path):
    command = Path(sys.executable).with_name("sdbnn")
    quiet = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    for arguments, status in ((["models"], 0), (["train", "Digit"], 2)):
        process = subprocess.run([command, *arguments], capture_output=True, text=True, env=quiet, cwd=tmp_path)
        assert process.returncode == status
        assert len(process.stderr.splitlines()) == (status > 0), process.stderr
    assert process.stderr.startswith("Error: ")


@pytest.mark.slow
def test_a_file_name_in_no_encoding(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(name, "wb") as file:
        file.write(tf.io.encode_png(np.zeros((32, 32, 3), np.uint8)).numpy())
    command = [Path(sys.executable).with_name("sdbnn"), "predict", "ResNet20/cifar10", name]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    process = subprocess.run(command, capture_output=True, text=True, env=strict)
    assert process.returncode == 0, process.stderr
    assert "caf\\udce9.png: " in process.stdout


def test_unreadable_image(run, tmp_path):
    output, _ = run
    (tmp_path / "broken.png").write_bytes(b"no image")
    result = sdbnn("predict", "ResNet20", "--weights", output / "weights.safetensors", tmp_path / "broken.png")
    assert result.exit_code == 2
    assert "broken.png" in result.stderr
