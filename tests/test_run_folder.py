"""A run's folder: one process at a time writes it, whatever can be refused is refused before, and old ones go on."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from sdbnn_larq import recipes, zoo
from sdbnn_larq._lock import locked
from sdbnn_larq.cli import main
from sdbnn_larq.training._run_folder import RunFolder, default_folder
from sdbnn_larq.training.provenance import differing_field
from sdbnn_larq.training.report import Results
from sdbnn_larq.weights import read_description

RECIPE = Path(__file__).parent / "tiny_recipe.py"
HOLD = "import sys, pathlib, sdbnn_larq._lock as l\nwith l.locked(pathlib.Path(sys.argv[1])): print('held'); input()"


def train(*fields):
    return CliRunner().invoke(main, ["train", str(RECIPE), *map(str, fields)])


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder `run`."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], **pipes)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("kind", ["same", "relative", "symlink"])
@pytest.mark.slow
def test_a_folder_in_use_is_refused(kind, holder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").symlink_to("run")
    path = {"same": tmp_path / "run", "relative": "other/../run", "symlink": "other"}[kind]
    result = train("epochs=1", f"output_dir={path}")
    assert result.exit_code == 2, result.output
    assert f"in use by process {holder.pid} on " in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == [".lock"]


@pytest.mark.slow
def test_a_lock_ends_with_its_process(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert f"process {holder.pid}" in (tmp_path / "run" / ".lock").read_text()
    with locked(tmp_path / "run"):
        assert f"process {os.getpid()} on" in (tmp_path / "run" / ".lock").read_text()
    assert (tmp_path / "run" / ".lock").read_text() == ""


def test_threads_of_one_process_exclude_each_other(tmp_path):
    errors = []

    def work():
        try:
            with locked(tmp_path):
                pass
        except ValueError as error:
            errors.append(str(error))

    with locked(tmp_path):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(errors) == 1
    work()
    assert len(errors) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "caf\udce9"], "UTF-8"),
        (["a", "b" * 5_000_000], "must be short"),
        (["a", "b", "c"], "2 names, one for each class"),
    ],
)
@pytest.mark.slow
def test_names_that_fit_no_file_are_found_before_training(names, message, tmp_path):
    model = zoo.ResNet20(num_classes=2)
    with pytest.raises(ValueError, match=message):
        Results(model, model.description.replace(class_names=tuple(names)), names).try_saving()


def test_a_model_that_cannot_be_saved_is_found_before_training(tmp_path, monkeypatch):
    def refuse(self, path):
        raise ValueError("This model cannot be saved.")

    monkeypatch.setattr(Results, "save_model", refuse)
    result = train("epochs=1", f"output_dir={tmp_path / 'run'}")
    assert isinstance(result.exception, ValueError)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_weights_of_a_run_say_all_that_it_takes_to_use_them(tmp_path):
    fields = ["model.filters=8", "model.asd_mode=static", "epochs=1", "dataset.test_fraction=0.4"]
    fields += ["dataset.validation_fraction=0.4", "model.input_shape=(24,24,3)", f"output_dir={tmp_path}"]
    result = CliRunner().invoke(main, ["train", "Digits", *fields])
    assert result.exit_code == 0, result.output
    for name in ("best", "weights"):
        found = read_description(tmp_path / f"{name}.safetensors")
        assert found.arguments == {"filters": 8, "asd_mode": "static", "num_classes": 10}
        assert found.input_shape == (24, 24, 3)
        assert found.class_names == tuple("0123456789")
        assert found.preprocessing == zoo.SMALL_IMAGES
        assert found.provenance["task"] == "TrainDigits"
        assert found.provenance["dataset"] == "Digits"
        assert found.provenance["seeds"] == [0]
    assert found.provenance["report"] == json.loads((tmp_path / "report.json").read_text())
    assert zoo.load(tmp_path / "weights.safetensors").input_shape == (None, 24, 24, 3)


def test_which_runs_are_the_same():
    old = {"epochs": 3, "ema": 0.5}
    assert differing_field(old, {"epochs": 3, "averaging_momentum": 0.5}, ()) is None
    assert differing_field(old, {"epochs": 3, "averaging_momentum": 0.0}, ()) == "averaging_momentum"
    assert differing_field(old, {"epochs": 4, "averaging_momentum": 0.5}, ()) == "epochs"
    new = {"epochs": 3, "averaging_momentum": 0.5, "sharper": True}
    assert differing_field(old, new, ()) is None  # the version that ran had no such field
    assert differing_field(old, new, {"sharper"}) == "sharper"
    assert differing_field({**old, "gone": 1}, new, ()) == "gone"


def test_a_run_of_an_earlier_version_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"epochs": 3, "new": 1}
    assert not default_folder("TrainTiny", config, ()).exists()
    old = tmp_path / "runs" / "TrainTiny-old"
    old.mkdir(parents=True)
    (old / "config.json").write_text('{"epochs": 3}')
    assert default_folder("TrainTiny", config, ()).samefile(old)
    assert not default_folder("TrainTiny", config, {"new"}).exists()
    assert not default_folder("TrainTiny", {**config, "epochs": 4}, ()).exists()


def test_an_altered_configuration_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json"):
        RunFolder(tmp_path).report_of({})


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    """It has learned the labels of its classes, in their order; nothing is written."""
    folder = RunFolder(tmp_path / "run")
    data = {"class_names": ["cat", "dog"], "training_images": 90, "validation_images": 10}
    folder.open({"epochs": 3}, data, "float32", 0)
    folder.open({"epochs": 3}, data, "float32", 0)
    folder.open({"epochs": 3}, {**data, "checksum_of_file_names": "0a"}, "float32", 0)  # of which it said nothing
    written = (tmp_path / "run" / "data.json").read_text()
    for changed in ({"class_names": ["dog", "zebra"]}, {"training_images": 91}, {"checksum_of_file_names": "0b"}):
        with pytest.raises(ValueError, match=r"the data and the recipe file that it began with, .*, begun with the"):
            folder.open({"epochs": 3}, {**data, **changed}, "float32", 0)
    assert (tmp_path / "run" / "data.json").read_text() == written
    (tmp_path / "run" / "data.json").unlink()  # as earlier versions left a run
    folder.open({"epochs": 3}, data, "float32", 0)


def test_a_field_s_old_name_goes_on_working(tmp_path):
    result = train("ema=1", f"output_dir={tmp_path / 'run'}")
    assert "`ema` is now called `averaging_momentum`" in result.stderr
    assert "averaging_momentum=1" in result.stderr.splitlines()[-1]


def test_python_code_runs_a_recipe(tmp_path):
    recipes.run(str(RECIPE), epochs=1, output_dir=str(tmp_path / "run"), **{"preprocessing.shift": 0})
    assert json.loads((tmp_path / "run" / "config.json").read_text())["preprocessing.shift"] == 0
    assert recipes.task_class("digits") is recipes.task_class("TrainDigits")
    with pytest.raises(ValueError, match=r"Did you mean Digits\?"):
        recipes.run("Digit")


def test_recipes_of_earlier_searches_go_on_working(tmp_path):
    """`sdbnn tune` wrote their import, and users' programs have the other."""
    from sdbnn_larq.cli._train import run_task, task_class

    assert task_class is recipes.task_class
    (tmp_path / "best.py").write_text(
        "from zookeeper import Field, task\n"
        "from sdbnn_larq.cli._train import task_class\n"
        "@task\n"
        f"class TrainTinyOfAnEarlierSearch(task_class({str(RECIPE)!r})):\n"
        "    epochs = Field(0)\n"
    )
    with pytest.raises(ValueError, match="epochs=0"):
        run_task(str(tmp_path / "best.py"), ())
