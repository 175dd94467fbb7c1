"""Training and evaluation on folders of images: what is refused, and what a change of the folder does."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import write_images
from folders import FOLDERS, data_of

from sdbnn_larq import zoo
from sdbnn_larq.cli import main
from sdbnn_larq.evaluation import evaluate
from sdbnn_larq.training import Imagenette
from sdbnn_larq.training.datasets import checksum_of_file_names
from sdbnn_larq.training.photo_datasets import WORDNET


def test_a_run_among_the_images_is_refused(class_folders, monkeypatch):
    """By default it would be written there, if that is where the command runs: a class more for the next."""
    monkeypatch.chdir(class_folders)
    before = sorted(class_folders.rglob("*"))
    for fields in ([], ["output_dir=red/run"]):
        result = CliRunner().invoke(main, ["train", "Folder", "dataset.directory=.", "batch_size=8", *fields])
        assert result.exit_code == 2
        assert "`output_dir` must lie outside of the images' folder. Received: output_dir=" in result.output
    assert sorted(class_folders.rglob("*")) == before


@FOLDERS
def test_a_file_of_another_name_is_another_division(class_folders, tmp_path, kind):
    """As many images in each split, and others: a run does not go on with them."""
    shutil.copytree(class_folders, tmp_path / "copy")
    checksums = [checksum_of_file_names(data_of(kind, folder)) for folder in (class_folders, tmp_path / "copy")]
    assert checksums[0] == checksums[1]
    first = min(path for path in (tmp_path / "copy").rglob("*") if path.is_file())
    first.rename(first.with_name(f"z{first.name}"))
    assert checksum_of_file_names(data_of(kind, tmp_path / "copy")) != checksums[0]


@pytest.mark.slow
def test_an_evaluation_on_other_files_than_in_training_warns(class_folders, tmp_path):
    small = ["model.filters=8", "epochs=1", "batch_size=8", f"output_dir={tmp_path / 'run'}"]
    trained = CliRunner().invoke(main, ["train", "Folder", f"dataset.directory={class_folders}", *small])
    assert trained.exit_code == 0, trained.output
    command = ["evaluate", str(tmp_path / "run/weights.safetensors"), f"directory={class_folders}"]
    warning = "some of its test images may have been trained on"
    assert warning not in CliRunner().invoke(main, command).stderr
    first = min(path for path in class_folders.rglob("*") if path.is_file())
    first.rename(first.with_name(f"z{first.name}"))
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert warning in result.stderr


def test_photographs_of_another_size_than_the_model_s_are_refused(class_folders, tmp_path):
    fields = ["dataset=PhotoFolder", f"dataset.directory={class_folders}", "preprocessing=Photos", "batch_size=8"]
    fields.append(f"output_dir={tmp_path / 'run'}")
    result = CliRunner().invoke(main, ["train", "Folder", *fields, "model.input_shape=(48,48,3)"])
    assert result.exit_code == 2
    assert "set `input_shape` for both" in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_evaluation_goes_by_the_names_of_classes(tmp_path):
    """Of the published network on folders whose order is another than that of its outputs."""
    names = zoo.describe("ResNet18/imagenette").class_names
    number = {name: number for number, name in WORDNET.items()}
    for part in ("train", "val"):
        for i, name in enumerate(names):
            for folder in (tmp_path / "names" / part / name, tmp_path / "numbers" / part / number[name]):
                write_images(folder, count=2, color=(25 * i, 250 - 25 * i, 40 * (i % 3)))
    network = zoo.load("ResNet18/imagenette")
    by_name, by_number = (evaluate(network, data_of(Imagenette, tmp_path / by)) for by in ("names", "numbers"))
    assert by_name.images == 20
    assert len(np.unique(by_name.confusion.argmax(1))) > 1  # not all images are taken for one class
    np.testing.assert_array_equal(by_number.confusion, by_name.confusion)
