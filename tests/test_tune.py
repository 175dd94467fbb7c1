"""`sdbnn tune`: the search space, the search itself, and what it leaves behind."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from zookeeper import configure

from sdbnn_larq._lock import locked
from sdbnn_larq.cli import main
from sdbnn_larq.recipes import task_class
from sdbnn_larq.training import Digits
from sdbnn_larq.training.provenance import with_present_names
from sdbnn_larq.tuning import Choice, Range, Search, parse_choice, parse_range
from sdbnn_larq.tuning.recipe import write_recipe
from sdbnn_larq.tuning.report import print_table
from sdbnn_larq.tuning.search import Trial

RECIPE = Path(__file__).parent / "tiny_recipe.py"
SPACE = ["--range", "learning_rate=1e-4:1e-1:log", "--choice", "model.self_distribution=both,None"]


def sdbnn(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def process(*arguments, **environment):
    command = [sys.executable, "-u", "-m", "sdbnn_larq.cli", "tune", RECIPE, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(list(map(str, command)), env={**os.environ, **environment}, **pipes)


def rows(folder):
    return list(csv.DictReader((folder / "trials.csv").open()))


@pytest.fixture
def tiny():
    tiny = task_class(str(RECIPE))()
    configure(tiny, {})
    return tiny


def test_parse(tiny):
    assert parse_range("learning_rate=1e-4:1:log", tiny) == Range("learning_rate", 1e-4, 1.0, log=True)
    assert parse_range("batch_size=16:64", tiny) == Range("batch_size", 16, 64)
    assert type(parse_range("batch_size=16:64", tiny).low) is int
    assert type(parse_range("t_max=1:10", tiny).low) is float
    assert parse_range("model.wsd_scale=0:0.1", tiny).field == "model.wsd_scale"
    choice = parse_choice("model.self_distribution=both,None", tiny)
    assert choice == Choice("model.self_distribution", ("both", "None"))
    assert choice.ends() == ["both", None]
    assert parse_choice("data_dir=2024,2025", tiny).ends() == ["2024", "2025"]
    assert parse_choice("seed=1,2", tiny).ends() == [1, 2]


def test_a_range_of_an_optional_number():
    folder = task_class("Folder")()
    configure(folder, {"dataset.directory": "photos"})
    assert type(parse_range("dataset.image_size=32:64", folder).low) is int


def test_hyperband_s_shortest_trials_must_be_possible(class_folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["tune", "FineTune", f"dataset.directory={class_folders}", "weights=ResNet20/cifar10", "epochs=9"]
    result = sdbnn(*command, "--range", "learning_rate=1e-4:1e-2")
    assert result.exit_code == 2
    assert "Hyperband's shortest trials (epochs=1) must be possible; `--algorithm random` trains for 9" in result.stderr
    assert "`head_epochs` must be from 0 to the 1 epochs" in result.stderr
    assert not (tmp_path / "runs").exists()
    fields = {"dataset.directory": str(class_folders), "weights": "ResNet20/cifar10", "epochs": 9}
    Search(task_class("FineTune"), fields, [Choice("head_epochs", ("8", "0"))], tmp_path)  # half of which are possible


@pytest.mark.parametrize(("epochs", "shortest"), [(1, 1), (2, 2), (3, 1), (9, 1), (32, 2), (100, 2), (243, 1)])
def test_hyperband_s_shortest_trials(epochs, shortest, tmp_path):
    search = Search(task_class(str(RECIPE)), {"epochs": epochs}, [Range("t_max", 1.0, 2.0)], tmp_path)
    assert search.shortest_epochs() == shortest
    oracle = search.tuner().oracle
    assert oracle._get_epochs(oracle._get_num_brackets() - 1, 0) == shortest


@pytest.mark.slow
def test_a_search_goes_on_with_its_recipe_and_its_data(class_folders, tmp_path):
    """What earlier versions did not write down cannot differ."""
    file = tmp_path / "search" / "search.json"
    fields = {"dataset.directory": str(class_folders), "model.filters": 4, "epochs": 1, "batch_size": 4}
    space = [Choice("learning_rate", ("1e-3", "2e-3"))]

    def search():
        return Search(task_class("Folder"), fields, space, file.parent, algorithm="random", trials=1).run()

    (trial,) = search()
    (again,) = search()
    assert again == trial
    whole = json.loads(file.read_text())
    for changes, message in (
        ({"configuration": {**whole["configuration"], "momentum": 0.5}}, "begun with the momentum 0.5, and now 0.9"),
        ({"data": {**whole["data"], "checksum_of_recipe": "a"}}, None),
        (
            {"data": {**whole["data"], "checksum_of_file_names": "a"}},
            "begun with the checksum_of_file_names a, and now",
        ),
    ):
        file.write_text(json.dumps({**whole, **changes}))
        if message is None:  # of a recipe of the package there is none
            assert search() == [trial]
            continue
        with pytest.raises(ValueError, match=message):
            search()
    file.write_text(json.dumps({name: value for name, value in whole.items() if name not in ("configuration", "data")}))
    assert search() == [trial]
    for name, damaged in (
        ("trial_0/trial.json", '{"tri'),
        ("oracle.json", "{}"),
        ("tuner0.json", "{"),
        ("oracle.json", ""),
    ):
        content = (part := file.parent / "trials" / name).read_text()
        part.write_text(damaged) if damaged else part.unlink()
        with pytest.raises(ValueError, match="A search's files must be as they were written"):
            search()
        part.write_text(content)
    assert search() == [trial]


def test_tables_take_any_text(capsys):
    fields = {"data_dir": "/x/[red]/[/a]"}
    print_table([Trial("0", fields, 1, None, "there is no [/b]"), Trial("1", fields, 1, 0.5)])
    assert "[red]" in capsys.readouterr().out


def test_a_field_of_one_s_own_that_is_called_as_an_old_one():
    own = SimpleNamespace(__component_fields__={"stage1": None, "averaging_momentum": None})
    fields = with_present_names({"stage1": 1, "ema": 2, "epochs": 3}, own)
    assert fields == {"stage1": 1, "averaging_momentum": 2, "epochs": 3}


def test_a_best_recipe_in_any_folder(tiny, tmp_path):
    folder = tmp_path / 'C:\\users\\x """'
    folder.mkdir()
    write_recipe(folder / "best.py", "TrainBest", tiny, {"epochs": 2}, source=str(RECIPE), summary="The best.")
    compile((folder / "best.py").read_text(), "best.py", "exec")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one range or choice"),
        (["--range", "learning_rate"], "FIELD=LOW:HIGH"),
        (["--range", "learning_rate=1"], "FIELD=LOW:HIGH"),
        (["--range", "learning_rate=a:b"], "FIELD=LOW:HIGH"),
        (["--range", "learning_rate=1:1e999"], "FIELD=LOW:HIGH"),
        (["--range", "learning_rate=1:2:exp"], "FIELD=LOW:HIGH"),
        (["--range", "learning_rate=2:1"], "LOW < HIGH"),
        (["--range", "learning_rate=0:1:log"], "LOW > 0"),
        (["--range", "batch_size=0.5:8"], "whole numbers"),
        (["--range", "batch_size=0:8"], "`batch_size` must be at least 1"),
        (["--range", "learning_rat=1:2"], "Did you mean learning_rate?"),
        (["--range", "model.wsd_scal=1:2"], "Did you mean model.wsd_scale?"),
        (["--range", "loss.x=1:2"], "COMPONENT.FIELD"),
        (["--range", "nothing.x=1:2"], "COMPONENT.FIELD"),
        (["--choice", "seed=1"], "different values"),
        (["--choice", "seed=1,1"], "different values"),
        (["--choice", "learning_rate=big,small"], "learning_rate"),
        (["--range", "epochs=1:9"], "epochs"),
        (["--range", "seed=1:9", "seed=3"], "'seed' twice"),
        (["--range", "seed=1:9", "--choice", "seed=3,4"], "'seed' twice"),
        (["--range", "seed=1:9", "--algorithm", "grid"], "hyperband, random, bayesian"),
        (["--range", "seed=1:9", "--trials", "0"], "trials"),
        (["--range", "seed=1:9", "epoch=1"], "epoch"),
    ],
)
def test_bad_searches_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = sdbnn("tune", RECIPE, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_hyperband_never_touches_the_test_set(tmp_path, monkeypatch):
    def untouchable(self, decoders=None):
        raise AssertionError("The test set was touched.")

    monkeypatch.setattr(Digits, "test", untouchable)
    config = {"epochs": 3, "deterministic": False}
    search = Search(task_class(str(RECIPE)), config, [Range("learning_rate", 1e-4, 1e-1, log=True)], tmp_path)
    trials = search.run()
    # Three trials of one epoch, the best of them again with three, then two with three at once.
    assert sorted(trial.epochs for trial in trials) == [1, 1, 1, 3, 3, 3]
    promoted = max((trial for trial in trials if trial.epochs == 1), key=lambda trial: trial.accuracy)
    assert promoted.fields in [trial.fields for trial in trials if trial.epochs == 3]
    assert [trial.accuracy for trial in trials] == sorted((trial.accuracy for trial in trials), reverse=True)
    assert all(1e-4 <= trial.fields["learning_rate"] <= 1e-1 for trial in trials)
    other = Search(task_class(str(RECIPE)), config, [Range("learning_rate", 1e-4, 1e-2, log=True)], tmp_path)
    with pytest.raises(ValueError, match="the same search"):
        other.run()


@pytest.mark.slow
def test_trials_that_diverge_are_failed_trials(tmp_path):
    config = {"epochs": 1, "deterministic": False}
    space = [Choice("learning_rate", ("1e38", "1e-3"))]
    trials = Search(task_class(str(RECIPE)), config, space, tmp_path, algorithm="random", trials=2).run()
    assert [trial.fields["learning_rate"] for trial in trials] == [1e-3, 1e38]
    assert trials[0].accuracy > 0
    assert trials[1].accuracy is None


@pytest.mark.slow
def test_epochs_may_be_searched(tmp_path):
    search = ["--choice", "epochs=1,2", "--algorithm", "random", "--trials", "2", "--output-dir", tmp_path]
    result = sdbnn("tune", RECIPE, *search)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "trials.csv").read_text().splitlines()[0] == "trial,epochs,val_accuracy,failure"
    found = rows(tmp_path)
    assert sorted(row["epochs"] for row in found) == ["1", "2"]
    assert f"    epochs = Field({found[0]['epochs']})\n" in (tmp_path / "best.py").read_text()


