"""Recipes and data sets of a user's own: they are used as they are, and a run goes on with them alone."""

import ast
import importlib
import itertools
import os
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from click.testing import CliRunner
from conftest import write_images
from zookeeper import ComponentField, Field, PartialComponent, component, configure, task
from zookeeper.tf import Dataset, Preprocessing

from sdbnn_larq import recipes, zoo
from sdbnn_larq.cli import main
from sdbnn_larq.optimizers import SGDL2
from sdbnn_larq.recipes.fine_tune import TrainFineTune
from sdbnn_larq.recipes.folder import TrainFolder
from sdbnn_larq.training import Cifar10, ImageFolder, PhotoFolder, Photos, SmallImages, TFDSPhotos
from sdbnn_larq.training._pipeline import SHUFFLE_BYTES, TrainingBatches, _shuffle_buffer
from sdbnn_larq.training._recipe_file import checksum_of_imports, checksum_of_recipe
from sdbnn_larq.training.datasets import PreparedTFDS, bytes_of_splits, check_outside
from sdbnn_larq.training.provenance import differing_data

RECIPE = """
from zookeeper import ComponentField, Field, PartialComponent, task
from sdbnn_larq.recipes.folder import TrainFolder
from sdbnn_larq.zoo.resnet20 import ResNet20Factory

@task
class {name}(TrainFolder):
    model = ComponentField(PartialComponent(ResNet20Factory, filters=4))
    epochs = Field(1)
    batch_size = Field(4)
    {more}
"""


def sdbnn(*arguments):
    """In a process of its own: Python reads a recipe file once."""
    command = [sys.executable, "-m", "sdbnn_larq.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def photographs_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    model = zoo.ResNet20(num_classes=2, filters=4, input_shape=(16, 16, 3))
    zoo.save_packed(model, path, description=model.description.replace(preprocessing=zoo.PHOTOGRAPHS))
    return str(path)


COUNT = itertools.count()


@component
class PatientFolder(PhotoFolder):
    """One that divides in a way of its own, for instance by patients."""


@pytest.mark.parametrize(
    ("dataset", "kind", "fraction"),
    [
        (PatientFolder, "PatientFolder", 0.1),
        (PartialComponent(PhotoFolder, test_fraction=0.3), "PhotoFolder", 0.3),
        (PartialComponent(ImageFolder, test_fraction=0.3), "PhotoFolder", 0.3),
        (ImageFolder, "PhotoFolder", 0.1),
    ],
)
@pytest.mark.parametrize(
    ("preprocessing", "area"), [(PartialComponent(Photos, min_area=0.5), 0.5), (SmallImages, 0.08), (Photos, 0.08)]
)
def test_fine_tuning_on_photographs_keeps_what_a_recipe_names(
    dataset, kind, fraction, preprocessing, area, photographs_weights, class_folders
):
    fields = {"dataset": ComponentField(dataset), "preprocessing": ComponentField(preprocessing)}
    own = task(type(f"TrainPatients{next(COUNT)}", (TrainFineTune,), {"__module__": __name__, **fields}))()
    configure(own, {"dataset.directory": str(class_folders), "weights": photographs_weights, "output_dir": "run"})
    own.check()
    assert type(own.dataset).__name__ == kind
    assert own.dataset.test_fraction == fraction
    assert own.preprocessing.min_area == area
    assert tuple(own.preprocessing.input_shape) == (16, 16, 3)


def test_fine_tuning_takes_components_from_the_command_line(photographs_weights, class_folders):
    """What the recipe sets of its own data set does not reach another. It may leave the preprocessing open."""
    dataset = ComponentField(PartialComponent(ImageFolder, strict=True))
    fields = {"dataset": dataset, "preprocessing": ComponentField()}
    fields |= {"__annotations__": {"preprocessing": Preprocessing}, "__module__": __name__}
    own = task(type(f"TrainPatients{next(COUNT)}", (TrainFineTune,), fields))()
    given = {"dataset.directory": str(class_folders), "weights": photographs_weights, "output_dir": "run"}
    configure(own, {**given, "dataset": "PatientFolder"})
    own.check()
    assert not own.dataset.strict
    assert type(own.dataset).__name__ == "PatientFolder"
    assert type(own.preprocessing).__name__ == "Photos"


@pytest.mark.slow
def test_a_run_has_the_recipe_and_the_data_that_it_began_with(class_folders, tmp_path):
    recipe, run = tmp_path / "mine.py", tmp_path / "run"
    command = ["train", recipe, f"dataset.directory={class_folders}", f"output_dir={run}"]
    recipe.write_text(RECIPE.format(name="TrainMine", more="pass"))
    first = sdbnn(*command)
    assert first.returncode == 0, first.stderr
    recipe.write_text(RECIPE.format(name="TrainMine", more="pass  # a comment"))
    again = sdbnn(*command)
    assert again.returncode == 0, again.stderr
    assert "holds this run, finished" in again.stdout
    recipe.write_text(RECIPE.format(name="TrainMine", more="def check(self): super().check()"))
    changed = sdbnn(*command)
    assert changed.returncode == 2
    assert "the recipe file that it began with" in changed.stderr
    assert "checksum_of_recipe" in changed.stderr
    recipe.write_text(RECIPE.format(name="TrainMine", more="pass"))
    write_images(class_folders / "red" / "more", 1)
    os.rename(class_folders / "red" / "more" / "0.jpg", class_folders / "red" / "new.jpg")
    os.rmdir(class_folders / "red" / "more")
    other = sdbnn(*command)
    assert other.returncode == 2
    assert "checksum_of_file_names" in other.stderr


def checksum_in(monkeypatch, file, content, name="mine"):
    file.write_bytes(content)
    module = ModuleType(name)
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, name, module)
    return checksum_of_recipe(type("Own", (TrainFolder,), {"__module__": name}))


