"""The catalogue travels in the wheel: published weights work offline after an installation."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sdbnn_larq import zoo
from sdbnn_larq._files import file_sha256
from sdbnn_larq.weights import catalogue as _catalogue

ROOT = Path(__file__).parent.parent
USE = """
import sdbnn_larq, sys
from sdbnn_larq.weights import catalogue as _catalogue
assert sdbnn_larq.__file__.startswith(sys.argv[1]), sdbnn_larq.__file__
assert sdbnn_larq.zoo.list_models(pretrained=True) == ["ResNet20"]
print(sdbnn_larq.zoo.ResNet20(weights="test").get_layer("conv1").kernel.numpy().sum())
"""


def run(*arguments, **kwargs):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **kwargs)


@pytest.fixture
def source(tmp_path):
    """The sources, with weights of ResNet-20 published as `"test"`."""
    pytest.importorskip("setuptools")
    left_out = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "runs", "scratch", "*.egg-info", "tests")
    source = Path(shutil.copytree(ROOT, tmp_path / "source", ignore=left_out))
    path = source / "sdbnn_larq" / "weights" / "published" / "resnet20_test.safetensors"
    tf.keras.utils.set_random_seed(3)
    zoo.save_packed(zoo.ResNet20(), path)
    entry = _catalogue.Entry(
        architecture="ResNet20",
        tag="test",
        arguments={},
        file=path.name,
        size=path.stat().st_size,
        sha256=file_sha256(path),
        dataset="Digits",
        data="none",
        input_size=[32, 32],
        mean=[0.0, 0.0, 0.0],
        std=[1.0, 1.0, 1.0],
        class_names=list("0123456789"),
        accuracy=10.0,
        images=1,
        seeds=[3],
        recipe="untrained",
        licence="MIT",
    )
    path.with_name("registry.json").write_text(json.dumps([dataclasses.asdict(entry)]))
    return source


def test_published_weights_travel_in_the_wheel(source, tmp_path):
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    built = run("-m", "pip", "wheel", *offline, "--wheel-dir", tmp_path, source)
    if "bdist_wheel" in built.stderr:
        pytest.skip("a wheel cannot be built here without the network")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "target"
    installed = run("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", target, wheel)
    assert installed.returncode == 0, installed.stderr
    used = run("-c", USE, target, env={**os.environ, "PYTHONPATH": str(target)}, cwd=tmp_path)
    assert used.returncode == 0, used.stderr
    expected = (
        zoo.ResNet20(weights=source / "sdbnn_larq" / "weights" / "published" / "resnet20_test.safetensors")
        .get_layer("conv1")
        .kernel
    )
    np.testing.assert_allclose(float(used.stdout), np.sum(expected), rtol=1e-5)
