"""Folders of images as people have them: laid out in the usual ways, and with everything that may be wrong."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import damaged_png, write_images
from folders import FOLDERS, data_of

from sdbnn_larq.cli import main
from sdbnn_larq.training import ImageFolder, Imagenette


def files(dataset, split):
    """The paths of a split, without the data set's folder."""
    paths = [os.fsdecode(path) for path in dataset.splits[split][0]]
    return {os.path.relpath(path, dataset.directory) for path in paths}


def refused(kind, directory, *words, **fields):
    """The data set is refused in one line that has all the words."""
    with pytest.raises(ValueError) as error:  # noqa: PT011
        data_of(kind, directory, **fields).train()
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


@FOLDERS
def test_a_folder_a_class(class_folders, kind):
    dataset = data_of(kind, f"{class_folders}/")
    assert (dataset.class_names, dataset.num_classes) == (["blue", "red"], 2)
    assert [len(dataset.splits[split][1]) for split in ("train", "validation", "test")] == [16, 2, 2]
    for split in dataset.splits:
        for example in getattr(dataset, split)()[0].as_numpy_iterator():
            path = Path(os.fsdecode(example["file"]))
            assert path.parent.name == dataset.class_names[example["label"]]
            assert path.read_bytes() == example["image"]


@FOLDERS
def test_the_first_images_are_of_all_classes(class_folders, kind):
    """8-bit ranges are found on them."""
    data, _ = data_of(kind, class_folders).train()
    assert {int(example["label"]) for example in data.take(8)} == {0, 1}


def test_the_division_is_that_of_earlier_versions(class_folders):
    expected = {"red/2.png", "blue/0.png"}
    assert files(data_of(ImageFolder, class_folders), "test") == expected


@pytest.mark.parametrize("count", [3, 4, 5, 11])
def test_each_split_has_each_class(tmp_path, count):
    write_images(tmp_path / "ape", count)
    write_images(tmp_path / "bee", 30)
    dataset = data_of(ImageFolder, tmp_path)
    for _, labels in dataset.splits.values():
        assert np.bincount(labels, minlength=2).min() >= 1
    assert sum(len(labels) for _, labels in dataset.splits.values()) == count + 30


@FOLDERS
@pytest.mark.parametrize(
    "parts", ["train val test", "Train VALID Test", "training validation testing", "train dev test"]
)
def test_parts(tmp_path, kind, parts):
    for part in parts.split():
        write_images(tmp_path / part / "ape", 2)
        write_images(tmp_path / part / "bee", 1)
    (tmp_path / "labels.csv").write_text("no folder")
    dataset = data_of(kind, tmp_path)
    for part, split in zip(parts.split(), ("train", "validation", "test")):
        assert files(dataset, split) == {f"{part}/ape/0.jpg", f"{part}/ape/1.jpg", f"{part}/bee/0.jpg"}
    assert dataset.class_names == ["ape", "bee"]


@pytest.mark.parametrize(
    ("parts", "counts"), [("train val", (18, 4, 2)), ("train test", (18, 2, 4)), ("train", (16, 2, 2))]
)
def test_a_missing_part_is_a_share_of_the_training_images(tmp_path, parts, counts):
    for part in parts.split():
        for name in ("ape", "bee"):
            write_images(tmp_path / part / name, 10 if part == "train" else 2)
    dataset = data_of(ImageFolder, tmp_path)
    assert tuple(len(dataset.splits[split][1]) for split in ("train", "validation", "test")) == counts
    assert not files(dataset, "train") & (files(dataset, "validation") | files(dataset, "test"))


def test_classes_called_train_and_test(tmp_path):
    for name in ("train", "test", "car"):
        write_images(tmp_path / name, 3)
    assert data_of(ImageFolder, tmp_path).class_names == ["car", "test", "train"]
    (tmp_path / "car").rename(tmp_path / "validation")
    assert data_of(ImageFolder, tmp_path).class_names == ["test", "train", "validation"]


@FOLDERS
def test_parts_that_do_not_fit(tmp_path, kind):
    for part in ("train", "val"):
        for name in ("ape", "bee"):
            write_images(tmp_path / part / name, 3)
    write_images(tmp_path / "val" / "cat", 3)
    refused(kind, tmp_path, f"'{tmp_path / 'train'}' without 'cat'")
    (tmp_path / "val" / "cat").rename(tmp_path / "train" / "cat")
    refused(kind, tmp_path, f"'{tmp_path / 'val'}' without 'cat'")
    write_images(tmp_path / "val" / "cat", 3)
    data_of(kind, tmp_path).train()
    (tmp_path / "unsorted").mkdir()
    refused(kind, tmp_path, "no other", "'unsorted'")
    (tmp_path / "unsorted").rename(tmp_path / "valid")
    refused(kind, tmp_path, "one validation folder", "val, valid")


