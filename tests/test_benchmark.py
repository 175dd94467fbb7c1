"""`sdbnn benchmark` at its smallest: what it measures and writes, not how fast anything is."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from sdbnn_larq.cli import _benchmark, main
from sdbnn_larq.layers.binary import is_binary, kernel_of

for module in ("larq_compute_engine", "openvino", "nncf"):
    pytest.importorskip(module)

NAMES = [
    "Keras",
    "LCE",
    "OpenVINO",
    "OpenVINO, bf16",
    "OpenVINO, int8 stem and shortcuts",
    "float32 twin, TFLite",
    "float32 twin, OpenVINO",
    "bf16 twin, OpenVINO",
    "int8 twin, OpenVINO",
]


def sdbnn(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def benchmark(*arguments, cwd):
    """In a process of its own, which it pins to a core."""
    command = [sys.executable, "-m", "sdbnn_larq.cli", "benchmark", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.mark.slow
def test_benchmark(tmp_path, monkeypatch):
    """Of trained weights, whose accuracy in each runtime is what `sdbnn evaluate` counts; the trained twin's too."""
    monkeypatch.chdir(tmp_path)
    for name, fields in (("network", []), ("twin", ["model.binary=False"])):
        result = sdbnn("train", "Digits", "epochs=1", f"output_dir={name}", *fields)
        assert result.exit_code == 0, result.output
    network, twin = "network/weights.safetensors", "twin/weights.safetensors"
    options = ["--dataset", "Digits", "--twin", twin, "--rounds", 2, "--batch", 2, "--output", "result.json"]
    process = benchmark(network, *options, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["result.json", "result.png"]
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["network"], result["weights"]) == ("ResNet20", "weights.safetensors")
    assert result["images"] == "256 training images of Digits"
    assert [row["name"] for row in result["rows"]] == NAMES
    for row in result["rows"]:
        assert row["name"] in process.stdout
        for key in ("latency_ms", "images_per_second"):
            assert 0 < row[key]["p10"] <= row[key]["median"] <= row[key]["p90"]
    size = {row["name"]: row["bytes"] for row in result["rows"]}
    assert size["Keras"] is None
    assert size["LCE"] < 120e3
    assert size["int8 twin, OpenVINO"] < size["float32 twin, OpenVINO"]
    assert result["rows"][0]["same_class"] == 1.0
    assert result["threads"] == len(result["cores"]) == 1
    assert result["machine"]["processor"]
    assert "OpenVINO against float32 twin, OpenVINO: " in process.stdout

    top1 = {row["name"]: row["top1"] for row in result["rows"]}
    for name, weights in (("Keras", network), ("float32 twin, OpenVINO", twin)):
        assert f"{top1[name]:.2%} of 359" in sdbnn("evaluate", weights).output
    assert abs(top1["LCE"] - top1["Keras"]) < 0.01
    assert top1["float32 twin, TFLite"] == top1["float32 twin, OpenVINO"]
    assert {row["test_images"] for row in result["rows"]} == {359}

    monkeypatch.setattr(_benchmark, "_pin", lambda threads: [])  # not this process
    for arguments, message in (
        ([network, "--twin", network], "--twin must be weights of ResNet20 with binary=False"),
        ([network, "--input-size", 64], "--input-size must be left out"),
    ):
        refused = sdbnn("benchmark", *arguments, "--output", "y.json")
        assert refused.exit_code == 2, refused.output
        assert message in refused.stderr
        assert not (tmp_path / "y.json").exists()


def test_random_weights_have_both_signs():
    model = _benchmark._untrained("ResNet18", 64)
    assert model.input_shape == (None, 64, 64, 3)
    for layer in filter(is_binary, model.layers):
        assert 0.4 < np.mean(kernel_of(layer) > 0) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ResNet20", "--output", "x.json", "--dataset", "Digits"], "A test set must be given with trained weights"),
        (["ResNet20/nothing", "--output", "x.json"], "nothing"),
        (["ResNet20", "--output", "missing/x.json"], "missing/x.json"),
        (["ResNet20", "--output", "x.txt"], "`path` must end in .json"),
        (["ResNet21", "--output", "x.json"], "Did you mean ResNet20?"),
        (
            ["FloatResNet34", "--output", "x.json"],
            "A network must have 1-bit layers, to be timed beside its float twin",
        ),
        (["ResNet20", "--output", "x.json", "--threads", "4096"], "threads=4096"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "--threads" not in arguments:
        monkeypatch.setattr(_benchmark, "_pin", lambda threads: [])  # not this process
    result = sdbnn("benchmark", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