@pytest.mark.slow
def test_a_network_of_the_recipe_file_may_be_searched(tmp_path):
    """Python cannot import it by the name of its module."""
    (tmp_path / "own.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(RECIPE.parent)!r})\n"
        "from tiny_recipe import TinyFactory\n"
        "from zookeeper import ComponentField, Field, factory, task\n"
        "from sdbnn_larq.recipes.digits import TrainDigits\n"
        "@factory\n"
        "class OwnFactory(TinyFactory):\n"
        "    name = 'own'\n"
        "@factory\n"
        "class OtherFactory(TinyFactory):\n"
        "    name = 'other'\n"
        "@task\n"
        "class TrainOwnOrOther(TrainDigits):\n"
        "    model = ComponentField(OwnFactory)\n"
        "    epochs = Field(1)\n"
    )
    search = ["--choice", "model=OwnFactory,OtherFactory", "--algorithm", "random", "--trials", "2"]
    command = [sys.executable, "-m", "sdbnn_larq.cli"]
    subprocess.run([*command, "tune", "own.py", *search, "--output-dir", "search"], cwd=tmp_path, check=True)
    trained = [*command, "train", "search/best.py", "output_dir=run"]
    subprocess.run(trained, cwd=tmp_path, check=True)
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert report["validation_accuracy"] == float(rows(tmp_path / "search")[0]["val_accuracy"])


