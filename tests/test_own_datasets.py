"""A recipe file's own data set, from training to the commands that test what was trained."""

import json

import pytest
from click.testing import CliRunner

from sdbnn_larq import zoo
from sdbnn_larq.cli import main
from sdbnn_larq.cli._evaluate import test_set as find_test_set
from sdbnn_larq.weights import describe

RECIPE = """
import numpy as np
import tensorflow as tf
from zookeeper import ComponentField, Field, PartialComponent, component, task
from zookeeper.tf import Dataset
from sdbnn_larq.training import TrainSDBNN
from sdbnn_larq.zoo.resnet20 import ResNet20Factory

@component
class Stripes(Dataset):
    num_classes, class_names, image_shape = 2, ["across", "along"], (8, 8, 3)
    noise: int = Field(0)

    def examples(self, count, seed):
        random = np.random.RandomState(seed)
        images = np.stack([random.randint(0, 256, (8, 1, 3)).repeat(8, 1) for _ in range(count)])
        images[1::2] = images[1::2].transpose(0, 2, 1, 3)
        images = np.clip(images + random.randint(-self.noise, self.noise + 1, images.shape), 0, 255)
        images = {"image": images.astype(np.uint8), "label": np.arange(count) % 2}
        return tf.data.Dataset.from_tensor_slices(images), count

    def train(self, decoders=None):
        return self.examples(16, 0)

    def validation(self, decoders=None):
        return self.examples(4, 1)

    def test(self, decoders=None):
        return self.examples(40, 2)

@task
class TrainStripes(TrainSDBNN):
    dataset = ComponentField(PartialComponent(Stripes, noise=NOISE))
    model = ComponentField(PartialComponent(ResNet20Factory, filters=4))
    epochs = Field(1)
    batch_size = Field(4)
    learning_rate = Field(0.01)
"""


def sdbnn(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stripes")
    recipe = folder / "stripes.py"
    recipe.write_text(RECIPE.replace("NOISE", "7").replace("TrainStripes", f"TrainStripes{id(folder)}"))
    result = sdbnn("train", recipe, f"output_dir={folder / 'run'}")
    assert result.exit_code == 0, result.output
    return recipe, folder / "run"


@pytest.mark.slow
def test_commands_take_a_recipe_file_for_its_data_set(stripes, tmp_path):
    recipe, run = stripes
    right = round(40 * json.loads((run / "report.json").read_text())["test_accuracy"])
    weights = run / "weights.safetensors"
    result = sdbnn("evaluate", weights, "--dataset", recipe)
    assert result.exit_code == 0, result.output
    assert f"of 40 test images of Stripes ({right} right;" in result.output
    signs = sdbnn("signs", weights, "--dataset", recipe, "--output", tmp_path / "signs")
    assert signs.exit_code == 0, signs.output
    assert "40 test images of Stripes" in (tmp_path / "signs" / "signs.html").read_text()
    refused = sdbnn("evaluate", weights)
    assert refused.exit_code == 2
    assert "or a recipe file, which has its own. Received: 'Stripes'" in refused.output


@pytest.mark.slow
def test_fields_of_a_recipe_s_data_set(stripes):
    recipe, run = stripes
    description = describe(run / "weights.safetensors")
    assert find_test_set(description, str(recipe), []).noise == 7
    assert find_test_set(description, str(recipe), ["noise=3"]).noise == 3


def test_recipe_files_without_a_data_set(tmp_path):
    description = zoo.ResNet20(num_classes=2, filters=4).description
    recipe = tmp_path / "open.py"
    recipe.write_text(
        "from sdbnn_larq.training import TrainSDBNN\nfrom zookeeper import task\n"
        "@task\nclass TrainOpen(TrainSDBNN):\n    pass\n"
    )
    with pytest.raises(ValueError, match="A recipe file must say its `dataset`"):
        find_test_set(description, str(recipe), [])
    with pytest.raises(ValueError, match="TASK must be a recipe's name or a file that exists"):
        find_test_set(description, str(tmp_path / "none.py"), [])