def damage_empty(root):
    (root / "cat").mkdir()
    return f"'{root / 'cat'}'", "none"


def damage_deeper(root):
    write_images(root / "cat" / "2021", 5)
    return f"'{root / 'cat'}'", "'2021'"


def damage_deeper_beside_images(root):
    write_images(root / "red" / "more", 2)
    return f"'{root / 'red'}'", "'more'"


def damage_all_deeper(root):
    for name in ("red", "blue"):
        (root / name).rename(root.parent / name)
        (root / "all").mkdir(exist_ok=True)
        (root.parent / name).rename(root / "all" / name)
    return f"'{root}'", "only 'all'"


def damage_one_class(root):
    (root / "blue").rename(root.parent / "blue")
    return f"'{root}'", "only 'red'"


def damage_no_folder(root):
    for name in ("red", "blue"):
        for path in (root / name).iterdir():
            path.rename(root / f"{name}{path.name}")
        (root / name).rmdir()
    return f"'{root}'", "none"


def damage_no_images(root):
    (root / "cat").mkdir()
    (root / "cat" / "Thumbs.db").write_bytes(b"cache")
    (root / "cat" / "notes.txt").write_text("no image")
    return f"'{root / 'cat'}'", "no"


def damage_truncated(root):
    write_images(root / "cat", 3)
    for path in (root / "cat").iterdir():
        path.write_bytes(path.read_bytes()[:-300])
    return f"'{root / 'cat'}'", "none"


def damage_two_images(root):
    write_images(root / "cat", 2)
    return "'cat'", f"'{root}'", "2", "train, validation, test"


def damage_latin_1(root):
    os.rename(root / "red", os.fsencode(root) + b"/caf\xe9")
    return "UTF-8", r"b'caf\xe9'", f"'{root}'"


DAMAGES = [value for name, value in list(globals().items()) if name.startswith("damage_")]


@FOLDERS
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.removeprefix("damage_"))
def test_what_is_wrong_is_said_in_one_line(class_folders, kind, damage):
    refused(kind, class_folders, *damage(class_folders))


@pytest.mark.parametrize("damage", [damage_empty, damage_deeper, damage_latin_1, damage_truncated])
@pytest.mark.slow
def test_the_command_refuses_it_before_anything_is_written(class_folders, damage, tmp_path, monkeypatch):
    words = damage(class_folders)
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    result = CliRunner().invoke(main, ["train", "Folder", f"dataset.directory={class_folders}", "batch_size=8"])
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1
    for word in words:
        assert word in result.output
    assert set(tmp_path.iterdir()) == before


@FOLDERS
@pytest.mark.parametrize("name", ["missing", "a_file", ""])
def test_what_is_no_folder(tmp_path, kind, name):
    (tmp_path / "a_file").write_text("")
    refused(kind, tmp_path / name if name else "", "no folder", repr(str(tmp_path / name) if name else ""))


@FOLDERS
def test_a_folder_that_may_not_be_read(class_folders, kind, monkeypatch):
    iterdir = Path.iterdir

    def denied(path):
        if path.name == "red":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", denied)
    refused(kind, class_folders, f"'{class_folders / 'red'}'", "Permission denied")


@FOLDERS
def test_leftovers_are_skipped(class_folders, kind, capsys):
    plain = data_of(kind, class_folders).splits
    for name in ("__MACOSX", ".git", "@eaDir"):
        write_images(class_folders / name / "red", 3)
        write_images(class_folders / "red" / name, 3)
    for name in ("Thumbs.db", ".DS_Store", "._0.png", "desktop.ini"):
        (class_folders / "red" / name).write_bytes(b"no image")
    (class_folders / "red" / "empty").mkdir()
    (class_folders / "endless").symlink_to(class_folders / "endless")
    with_leftovers = data_of(kind, class_folders, strict=True).splits
    for split in plain:
        np.testing.assert_array_equal(plain[split][0], with_leftovers[split][0])
    assert capsys.readouterr().err == ""


@FOLDERS
def test_a_link_to_the_folder_above(class_folders, kind):
    (class_folders / "red" / "up").symlink_to(class_folders)
    refused(kind, class_folders, f"'{class_folders / 'red'}'", "'up'")


