"""Recipes, published weights, version and command line are found however the package is installed, or is not."""

import dataclasses
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import sdbnn_larq
from sdbnn_larq import zoo

ROOT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "runs", "scratch", "*.egg-info", "tests")
OFFLINE = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]

# Prints where the package lies; then does what `python -m sdbnn_larq.cli` with the remaining arguments does.
USE = """
import runpy, sys
import sdbnn_larq
from sdbnn_larq import recipes, zoo
from sdbnn_larq.recipes import digits
print(sdbnn_larq.__file__, sdbnn_larq.__version__, zoo.list_models(pretrained=True))
zoo.ResNet20(weights="cifar10")
runpy.run_module("sdbnn_larq.cli", run_name="__main__", alter_sys=True)
"""


@dataclasses.dataclass
class Installation:
    """An environment, and in it the package in one of its forms."""

    python: Path
    source: Path

    def run(self, program, *arguments, cwd, **environment):
        left = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH")}
        command = [str(self.python.with_name(program)), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**left, **environment})


def copy_of_the_source(folder: Path) -> Path:
    return Path(shutil.copytree(ROOT, folder, ignore=LEFT_OUT))


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes environments that see the dependencies of this one, but nothing of how this one has `sdbnn_larq`."""
    made = {}

    def installation(kind: str) -> Installation:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
            python = folder / "venv" / "bin" / "python"
            packages = subprocess.check_output(
                [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
            )
            for path in Path(sysconfig.get_path("purelib")).iterdir():
                target = Path(packages.strip(), path.name)
                if "sdbnn" not in path.name and path.name != "__pycache__" and not target.exists():
                    target.symlink_to(path)
            made[kind] = Installation(python, copy_of_the_source(folder / "checkout"))
            arguments = {"plain": [made[kind].source], "editable": ["--editable", made[kind].source], "none": []}[kind]
            if arguments:
                pip = [sys.executable, "-m", "pip", "--python", python, "install", "--force-reinstall", *OFFLINE]
                subprocess.run([*pip, *arguments], check=True)
        return made[kind]

    return installation


@pytest.mark.slow
@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
@pytest.mark.parametrize("kind", ["plain", "editable", "none"])
def test_everything_is_found(kind, place, make, tmp_path):
    installation = make(kind)
    source = installation.source
    cwd = source if place == "checkout" else tmp_path
    path = {"PYTHONPATH": str(source)} if kind == "none" and place == "elsewhere" else {}

    used = installation.run("python", "-c", USE, "models", "--pretrained", cwd=cwd, **path)
    assert used.returncode == 0, used.stderr
    from_site_packages = kind == "plain" and place == "elsewhere"
    home = installation.python.parent.parent if from_site_packages else source
    first, *rest = used.stdout.splitlines()
    assert first.startswith(f"{home}/"), used.stdout
    names = zoo.list_models(pretrained=True)
    assert first.endswith(f" {sdbnn_larq.__version__} {names}"), used.stdout
    assert any("cifar10" in line for line in rest), used.stdout

    if kind != "none" and place == "checkout":  # where the script lies decides, not where it is started
        listed = installation.run("sdbnn", "train", "NoRecipe", cwd=cwd)
        assert listed.returncode == 2
        assert "Digits" in listed.stderr, listed.stderr
        assert "Cifar10ResNet20Budget" in listed.stderr, listed.stderr


def wheel_of(source: Path, folder: Path) -> dict[str, bytes]:
    subprocess.run([sys.executable, "-m", "pip", "wheel", *OFFLINE, "--wheel-dir", folder, source], check=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}


def test_wheel_and_source_distribution_hold_the_whole_package(tmp_path):
    source = copy_of_the_source(tmp_path / "checkout")
    wanted = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for path in [*(ROOT / "sdbnn_larq").rglob("*"), ROOT / "sdbnn_command.py"]
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "sdbnn_larq/weights/published/registry.json" in wanted
    assert "sdbnn_larq/py.typed" in wanted
    assert wheel_of(source, tmp_path / "wheel") == wanted

    build = "from setuptools.build_meta import build_sdist; print(build_sdist('..'))"
    archive = subprocess.check_output([sys.executable, "-c", build], cwd=source, text=True).splitlines()[-1]
    assert wheel_of(tmp_path / archive, tmp_path / "wheel_of_sdist") == wanted
