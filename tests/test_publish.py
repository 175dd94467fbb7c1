"""From a trained network to published weights, whose accuracy the command line recomputes."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import write_images

from sdbnn_larq import zoo
from sdbnn_larq.cli import main
from sdbnn_larq.cli._card import _classes, picture_of_confusion
from sdbnn_larq.evaluation import Accuracy
from sdbnn_larq.weights import catalogue as _catalogue


def sdbnn(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


NETWORK = "model.self_distribution=activation"  # a description with an argument of its own


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of finished runs: of a 1-bit network and of its float twin."""
    folder = tmp_path_factory.mktemp("runs")
    for name, fields in (("binary", ["epochs=2"]), ("twin", ["epochs=1", "model.binary=False"])):
        result = sdbnn("train", "Digits", NETWORK, *fields, f"output_dir={folder / name}")
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    (tmp_path / "registry.json").write_text("[]")
    (tmp_path / "zoo").mkdir()  # where the command runs
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_catalogue, "folder", lambda: tmp_path)
    _catalogue._read.cache_clear()
    yield tmp_path
    _catalogue._read.cache_clear()


def publish(runs, *arguments, tag="digits", **changed):
    options = {"run": runs / "binary", "data": "scikit-learn's digits", "recipe": "two epochs", "seed": 0} | changed
    flags = [part for name, value in options.items() if value is not None for part in (f"--{name}", value)]
    return sdbnn("publish", "ResNet20", "--tag", tag, *flags, *arguments)


@pytest.mark.slow
def test_what_is_published_can_be_recomputed_and_used(runs, catalogue):
    result = publish(runs, "--input-size", 48, twin=runs / "twin")
    assert result.exit_code == 0, result.output
    stem = "zoo/resnet20_digits"
    ends = [".json", ".md", "_confusion.png", "_curves.png", "_history.csv"]
    files = ["registry.json", "resnet20_digits.safetensors", *(f"{stem}{end}" for end in ends)]
    assert sorted(str(path.relative_to(catalogue)) for path in catalogue.rglob("*.*")) == files
    (entry,) = json.loads((catalogue / "registry.json").read_text())
    assert entry["images"] == 359
    assert 15 < entry["accuracy"] < 100  # it has learnt something
    assert entry["description"]["arguments"] == {"self_distribution": "activation", "num_classes": 10}
    assert entry["description"]["class_names"] == list("0123456789")
    for command in (["ResNet20", "--weights", "digits"], ["ResNet20/digits"], ["resnet20_digits.safetensors"]):
        assert f"{entry['accuracy']:.2f}% of 359 test images of Digits" in sdbnn("evaluate", *command).output
    assert f"ResNet20/digits: {entry['accuracy']:.2f}% of 359" in sdbnn("models", "--pretrained").output
    assert sdbnn("models", "--pretrained", "VGG*").output == ""
    assert zoo.list_models(pretrained=True) == ["ResNet20/digits"]
    assert zoo.load("ResNet20/digits").description == zoo.describe("ResNet20/digits")
    zoo.ResNet20(weights="digits", self_distribution="activation")
    with pytest.raises(ValueError, match="`self_distribution` must be 'activation', with which the weights"):
        zoo.ResNet20(weights="digits")

    card, known = (catalogue / f"{stem}.md").read_text("utf-8"), json.loads((catalogue / f"{stem}.json").read_text())
    report, twin = (json.loads((runs / name / "report.json").read_text()) for name in ("binary", "twin"))
    assert f"**{entry['accuracy']:.2f} %**" in card
    assert sum(map(sum, known["confusion"])) == known["images"] == 359
    assert sum(row[i] for i, row in enumerate(known["confusion"])) == known["right"]
    assert round(100 * known["right"] / 359, 2) == entry["accuracy"]
    assert f"| 1-bit | 0 | 2 | {report['seconds'] / 3600:.2f} |" in card
    assert f"| {100 * report['test_accuracy']:.2f} % |" in card
    assert f"| {100 * twin['test_accuracy']:.2f} % |" in card

    assert f"{entry['accuracy']:.2f}% of 359" in sdbnn("evaluate", "ResNet20/digits", "--input-size", 32).output
    larger = sdbnn("evaluate", "ResNet20/digits", "--input-size", 48).output
    assert f"{known['percent_at_size']['48']:.2f}% of 359" in larger
    assert f"48×48 pixels: {known['percent_at_size']['48']:.2f} %" in card

    assert publish(runs, seed=2).exit_code == 0
    assert [(e.tag, e.description.provenance["seeds"]) for e in _catalogue.published()] == [("digits", [2])]