@FOLDERS
def test_files_that_are_no_whole_images_are_left_out_once_or_refused(class_folders, kind, capsys):
    whole = (class_folders / "red" / "0.png").read_bytes()
    (class_folders / "red" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (class_folders / "red" / "text.png").write_text("no image")
    (class_folders / "red" / "nothing.jpg").write_bytes(b"")
    (class_folders / "red" / "gone.jpg").symlink_to("nowhere")
    write_images(class_folders / "red" / "tmp", 1)
    jpeg = (class_folders / "red" / "tmp" / "0.jpg").read_bytes()
    (class_folders / "red" / "tmp" / "0.jpg").unlink()
    (class_folders / "red" / "tmp").rmdir()
    (class_folders / "red" / "cut.jpg").write_bytes(jpeg[:-40])
    (class_folders / "red" / "trailer.jpg").write_bytes(jpeg + b"a telephone's notes")
    dataset = data_of(kind, class_folders)
    dataset.train()
    dataset.test()
    assert sum(len(labels) for _, labels in dataset.splits.values()) == 21
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    for name in ("cut.png", "text.png", "nothing.jpg", "gone.jpg", "cut.jpg"):
        assert line.count(name) == 1
    refused(kind, class_folders, "strict", "cut.png", strict=True)


@FOLDERS
def test_names_of_all_kinds(tmp_path, kind):
    root = tmp_path / "a=b, ümläut"
    names = ["Ärger", "a b", "c=d", "e'f", "喵"]
    for name in names:
        write_images(root / name, 3)
    os.rename(root / "a b" / "0.jpg", os.fsencode(root / "a b") + b"/caf\xe9.jpg")
    dataset = data_of(kind, root)
    assert dataset.class_names == sorted(names)
    assert sum(len(list(getattr(dataset, split)()[0])) for split in dataset.splits) == 15


def test_fractions(class_folders):
    refused(ImageFolder, class_folders, "greater than 0", test_fraction=0.0)
    refused(ImageFolder, class_folders, "less than 1", test_fraction=0.5, validation_fraction=0.5)


def test_many_files_make_a_short_line(class_folders, capsys):
    for i in range(30):
        (class_folders / "red" / f"{i}.txt").write_text("no image")
    data_of(ImageFolder, class_folders).train()
    assert re.search(r"Left out 30 file.*0\.txt.* and 25 more", capsys.readouterr().err)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.slow
def test_an_image_that_only_decoding_finds_is_named_before_the_first_epoch(class_folders, split, tmp_path, monkeypatch):
    monkeypatch.setattr("sdbnn_larq.training._data_check.PICTURES", 1)  # as in a large folder
    path = os.fsdecode(data_of(ImageFolder, class_folders).splits[split][0][1])
    Path(path).write_bytes(damaged_png())
    fields = [f"dataset.directory={class_folders}", "batch_size=8", f"output_dir={tmp_path / 'run'}"]
    result = CliRunner().invoke(main, ["train", "Folder", *fields])
    assert result.exit_code == 2
    assert path in result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("parts", "found"), [((), "none"), (("train",), "train"), (("train", "val", "test"), "test")])
def test_imagenette_has_two_parts(parts, found, tmp_path):
    for part in parts or (".",):
        write_images(tmp_path / part / "tench", count=3)
        write_images(tmp_path / part / "golf ball", count=3)
    dataset = data_of(Imagenette, tmp_path)
    with pytest.raises(ValueError, match=rf"`directory` must have the parts train and val alone.* has .*{found}"):
        _ = dataset.splits


def test_imagenette_tests_on_what_is_called_val(tmp_path):
    for part, count in (("train", 20), ("val", 3)):
        for name in ("tench", "golf ball"):
            write_images(tmp_path / part / name, count=count)
    dataset = data_of(Imagenette, tmp_path)
    assert dataset.class_names == ["golf ball", "tench"]
    counts = {name: len(labels) for name, (_, labels) in dataset.splits.items()}
    assert counts == {"train": 36, "validation": 4, "test": 6}
    assert all(b"/val/" in path for path in dataset.splits["test"][0])


def test_imagenette_s_numbers_are_names(tmp_path):
    """As its archives have them, in the order of the numbers; the images are the same under either."""
    for part, count in (("train", 20), ("val", 3)):
        for name in ("n01440764", "n02979186"):
            write_images(tmp_path / part / name, count=count)
    dataset = data_of(Imagenette, tmp_path)
    assert dataset.class_names == ["tench", "cassette_player"]
    paths, labels = dataset.splits["test"]
    found = {(path.split(b"/")[-2], label) for path, label in zip(paths, labels)}
    assert found == {(b"n01440764", 0), (b"n02979186", 1)}
    for part in ("train", "val"):
        write_images(tmp_path / part / "tench", count=1)
    with pytest.raises(ValueError, match=r"one folder for each class.* both numbers and names"):
        _ = dataset.class_names
