"""Runs that are killed, and go on to the very same end."""

import contextlib
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from signal import SIGTERM

import numpy as np
import pytest

from sdbnn_larq.training._checkpoints import Checkpoints
from sdbnn_larq.training.signals import Signals

HERE = Path(__file__).parent
TIMINGS = ("seconds", "images_per_second")
SURVIVAL = "sdbnn_larq.training._survival:Survival."


def train(output, *fields, timeout=300):
    command = [
        sys.executable,
        "-m",
        "sdbnn_larq.cli",
        "train",
        HERE / "tiny_recipe.py",
        f"output_dir={output}",
        *fields,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def killed(output, target, count, signal, *fields):
    command = [sys.executable, HERE / "killed_run.py", target, str(count), signal, f"output_dir={output}", *fields]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def end(output):
    """The last state and the history of a run."""
    arrays, progress = Checkpoints(output / "checkpoints").newest()
    history = list(csv.DictReader((output / "history.csv").open()))
    assert [{name: float(value) for name, value in row.items()} for row in history] == progress["history"]
    return arrays, [{name: row[name] for name in row if name not in TIMINGS} for row in history]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed")
    process = train(output)
    assert process.returncode == 0, process.stderr
    return output


@pytest.mark.slow
def test_run_folder(undisturbed):
    names = {path.name for path in undisturbed.iterdir()}
    assert names == {
        ".lock",
        "best.safetensors",
        "checkpoints",
        "config.json",
        "curves.png",
        "data.json",
        "environment.json",
        "history.csv",
        "model.keras",
        "report.json",
        "tensorboard",
        "weights.safetensors",
    }
    config = json.loads((undisturbed / "config.json").read_text())
    assert config["epochs"] == 3
    assert config["model.self_distribution"] == "both"
    assert "output_dir" not in config
    environment = json.loads((undisturbed / "environment.json").read_text())
    assert environment["packages"]["larq"].startswith("0.14")
    report = json.loads((undisturbed / "report.json").read_text())
    _, history = end(undisturbed)
    assert [row["epoch"] for row in history] == ["0", "1", "2"]
    best = max(history, key=lambda row: float(row["val_accuracy"]))
    assert report["best_epoch"] == int(best["epoch"]) + 1
    assert report["validation_accuracy"] == float(history[-1]["val_accuracy"])


@pytest.mark.slow
def test_killed_run_ends_as_an_undisturbed_one(undisturbed, tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    kills = [
        (SURVIVAL + "on_train_batch_end", 2, "SIGKILL"),  # before there is any checkpoint
        # In the middle of a checkpoint; before it come the trial of the weights file, configuration and environment.
        ("os:fsync", 5, "SIGKILL"),
        (SURVIVAL + "on_train_batch_end", 7, "SIGTERM"),
        (SURVIVAL + "on_epoch_end", 1, "SIGKILL"),  # after validation, before anything of it is written
        (SURVIVAL + "on_train_batch_end", 5, "SIGINT"),
        ("sdbnn_larq.training.report:Results.save_model", 2, "SIGKILL"),  # after the last epoch
    ]
    status = {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 143}
    steps = []
    for target, count, signal in kills:
        process = killed(tmp_path, target, count, signal)
        assert process.returncode == status[signal], process.stderr
        assert not (tmp_path / "report.json").exists()
        state = checkpoints.newest()
        steps.append(state[1]["total_steps"] if state else 0)
        if signal != "SIGKILL":
            assert "the same command goes on" in process.stderr
        if len(steps) == 3:
            newest = checkpoints.paths()[0]
            newest.write_bytes(newest.read_bytes()[:-10])  # torn
            torn = newest.name
        if len(steps) == 4:
            assert f"{torn} is damaged" in process.stderr
    process = train(tmp_path)
    assert process.returncode == 0, process.stderr
    assert "Going on in" in process.stdout
    arrays, history = end(tmp_path)
    expected, expected_history = end(undisturbed)
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    assert history == expected_history
    assert (tmp_path / "weights.safetensors").stat().st_size == (undisturbed / "weights.safetensors").stat().st_size
    # Each kill came at another place.
    assert steps[0] == 0
    assert steps[1] < steps[2]


@pytest.mark.slow
def test_killed_around_the_end_of_an_epoch(undisturbed, tmp_path):
    """Where a checkpoint inside an epoch would be due after its last step."""
    expected, expected_history = end(undisturbed)
    total = Checkpoints(undisturbed / "checkpoints").newest()[1]["total_steps"]
    every = total // len(expected_history)  # the steps of an epoch
    kills = [
        (SURVIVAL + "on_train_batch_end", every, "SIGINT"),
        (SURVIVAL + "on_epoch_end", 1, "SIGKILL"),
        ("sdbnn_larq.training.experiment:TrainSDBNN.finish", 1, "SIGKILL"),
    ]
    for target, count, signal in kills:
        process = killed(tmp_path, target, count, signal, f"checkpoint_steps={every}")
        assert process.returncode == (130 if signal == "SIGINT" else -9), process.stderr
        steps = [int(path.name.split("-")[1]) for path in Checkpoints(tmp_path / "checkpoints").paths()]
        assert len(set(steps)) == len(steps)
    process = train(tmp_path, f"checkpoint_steps={every}")
    assert process.returncode == 0, process.stderr
    arrays, history = end(tmp_path)
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    assert history == expected_history


@pytest.mark.slow
def test_finished_run_is_not_trained_again(undisturbed):
    before = (undisturbed / "report.json").stat().st_mtime_ns
    process = train(undisturbed)
    assert process.returncode == 0
    assert "finished" in process.stdout
    assert (undisturbed / "report.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_folder_of_another_run_is_refused(undisturbed, tmp_path):
    (tmp_path / "config.json").write_bytes((undisturbed / "config.json").read_bytes())
    process = train(tmp_path, "epochs=4")
    assert process.returncode == 2
    assert "epochs is 3, not 4" in process.stderr


@pytest.mark.slow
def test_loss_that_is_no_number_stops_the_run(tmp_path):
    process = train(tmp_path, "learning_rate=1e38")
    assert process.returncode == 2
    line = process.stderr.splitlines()[-1]
    assert "loss must be finite" in line
    assert "epoch 1 at step" in line
    assert "learning rate 1e+38" in line
    assert not (tmp_path / "report.json").exists()


@pytest.mark.slow
def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    process = train(tmp_path / "file" / "run")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].startswith("Error: ")


def test_damaged_checkpoints_are_named_and_skipped(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest() is None
    for step in range(1, 5):
        checkpoints.save({"a": np.full(3, step)}, {"total_steps": step})
    newest, before = checkpoints.paths()
    assert checkpoints.newest()[1] == {"total_steps": 4}
    content = newest.read_bytes()
    for damage in (content[:-1], b"", content[:-1] + bytes([content[-1] ^ 1]), content + b"x"):
        newest.write_bytes(damage)
        arrays, progress = checkpoints.newest()
        assert progress == {"total_steps": 3}
        np.testing.assert_array_equal(arrays["a"], [3, 3, 3])
        assert newest.name in capsys.readouterr().err
    before.write_bytes(b"")
    assert checkpoints.newest() is None


@pytest.mark.slow
def test_full_disk_leaves_the_checkpoints_as_they_were(tmp_path):
    program = (
        "import resource, numpy as np, pathlib\n"
        "from sdbnn_larq.training._checkpoints import Checkpoints\n"
        "checkpoints = Checkpoints(pathlib.Path('.'))\n"
        "checkpoints.save({'a': np.ones(9)}, {'total_steps': 1})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    checkpoints.save({'a': np.ones(9999)}, {'total_steps': 2})\n"
        "except OSError:\n"
        "    print(checkpoints.newest()[1])\n"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "{'total_steps': 1}" in process.stdout, process.stderr
    assert len(os.listdir(tmp_path)) == 1


def test_a_signal_whose_exit_was_swallowed_still_counts():
    signals = Signals()
    with signals.caught():
        with contextlib.suppress(SystemExit):
            os.kill(os.getpid(), SIGTERM)
        with pytest.raises(SystemExit) as stopped:
            signals.exit_if_pending()
    assert stopped.value.code == 143