def test_which_recipes_have_a_checksum(monkeypatch, tmp_path):
    assert checksum_of_recipe(TrainFolder) is None  # the package's, which its version tells
    assert checksum_of_recipe(type("Own", (TrainFolder,), {"__module__": "in_a_notebook"})) is None
    known = checksum_in(monkeypatch, tmp_path / "a.py", b"def f():\n    return 1\n")
    assert known == checksum_in(monkeypatch, tmp_path / "b.py", b"def f():  # a comment\n\n    return (1)\n")
    assert known != checksum_in(monkeypatch, tmp_path / "a.py", b"def f():\n    return 2\n")
    for odd in (b"%matplotlib inline\n", b"\x00\x01"):  # IPython's magics, a compiled module
        assert checksum_in(monkeypatch, tmp_path / "odd.py", odd) != known


def test_a_program_s_checksum_is_that_of_its_definitions(monkeypatch, tmp_path):
    content = b"def f(): return 1\n"
    known = checksum_in(monkeypatch, tmp_path / "a.py", content, "__main__")
    more = content + b"print('done')\nif __name__ == '__main__':\n    f()\n"
    assert checksum_in(monkeypatch, tmp_path / "a.py", more, "__main__") == known
    assert checksum_in(monkeypatch, tmp_path / "a.py", more, "module") != known


def test_a_recipe_s_checksum_is_the_same_in_each_version_of_python(monkeypatch, tmp_path):
    """Python 3.12 has a field of functions and classes more."""
    content = b"class A:\n    def f(self): return 1\n"
    known = checksum_in(monkeypatch, tmp_path / "a.py", content)
    dump = ast.dump

    def dump_of_3_12(tree):
        return dump(tree).replace("decorator_list=[])", "decorator_list=[], type_params=[])")

    monkeypatch.setattr(ast, "dump", dump_of_3_12)
    assert dump_of_3_12(ast.parse(content)) != dump(ast.parse(content)) or sys.version_info >= (3, 12)
    assert checksum_in(monkeypatch, tmp_path / "a.py", content) == known


