"""What a user reads when something goes wrong: one line for what was foreseen, a traceback for a bug."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from zookeeper import configure

from sdbnn_larq import zoo
from sdbnn_larq._errors import LONGEST, is_foreseen, one_line
from sdbnn_larq.cli import main
from sdbnn_larq.cli._train import run_task
from sdbnn_larq.recipes.digits import TrainDigits
from sdbnn_larq.training._strategy import make_strategy

RECIPE = Path(__file__).parent / "tiny_recipe.py"
COMMAND = Path(sys.executable).with_name("sdbnn")


def raised_by(function):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function()
    return caught.value


def a_check_of_zookeeper():
    configure(TrainDigits(), {"epoch": 3})


FORESEEN = {
    "a check": lambda: zoo.get_model("ResNet19"),
    "a check inside a loop of Keras": lambda: zoo.ResNet20(input_shape=(32, 32)),
    "zookeeper's check": a_check_of_zookeeper,
    "zookeeper's type check": lambda: TrainDigits(epochs="many").epochs,
    "a missing file": lambda: Path("nowhere/nothing").read_bytes(),
}
BUGS = {
    "a value error of Python": lambda: int("many"),
    "a wrong call": lambda: zoo.get_model(),
    "a value error of another library": lambda: json.loads("{"),
    "an operating system's error that it did not make": lambda: (_ for _ in ()).throw(OSError("no number")),
    "a key": lambda: {}["x"],
}


@pytest.mark.parametrize("name", FORESEEN)
def test_checks_are_foreseen(name):
    assert is_foreseen(raised_by(FORESEEN[name]))


@pytest.mark.parametrize("name", BUGS)
def test_bugs_are_not_foreseen(name):
    assert not is_foreseen(raised_by(BUGS[name]))


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_shows_where_it_arose(name, monkeypatch):
    monkeypatch.setattr("sdbnn_larq.zoo.list_models", lambda *args, **kwargs: BUGS[name]())
    monkeypatch.setattr("sdbnn_larq.cli._models.print_models", lambda *args: BUGS[name]())
    result = CliRunner().invoke(main, ["models"])
    assert result.exit_code == 1
    assert result.exception is not None
    assert not isinstance(result.exception, SystemExit | click.ClickException)
    assert "Error" not in result.output


def test_a_message_is_one_line_without_terminal_codes():
    colored = click.style("Field 'x'", fg="red") + " of\n    component y\n\nA page follows."
    assert one_line(ValueError(colored)) == "Field 'x' of component y"
    assert one_line(ValueError("")) == "ValueError"
    assert len(one_line(ValueError("x" * 10_000))) == LONGEST


@pytest.mark.parametrize("fields", [["model.weights.x=3"], ["preprocessing=ResNet20Factory"], ["dataset=Nothing"]])
def test_zookeepers_errors_have_no_colors(fields, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["train", "Digits", *fields], color=True)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    assert "\x1b" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "closed", "expected"),
    [
        ("models '*18*'", "<&-", "CifarResNet18\nResNet18\n0"),
        ("models '*18*'", "2>&-", "CifarResNet18\nResNet18\n0"),
        ("models '*18*'", "<&- >&- 2>&-", "0"),
        ("summary ResNet19", ">&-", "2"),
        ("summary ResNet19", ">&- 2>&-", "2"),
        ("summary ResNet19", "<&- >&- 2>&-", "2"),
    ],
)
def test_closed_streams(arguments, closed, expected, tmp_path):
    """A file that is opened next must not become the closed stream, and get what libraries write there."""
    code = f"{COMMAND} {arguments} {closed}; echo $?"
    process = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert process.stdout.strip() == expected, process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 1.5, 4.0, 7.0])
def test_interrupt_before_training(seconds, tmp_path):
    """While libraries are loaded, while the model is made, or in the first steps."""
    command = [COMMAND, "train", RECIPE, "epochs=1000", f"output_dir={tmp_path / 'run'}"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


WITH_BUSY_WORKERS = """
import time
import tensorflow as tf
from zookeeper import task
from sdbnn_larq.recipes.digits import TrainDigits

@task
class TrainNothing(TrainDigits):
    def run(self):
        def slow(x):
            time.sleep(3 * bool(x))
            return x

        data = tf.data.Dataset.range(8).map(lambda x: tf.numpy_function(slow, [x], tf.int64), num_parallel_calls=4)
        iterator = data.as_numpy_iterator()
        next(iterator)
        error = ValueError("This run must end.")
        error.itself = error  # a cycle, which is collected when the interpreter ends
        raise error
"""


@pytest.mark.slow
def test_the_program_ends_while_tensorflows_workers_need_python(tmp_path):
    """They are at work when an error ends the program, and what the error holds waits for them."""
    (tmp_path / "recipe.py").write_text(WITH_BUSY_WORKERS)
    command = [COMMAND, "train", "recipe.py"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1] == "ValueError: This run must end."


def test_interrupt_of_another_command(monkeypatch):
    monkeypatch.setattr("sdbnn_larq.cli._models.print_models", lambda *args: os.kill(os.getpid(), signal.SIGINT))
    result = CliRunner().invoke(main, ["models"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert result.exit_code == 130
    assert result.output == ""


@pytest.mark.slow
def test_training_in_a_thread(tmp_path):
    errors = []

    def work():
        try:
            run_task(str(RECIPE), ("epochs=1", f"output_dir={tmp_path / 'run'}"))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    assert (tmp_path / "run" / "report.json").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "HOST:PORT"),
        ("{", "HOST:PORT"),
        ("[]", "HOST:PORT"),
        ("{}", "a cluster"),
        ('{"cluster": ["localhost:1"]}', "a cluster"),
        ('{"cluster": {"worker": []}}', "list of addresses"),
        ('{"cluster": {"worker": "localhost:1"}}', "list of addresses"),
        ('{"cluster": {"worker": ["localhost"]}}', "'localhost'"),
        ('{"cluster": {"worker": ["localhost:"]}}', "'localhost:'"),
        ('{"cluster": {"worker": ["localhost:port"]}}', "'localhost:port'"),
        ('{"cluster": {"worker": ["localhost:70000"]}}', "'localhost:70000'"),
        ('{"cluster": {"worker": ["localhost:0"]}}', "'localhost:0'"),
        ('{"cluster": {"worker": [":1"]}}', "':1'"),
        ('{"cluster": {"worker": [1]}}', "Received: 1"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}}', "of its own"),
        ('{"cluster": {"chief": ["a:1", "b:1"]}}', "one chief"),
        ('{"cluster": {"master": ["a:1"]}}', "'master'"),
        ('{"cluster": {"worker": ["localhost:1"]}}', "type is in the cluster"),
        ('{"cluster": {"worker": ["localhost:1"]}, "task": []}', "type is in the cluster"),
        ('{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "boss", "index": 0}}', "type is in the cluster"),
        (
            '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": ["worker"], "index": 0}}',
            "type is in the cluster",
        ),
        ('{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker"}}', "index is from 0 to 0"),
        ('{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 1}}', "index is from 0 to 0"),
        ('{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": -1}}', "index is from 0 to 0"),
        (
            '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": "first"}}',
            "index is from 0 to 0",
        ),
    ],
)
def test_bad_clusters(config, message, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match="TF_CONFIG") as error:
        make_strategy("multiworker")
    assert message in str(error.value)


def test_a_bad_cluster_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["localhost"]}, "task": {"type": "worker", "index": 0}}')
    result = CliRunner().invoke(main, ["train", str(RECIPE), "strategy=multiworker"])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