@pytest.mark.parametrize(
    ("choice", "message"),
    [("batch_size=64,5000", "batch_size"), ("model.self_distribution=wrong,both", "self_distribution")],
)
@pytest.mark.slow
def test_a_value_that_fits_nothing_is_a_failed_trial(choice, message, tmp_path):
    arguments = ["epochs=1", "--choice", choice, "--algorithm", "random", "--trials", "2", "--output-dir", tmp_path]
    for _ in range(2):  # given again, the command gives the same end
        result = sdbnn("tune", RECIPE, *arguments)
        assert result.exit_code == 0, result.output
        good, failed = rows(tmp_path)
        assert float(good["val_accuracy"]) > 0
        assert good["failure"] == failed["val_accuracy"] == ""
        assert message in failed["failure"]
    assert (tmp_path / "best.py").exists()


def test_a_search_in_which_all_fails_says_why(tmp_path):
    arguments = ["--choice", "batch_size=5000,6000", "--algorithm", "random", "--trials", "2", "--output-dir", tmp_path]
    for _ in range(2):
        result = sdbnn("tune", RECIPE, *arguments)
        assert result.exit_code == 2, result.output
        assert len(result.stderr.splitlines()) == 1
        assert "`batch_size` must be at most" in result.stderr
        assert len(rows(tmp_path)) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["dataset=ImageFolder", "dataset.directory=nowhere"], "nowhere"),
        (["--choice", "model.self_distribution=wrong,bad"], "self_distribution"),
    ],
)
def test_data_that_no_trial_can_use_is_one_line(fields, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = sdbnn("tune", RECIPE, "--range", "learning_rate=1e-3:1e-2", *fields)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_bug_is_no_failed_trial(tmp_path, monkeypatch):
    monkeypatch.setattr("sdbnn_larq.training.TrainSDBNN.prepare", lambda self: {}["nothing"])
    search = Search(task_class(str(RECIPE)), {"epochs": 1}, [Choice("batch_size", ("8", "16"))], tmp_path)
    with pytest.raises(Exception, match="bug") as caught:
        search.run()
    assert isinstance(caught.value.__cause__, KeyError)


def test_two_searches_in_one_folder(tmp_path):
    with locked(tmp_path):
        result = sdbnn("tune", RECIPE, *SPACE, "--output-dir", tmp_path)
    assert result.exit_code == 2, result.output
    assert f"in use by process {os.getpid()}" in result.stderr


@pytest.mark.slow
def test_interrupted_search_goes_on_and_ends_with_a_recipe(tmp_path):
    arguments = ["epochs=1", *SPACE, "--algorithm", "bayesian", "--trials", "3", "--output-dir", tmp_path / "search"]
    running = process(*arguments)
    for line in running.stdout:
        if "Trial #2" in line:
            running.send_signal(signal.SIGINT)
            break
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 130, errors
    assert "the same command goes on" in errors
    first = tmp_path / "search" / "trials" / "trial_0" / "trial.json"
    kept = first.read_bytes()
    result = sdbnn("tune", RECIPE, *arguments)
    assert result.exit_code == 0, result.output
    assert first.read_bytes() == kept
    found = rows(tmp_path / "search")
    assert sorted(row["trial"] for row in found) == ["0", "1", "2"]
    assert "validation accuracy" in result.output
    assert (tmp_path / "search" / "trials.png").read_bytes().startswith(b"\x89PNG")

    recipe, run = tmp_path / "search" / "best.py", tmp_path / "run"
    result = sdbnn("train", recipe, f"output_dir={run}")
    assert result.exit_code == 0, result.output
    assert json.loads((run / "report.json").read_text())["validation_accuracy"] == float(found[0]["val_accuracy"])
    config = json.loads((run / "config.json").read_text())
    assert config["learning_rate"] == float(found[0]["learning_rate"])
    assert str(config["model.self_distribution"] or "") == found[0]["model.self_distribution"]
    assert config["dataset.test_fraction"] == 0.4  # a default of the recipe


@pytest.mark.slow
def test_a_chief_and_two_workers(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
    arguments = ["epochs=1", *SPACE, "--algorithm", "random", "--trials", "4", "--output-dir", tmp_path]
    running = [process(*arguments, KERASTUNER_TUNER_ID=name, **shared) for name in ("chief", "tuner0", "tuner1")]
    outputs = [one.communicate(timeout=500) for one in running]
    assert [one.returncode for one in running] == [0, 0, 0], outputs
    assert "validation accuracy" in outputs[0][0]
    assert len(rows(tmp_path)) == 4
    trained = [output.count(" - val_loss: ") for output, _ in outputs]
    assert trained[0] == 0
    assert sum(trained) == 4


@pytest.mark.slow
def test_keras_3_stays_what_others_import():
    code = """
import keras
import sdbnn_larq.tuning
import keras.layers
import keras as again
assert again is keras
print(keras.__version__)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("3.")
