"""`sdbnn benchmark` at its smallest: what it measures and writes, not how fast anything is."""

import json
import subprocess
import sys

import pytest

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


def sdbnn(*arguments, cwd):
    """In a process of its own, which it pins to a core."""
    command = [sys.executable, "-m", "sdbnn_larq.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.mark.slow
def test_benchmark(tmp_path):
    for module in ("larq_compute_engine", "openvino", "nncf", "matplotlib"):
        pytest.importorskip(module)
    options = ["--rounds", 2, "--batch", 2, "--output", tmp_path / "result.json"]
    process = sdbnn("benchmark", "ResNet20", *options, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "result.png"]
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((tmp_path / "result.json").read_text())
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ResNet20", "--output", "missing/x.json"], "missing/x.json"),
        (["ResNet20", "--output", "x.txt"], "`path` must end in .json"),
        (["ResNet21", "--output", "x.json"], "Did you mean ResNet20?"),
        (["ResNet20", "--output", "x.json", "--threads", "4096"], "threads=4096"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path):
    for module in ("larq_compute_engine", "openvino", "nncf", "matplotlib"):
        pytest.importorskip(module)
    process = sdbnn("benchmark", *arguments, cwd=tmp_path)
    assert process.returncode == 2, process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