def test_what_a_recipe_imports_from_its_folder_has_a_checksum(monkeypatch, tmp_path):
    """Directly or not, from packages too; not what it does not import."""
    files = {
        "mine.py": "import numpy\nfrom nets.small import Small\nfrom sdbnn_larq.recipes.folder import TrainFolder\n"
        "class Own(TrainFolder): pass\n",
        "nets/__init__.py": "",
        "nets/small.py": "import helper\nfrom .parts import block\nclass Small: pass\n",
        "nets/parts.py": "def block(): return 1\n",
        "helper.py": "x = 1\n",
        "plots.py": "x = 1\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mine", "nets", "nets.small", "nets.parts", "helper", "plots"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.import_module("plots")
    own = importlib.import_module("mine").Own
    known = checksum_of_imports(own)
    assert known is not None
    for name, content in files.items():
        (tmp_path / name).write_text(f"{content}# a comment\n")
        assert checksum_of_imports(own) == known
        (tmp_path / name).write_text(f"{content}y = 2\n")
        assert (checksum_of_imports(own) == known) == (name in ("mine.py", "plots.py")), name
        (tmp_path / name).write_text(content)
    (tmp_path / "mine.py").write_text("import numpy\n")
    assert checksum_of_imports(own) is None
    assert checksum_of_imports(TrainFolder) is None


def test_what_is_not_known_of_data_does_not_differ():
    known = {"class_names": ["a"], "bytes_of_splits": {"train": 3}}
    assert differing_data(known, {"class_names": ["a"], "bytes_of_splits": None, "checksum_of_recipe": "0a"}) is None
    assert (
        differing_data(known, {"bytes_of_splits": {"train": 4}})
        == "the bytes_of_splits {'train': 3}, and now {'train': 4}"
    )


@component
class OwnTFDS(PreparedTFDS):
    """Which TensorFlow Datasets does not know."""

    name = Field("nobody_has_this")
    train_split = Field("train")

    def load(self, split, decoders, shuffle):
        raise NotImplementedError


def test_data_that_are_not_tensorflow_datasets():
    own, absent = OwnTFDS(), Cifar10()
    configure(own, {})
    configure(absent, {"data_dir": "nowhere"})
    assert bytes_of_splits(own) is bytes_of_splits(absent) is None


@pytest.mark.slow
def test_prepared_data_are_told_apart_by_their_size(tmp_path):
    """Images as JPEG and as PNG, for one, which have the same name."""
    found = []
    for size in (8, 9):
        pixels = np.random.RandomState(0).randint(0, 256, (size, size, 3)).astype(np.uint8)
        features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=["a", "b"])}
        tfds.dataset_builders.store_as_tfds_dataset(
            "pair",
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={"train": [(i, {"image": pixels, "label": "ab"[i]}) for i in (0, 1)]},
            data_dir=tmp_path / str(size),
        )
        dataset = TFDSPhotos()
        configure(dataset, {"name": "pair", "data_dir": str(tmp_path / str(size))})
        found.append(bytes_of_splits(dataset))
    assert found[0].keys() == found[1].keys() == {"train"}
    assert 0 < found[0]["train"] < found[1]["train"]


def test_recipes_take_paths(class_folders):
    with pytest.raises(ValueError, match="must lie outside of the images' folder"):
        recipes.run("Folder", output_dir=class_folders / "run", **{"dataset.directory": class_folders})
    with pytest.raises(ValueError, match="a file that exists"):
        recipes.run(class_folders / "mine.py")


