"""Many devices and many machines give the same training as one."""

import csv
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sdbnn_larq.training._checkpoints import Checkpoints
from sdbnn_larq.training._strategy import make_strategy

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
# Without augmentation, which replicas draw for themselves, and without rounding, which each does for itself.
FIELDS = ["preprocessing.shift=0", "precision=float32", "epochs=3"]
TWO_DEVICES = """
import sys
import sdbnn_larq
import tensorflow as tf
from sdbnn_larq.cli._train import run_task

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
run_task(sys.argv[1], ("strategy=mirrored", *sys.argv[2:]))
"""


def start(*command):
    return subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def start_cluster(output, fields=FIELDS):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = ",".join(str(s.getsockname()[1]) for s in sockets)
    for s in sockets:
        s.close()
    return [start(HERE / "worker.py", index, ports, *fields, f"output_dir={output}") for index in range(2)]


def finish(*processes):
    outputs = [process.communicate(timeout=300)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs[-1][-2000:]
    return outputs


def column(output, name):
    return [float(row[name]) for row in csv.DictReader((output / "history.csv").open())]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    output = tmp_path_factory.mktemp("alone")
    finish(start("-m", "sdbnn_larq.cli", "train", HERE / "tiny_recipe.py", *FIELDS, f"output_dir={output}"))
    return output


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    output = tmp_path_factory.mktemp("cluster")
    _, second = finish(*start_cluster(output))
    assert "test images" not in second  # one speaks
    return output


def assert_same_curves(output, alone, rtol=1e-3):
    np.testing.assert_allclose(column(output, "loss"), column(alone, "loss"), rtol=1e-5)
    # Synchronised batch normalisation keeps the variance of the sample, fused that of the population: 0.1 % here.
    np.testing.assert_allclose(column(output, "val_loss"), column(alone, "val_loss"), rtol=rtol)


def test_two_workers_train_as_one_process(cluster, alone):
    assert_same_curves(cluster, alone)


def test_two_devices_train_as_one(alone, tmp_path):
    finish(start("-c", TWO_DEVICES, HERE / "tiny_recipe.py", *FIELDS, f"output_dir={tmp_path}"))
    assert_same_curves(tmp_path, alone)


def test_two_devices_in_mixed_precision(alone, tmp_path):
    """Near float32's on one device, as bfloat16's eight significant bits leave it."""
    fields = [field for field in FIELDS if not field.startswith("precision")]
    finish(start("-c", TWO_DEVICES, HERE / "tiny_recipe.py", *fields, f"output_dir={tmp_path}"))
    np.testing.assert_allclose(column(tmp_path, "loss"), column(alone, "loss"), rtol=5e-3)


def test_two_workers_read_photographs_as_one_process(photographs, tmp_path):
    """Each reads its share of every batch, crops and flips included, which follow from an example's number alone."""
    fields = ["dataset=PhotoFolder", f"dataset.directory={photographs}", "preprocessing=Photos", "batch_size=4"]
    fields += ["preprocessing.input_shape=(32,32,3)", "precision=float32", "epochs=3", "checkpoint_steps=0"]
    alone, cluster = tmp_path / "alone", tmp_path / "cluster"
    finish(start("-m", "sdbnn_larq.cli", "train", HERE / "tiny_recipe.py", *fields, f"output_dir={alone}"))
    finish(*start_cluster(cluster, fields))
    assert_same_curves(cluster, alone, rtol=1e-2)  # a batch of 4 has 256 values a channel: 0.4 % of variance


def test_run_with_a_killed_worker_goes_on(cluster, tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    first, second = start_cluster(tmp_path)
    while not checkpoints.paths() and first.poll() is None:
        time.sleep(0.01)
    second.kill()
    first.communicate(timeout=300)
    assert first.returncode != 0
    assert not (tmp_path / "report.json").exists()
    output, _ = finish(*start_cluster(tmp_path))
    assert "Going on in" in output
    arrays, progress = checkpoints.newest()
    expected, whole = Checkpoints(cluster / "checkpoints").newest()
    assert progress["total_steps"] == whole["total_steps"]
    for name, array in expected.items():
        np.testing.assert_allclose(arrays[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


def test_bad_strategies(monkeypatch):
    with pytest.raises(ValueError, match="Received: 'many'"):
        make_strategy("many")
    for text in ("", "{", "{}", '{"cluster": {"worker": []}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(ValueError, match="TF_CONFIG"):
            make_strategy("multiworker")