@pytest.mark.parametrize("names", [list("1023456789"), list("abcdefghij")], ids=["other order", "others"])
@pytest.mark.slow
def test_the_names_of_the_classes_are_those_of_the_weights(runs, catalogue, names):
    """And not those of the images that test them, which may come in another order."""
    model = zoo.load(runs / "binary/weights.safetensors")
    zoo.save_packed(model, catalogue / "a.safetensors", description=model.description.replace(class_names=tuple(names)))
    result = publish(runs, run=None, weights=catalogue / "a.safetensors")
    if names[0] == "a":
        assert result.exit_code == 2
        assert (
            "`dataset` must have the model's classes. Received: Digits, whose class 0 is '0', not 'a'." in result.stderr
        )
        return
    assert result.exit_code == 0, result.output
    (entry,) = json.loads((catalogue / "registry.json").read_text())
    assert entry["description"]["class_names"] == names
    assert f"{entry['accuracy']:.2f}% of 359" in sdbnn("evaluate", catalogue / "a.safetensors").output


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dataset": "Nothing"}, "`dataset`"),
        ({"half": "nothing"}, "`half`"),
        ({"card": "no/a.md"}, "--card"),
        ({"card": "zoo"}, "`--card` must be a file.md in a folder that exists. Received: 'zoo'."),
        ({"card": "zoo/a.json"}, "`--card` must be a file.md in a folder that exists. Received: 'zoo/a.json'."),
        ({"run": None}, "--weights or --run must be given"),
        ({"twin": "binary"}, "'self_distribution': 'activation', 'binary': False}, for (32, 32, 3). Received: "),
        ({"twin": "nowhere"}, "A run must be finished"),
        ({"benchmark": "vggsmall.json"}, "--benchmark must be a file of ResNet20 with these weights on this test set"),
        ({"benchmark": "resnet18.json"}, "--benchmark must be a file that `sdbnn benchmark` wrote for trained weights"),
        ({"benchmark": "resnet18.png"}, "--benchmark must be a file that `sdbnn benchmark` wrote for trained weights"),
        ({"about": "resnet18.png"}, "--about must be a text in UTF-8"),
    ],
)
@pytest.mark.slow
def test_nothing_is_published_by_mistake(runs, catalogue, changed, message):
    benchmarks = Path(__file__).parents[1] / "benchmarks"
    places = {"twin": runs, "benchmark": benchmarks, "about": benchmarks}
    result = publish(runs, **{name: places[name] / v if name in places else v for name, v in changed.items()})
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in catalogue.rglob("*.*")] == ["registry.json"]


@pytest.mark.slow
def test_another_data_set_is_not_divided_as_that_of_the_training(runs, catalogue):
    """The command of the card recomputes its figure."""
    for label in range(10):
        write_images(catalogue / "my test" / str(label), 12)
    result = publish(runs, "--dataset", "ImageFolder", "directory=my test")
    assert result.exit_code == 0, result.output
    (entry,) = json.loads((catalogue / "registry.json").read_text())
    assert "division" not in entry["description"]["provenance"]
    assert "sdbnn evaluate ResNet20/digits directory=DIR\n" in (catalogue / "zoo/resnet20_digits.md").read_text("utf-8")
    output = sdbnn("evaluate", "ResNet20/digits", "directory=my test").output
    assert f"{entry['accuracy']:.2f}% of {entry['images']} test images of ImageFolder" in output


@pytest.mark.slow
def test_the_card_s_command_names_a_recipe_s_data_set(runs, catalogue):
    (catalogue / "mine.py").write_text(
        "from zookeeper import ComponentField, PartialComponent, component, task\n"
        "from sdbnn_larq.recipes.digits import TrainDigits\nfrom sdbnn_larq.training import Digits\n"
        "@component\nclass Halved(Digits):\n    pass\n"
        "@task\nclass TrainHalved(TrainDigits):\n"
        "    dataset = ComponentField(PartialComponent(Halved, test_fraction=0.5, validation_fraction=0.3))\n"
    )
    result = publish(runs, "--dataset", catalogue / "mine.py")
    assert result.exit_code == 0, result.output
    (entry,) = json.loads((catalogue / "registry.json").read_text())
    card = (catalogue / "zoo/resnet20_digits.md").read_text("utf-8")
    (command,) = [line for line in card.splitlines() if line.startswith("sdbnn evaluate")]
    output = sdbnn(*command.split()[1:]).output
    assert f"{entry['accuracy']:.2f}% of {entry['images']} test images of Halved" in output
    assert entry["images"] > 800


@pytest.mark.slow
def test_a_failed_publication_leaves_the_one_before(runs, catalogue):
    assert publish(runs).exit_code == 0
    before = {path: path.read_bytes() for path in catalogue.rglob("*.*")}
    (catalogue / "zoo/resnet20_digits_curves.png").unlink()
    (catalogue / "zoo/resnet20_digits_curves.png").mkdir()  # in the way
    assert publish(runs, run=runs / "binary", half="logits/kernel").exit_code != 0
    left = {path: path.read_bytes() for path in catalogue.rglob("*.*") if path.is_file()}
    assert left.items() <= before.items()
    assert len(left) == len(before) - 1


def test_names_of_classes_are_shown_as_they_are():
    names = ["cat|dog", "<b>x", "$5_$6", "none\nhere"]
    confusion = np.array([[3, 1, 0, 0], [0, 4, 0, 0], [2, 0, 2, 0], [0, 0, 0, 0]])
    assert list(_classes(names, confusion))[2:] == [
        r"| cat\|dog | 4 | 75.0 % | &lt;b&gt;x (1) |",
        "| &lt;b&gt;x | 4 | 100.0 % |  |",
        r"| $5_$6 | 4 | 50.0 % | cat\|dog (2) |",
        "| none here | 0 | – |  |",
    ]
    assert picture_of_confusion(names, confusion).startswith(b"\x89PNG")


def test_interval_and_confusion():
    accuracy = Accuracy(np.array([[81, 9], [10, 0]]))
    assert (accuracy.right, accuracy.images, accuracy.share) == (81, 100, 0.81)
    low, high = accuracy.interval
    assert (round(low, 4), round(high, 4)) == (0.7222, 0.8749)  # Wilson's, as in SciPy's binomtest(81, 100)
    assert Accuracy(np.diag([5, 5])).interval[1] == pytest.approx(1)
    wrong = Accuracy(np.array([[0, 51], [0, 0]]))
    assert f"{wrong.interval[0]:.2%}" == "0.00%"
