"""Fields that a task and its components share: a recipe's value reaches the components as the command line's does."""

import subprocess
import sys
from pathlib import Path

import pytest
from zookeeper import ComponentField, Field, PartialComponent, configure, task
from zookeeper.core.component import base_getattr

from sdbnn_larq.recipes import task_class
from sdbnn_larq.recipes.digits import TrainDigits
from sdbnn_larq.training import Digits, GrowingImages, ImageFolder, PhotoFolder, Photos, TrainSDBNN
from sdbnn_larq.zoo.resnet import ResNet18Factory

BODY = {
    "input_shape": "(128, 128, 3)",
    "epochs": "7",
    "validation_fraction": "0.25",
    "directory": "'elsewhere'",
    "strict": "True",
    "min_area": "0.5",
    "asd_reduction": "4",
    "self_distribution": "None",
}


def recipe(name, path, body):
    """The configured task of a recipe file on photographs, whose body has these fields."""
    fields = "".join(f"    {field}: Any = Field({value})\n" for field, value in body.items())
    file = path / f"{name}.py"
    file.write_text(
        "from typing import Any\n"
        "from zookeeper import ComponentField, Field, task\n"
        "from sdbnn_larq.training import PhotoFolder, Photos, TrainSDBNN\n"
        "from sdbnn_larq.zoo.resnet import ResNet18Factory\n\n"
        f"@task\nclass {name}(TrainSDBNN):\n"
        "    dataset = ComponentField(PhotoFolder)\n"
        "    preprocessing = ComponentField(Photos)\n"
        "    model = ComponentField(ResNet18Factory)\n"
        "    batch_size = Field(8)\n    learning_rate = Field(0.1)\n" + fields
    )
    return task_class(str(file))()


def values(task):
    """The fields of all components that do not depend on the data."""
    components = {name: base_getattr(task, name) for name in ("dataset", "preprocessing", "model")}
    return {
        f"{name}.{field}": base_getattr(component, field)
        for name, component in components.items()
        for field in component.__component_fields__
        if field not in ("num_classes", "dataset", "decoders", "sizes")
    }


def test_a_recipe_s_value_reaches_the_components_as_the_command_line_s_does(tmp_path):
    by_recipe = recipe("TrainByRecipe", tmp_path, BODY)
    configure(by_recipe, {})
    plain = recipe("TrainPlain", tmp_path, dict.fromkeys(BODY, "None") | {"epochs": "1", "directory": "''"})
    configure(plain, {name: eval(value) for name, value in BODY.items()})
    assert values(by_recipe) == values(plain)
    reached = values(by_recipe)
    assert reached["model.input_shape"] == reached["preprocessing.input_shape"] == (128, 128, 3)
    assert reached["dataset.directory"] == "elsewhere"
    assert (reached["dataset.strict"], reached["dataset.validation_fraction"]) == (True, 0.25)
    assert (reached["model.asd_reduction"], reached["model.self_distribution"]) == (4, None)


@task
class TrainShared(TrainDigits):
    epochs = Field(11)
    input_shape: tuple = Field((16, 16, 3))
    test_fraction: float = Field(0.3)
    data_dir: str = Field("here")

    @Field
    def asd_reduction(self) -> int:
        return 2 * self.epochs


@task
class TrainNearer(TrainShared):
    dataset = ComponentField(PartialComponent(Digits, test_fraction=0.15))
    preprocessing = ComponentField(PartialComponent(GrowingImages, epochs=5))


def test_what_a_recipe_inherits_and_computes_reaches_the_components():
    shared = TrainShared()
    configure(shared, {"epochs": 3})
    found = values(shared)
    assert found["model.input_shape"] == (16, 16, 3)
    assert found["dataset.test_fraction"] == 0.3
    assert found["model.asd_reduction"] == 6
    assert shared.model.input_shape == (None, 16, 16, 3)


def test_the_nearer_value_goes_first_and_the_command_line_before_all():
    nearer = TrainNearer()
    configure(nearer, {})
    assert values(nearer)["dataset.test_fraction"] == 0.15
    assert values(nearer)["preprocessing.epochs"] == 5
    assert values(nearer)["model.asd_reduction"] == 22
    nearer = TrainNearer()
    configure(nearer, {"model.asd_reduction": 4, "test_fraction": 0.2, "dataset": "Digits"})
    assert values(nearer)["model.asd_reduction"] == 4
    assert values(nearer)["dataset.test_fraction"] == 0.2


def test_a_chosen_component_gets_the_recipe_s_values():
    shared = TrainShared()
    configure(shared, {"dataset": "Cifar10", "preprocessing": "GrowingImages"})
    assert base_getattr(shared, "dataset").data_dir == "here"
    assert values(shared)["preprocessing.epochs"] == 11


def test_defaults_that_no_recipe_chose_do_not_reach_the_components():
    """`data_dir` of the library's own class is None."""

    @task
    class TrainOwnData(TrainSDBNN):
        dataset = ComponentField(PartialComponent(PhotoFolder, directory="x"))
        preprocessing = ComponentField(Photos)
        model = ComponentField(ResNet18Factory)
        epochs = Field(1)
        batch_size = Field(1)
        learning_rate = Field(0.1)

    own = TrainOwnData()
    configure(own, {})
    assert values(own)["preprocessing.input_shape"] == (224, 224, 3)


@pytest.mark.parametrize("way", ["input_shape", "image_size"])
@pytest.mark.slow
def test_training_on_a_folder_has_the_size_that_one_field_says(class_folders, tmp_path, way):
    field = {"input_shape": "(16, 16, 3)", "image_size": "16"}[way]
    file = tmp_path / "own.py"
    file.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from typing import Any\nfrom zookeeper import ComponentField, Field, PartialComponent, task\n"
        "from sdbnn_larq.training import ImageFolder\nimport tiny_recipe\n\n"
        "@task\nclass TrainOwn(tiny_recipe.TrainTiny):\n"
        f"    dataset = ComponentField(PartialComponent(ImageFolder, directory={str(class_folders)!r}))\n"
        f"    {way}: Any = Field({field})\n    batch_size = Field(8)\n    epochs = Field(1)\n"
    )
    command = [sys.executable, "-m", "sdbnn_larq.cli", "train", str(file), f"output_dir={tmp_path / 'run'}"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    other = {"input_shape": "dataset.image_size=32", "image_size": "model.input_shape=(32,32,3)"}[way]
    run = subprocess.run([*command, other, f"output_dir={tmp_path / 'other'}"], capture_output=True, text=True)
    assert run.returncode == 2
    assert "image_size" in run.stderr.splitlines()[-1]
    assert "input_shape" in run.stderr.splitlines()[-1]
    assert not (tmp_path / "other").exists()


def test_image_folder_takes_the_model_s_size(class_folders):
    dataset = ImageFolder()
    configure(dataset, {"directory": str(class_folders)})
    assert dataset.image_shape is None
    dataset = ImageFolder()
    configure(dataset, {"directory": str(class_folders), "image_size": 0})
    with pytest.raises(ValueError, match="image_size=0"):
        dataset.image_shape  # noqa: B018