@pytest.mark.parametrize("command", [["train", "Folder"], ["tune", "Folder", "--range", "learning_rate=1e-4:1e-3"]])
def test_folders_of_images_are_not_written_to(command, class_folders, tmp_path, monkeypatch):
    """Not beside the parts either: the next look at the folder would not know them."""
    parts = tmp_path / "parts"
    parts.mkdir()
    for part in ("train", "val"):
        os.symlink(class_folders, parts / part)
    monkeypatch.chdir(parts)
    result = CliRunner().invoke(main, [*command, "dataset.directory=."])
    assert result.exit_code == 2, result.output
    assert "must lie outside of the images' folder" in result.stderr
    assert sorted(path.name for path in parts.iterdir()) == ["train", "val"]


def test_hidden_folders_are_no_classes(class_folders):
    dataset = ImageFolder()
    configure(dataset, {"directory": str(class_folders)})
    check_outside("output_dir", class_folders / ".runs" / "one", dataset)
    with pytest.raises(ValueError, match="must lie outside"):
        check_outside("output_dir", class_folders / "runs", dataset)


@component
class Nameless(Dataset):
    num_classes = 2

    def train(self, decoders=None):
        raise NotImplementedError


def test_a_data_set_without_names(tmp_path):
    @task
    class TrainNameless(TrainFolder):
        dataset = ComponentField(Nameless)

    own = TrainNameless()
    configure(own, {"output_dir": str(tmp_path / "run")})
    with pytest.raises(ValueError, match=r"in the order of the labels\. Received: Nameless without class_names\.$"):
        own.run()


@pytest.mark.parametrize("momentum", [-0.1, 1.5])
def test_impossible_momentum(momentum):
    with pytest.raises(ValueError, match=rf"`momentum` must be from 0 to 1\. Received: momentum={momentum}\.$"):
        SGDL2(0.1, momentum=momentum)
    result = CliRunner().invoke(main, ["train", "Cifar10ResNet20", f"momentum={momentum}"])
    assert result.exit_code == 2
    assert "`momentum` must be" in result.stderr


def encoded(sizes):
    images = tf.data.Dataset.from_tensor_slices([b"x" * size for size in sizes])
    return images.map(lambda image: {"image": image, "label": tf.constant(0)})


def test_photographs_wait_in_memory_by_their_size(monkeypatch):
    assert _shuffle_buffer(encoded([10, 30]), 50_000) == 10_000
    monkeypatch.setattr("sdbnn_larq.training._pipeline.SHUFFLE_BYTES", 2000)
    assert _shuffle_buffer(encoded([10, 30]), 50_000) == 100
    assert _shuffle_buffer(encoded([10, 30]), 7) == 7
    assert SHUFFLE_BYTES > 10_000 * 150_000  # those of Imagenette are shuffled as a whole


MANY_EPOCHS = """
import numpy as np, sdbnn_larq, tensorflow as tf
from sdbnn_larq.training._pipeline import TrainingBatches
class Plain:
    def __call__(self, data, training): return data["image"], data["label"]
data = tf.data.Dataset.from_tensor_slices({"image": np.arange(4.0), "label": np.arange(4)})
batches = TrainingBatches(data, 4, Plain(), batch_size=4, seed=0, epochs=8000)
print(len(next(iter(batches(0, 0)))[0]))
"""


@pytest.mark.slow
def test_as_many_epochs_as_one_likes():
    process = subprocess.run([sys.executable, "-c", MANY_EPOCHS], capture_output=True, text=True)
    assert process.stdout == "4\n", process.stderr[-500:]


def test_epochs_follow_one_another():
    class Plain:
        def __call__(self, data, training):
            return data["image"], data["label"]

    data = tf.data.Dataset.from_tensor_slices({"image": np.arange(5.0), "label": np.arange(5)})
    batches = TrainingBatches(data, 5, Plain(), batch_size=5, seed=0, epochs=7)
    orders = [images.numpy().tolist() for images, _ in batches(0, 0)]
    assert len(orders) == 7
    assert len({tuple(order) for order in orders}) > 3
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert [images.numpy().tolist() for images, _ in batches(3, 0)] == orders[3:]
