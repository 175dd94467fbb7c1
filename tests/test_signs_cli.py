"""`sdbnn signs`, its page and its pictures."""

import csv
import html.parser
import io
import json
import re
import warnings
from pathlib import Path

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

from sdbnn_larq import analysis, zoo
from sdbnn_larq.analysis.page import write_page
from sdbnn_larq.analysis.pictures import pictures
from sdbnn_larq.cli import main


def sdbnn(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Packed weights of a narrow ResNet20 whose description knows its preprocessing, and not its data."""
    model = zoo.ResNet20(filters=4)
    model.description = model.description.replace(preprocessing=zoo.SMALL_IMAGES)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    zoo.save_packed(model, path)
    return path


class Loads(html.parser.HTMLParser):
    """What a page loads or links to, and its text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        self.text += data


def test_own_images(weights, photographs, tmp_path):
    output = tmp_path / "Zeichen größe/a"
    result = sdbnn("signs", weights, "--images", photographs, "--output", output)
    assert result.exit_code == 0, result.output
    assert result.output.rstrip().endswith("signs.html: open it in a browser")
    report = json.loads((output / "signs.json").read_text("utf-8"))
    assert report["images"] == 20
    names = [layer["name"] for layer in report["layers"]]
    assert len(names) == 18
    assert [row["layer"] for row in csv.DictReader((output / "signs.csv").open())] == names
    assert all(name in result.output for name in names)

    model = zoo.load(weights)
    images = [path for folder in sorted(photographs.iterdir()) for path in sorted(folder.iterdir())]
    expected = analysis.signs(model, zoo.preprocess_input(images, model)).to_dict()
    assert expected["layers"][3]["sums"]["signs"]["share"] == report["layers"][3]["sums"]["signs"]["share"]

    page = Loads((output / "signs.html").read_text("utf-8"))
    assert len(page.found) == 2 + 18
    assert all(source.startswith("data:image/png;base64,") for source in page.found)
    assert "http" not in (output / "signs.html").read_text("utf-8").replace("http-equiv", "")
    assert all(name in page.text for name in names)
    assert "20 your images" not in page.text
    assert "20 images of your own" in page.text
    assert "as in a packed file" in page.text
    for picture in output.glob("*.png"):
        assert Image.open(picture).width == 1800
    assert {path.name for path in output.iterdir()} == {
        "signs.html", "signs.json", "signs.csv", "overview.png", "channels.png",
        *(f"layer_{i:02d}.png" for i in range(1, 19)),
    }  # fmt: skip


@pytest.mark.slow
def test_a_data_set(weights, tmp_path):
    fields = "test_fraction=0.05", "validation_fraction=0.05"
    result = sdbnn("signs", weights, "--data", "Digits", *fields, "--output", tmp_path)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "signs.json").read_text("utf-8"))
    assert report["images"] == pytest.approx(0.05 * 1797, abs=10)
    assert f"{report['images']} test images of Digits" in (tmp_path / "signs.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "OUT"], "--dataset or --images must be given"),
        (["--images", "IMAGES", "--data", "Digits", "--output", "OUT"], "--images must be given without a data set"),
        (["--images", "IMAGES", "epochs=3", "--output", "OUT"], "--images must be given without a data set"),
        (["--images", "EMPTY", "--output", "OUT"], "--images must be images or folders with images"),
        (["--images", "IMAGES", "--output", "FILE"], "--output must be a folder"),
        (["--data", "Cifar11", "--output", "OUT"], "`dataset` must be one of Cifar10, "),
    ],
    ids=["nothing to show", "both", "fields without a data set", "no images", "a file", "unknown data set"],
)
def test_wrong_arguments(weights, photographs, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {"IMAGES": photographs, "EMPTY": tmp_path / "empty", "OUT": tmp_path / "out", "FILE": tmp_path / "file"}
    result = sdbnn("signs", weights, *(places.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_exported_file_is_refused(tmp_path):
    pytest.importorskip("openvino")
    zoo_model = zoo.ResNet20(filters=8)
    from sdbnn_larq import convert

    convert.to_openvino(zoo_model, tmp_path / "a.xml", verify=False)
    result = sdbnn("signs", tmp_path / "a.xml", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "`name` must be a network in Keras" in result.output


# --- Pictures of any network ---


def dense(**arguments):
    return lq.layers.QuantDense(3, **{"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", **arguments})


def drawn(report):
    """All pictures, drawn without a warning; their pixels."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, figure in pictures(report):
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=50)
            found[name] = np.asarray(Image.open(content).convert("RGB"))
    return found


@pytest.mark.parametrize(
    "images",
    [None, np.random.default_rng(0).normal(size=(9, 4)), np.ones((2, 4)), np.zeros((1, 4))],
    ids=["weights alone", "noise", "all alike", "one image"],
)
def test_pictures_of_a_network_without_shifts(images):
    layers = [dense(kernel_quantizer=None), dense(), dense(input_quantizer=None)]
    model = tf.keras.Sequential([tf.keras.Input((4,)), *layers])
    report = analysis.signs(model, None if images is None else images.astype(np.float32))
    found = drawn(report)
    assert {"overview", *(f"layer_{i:02d}" for i in range(1, len(report.layers) + 1))} <= found.keys()
    assert all(picture.std() > 5 for picture in found.values())


def test_dead_channels_are_marked():
    model = tf.keras.Sequential([tf.keras.Input((4,)), dense()])
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    alive = drawn(analysis.signs(model, x))["channels"]
    x[:, 2] = 5
    dead = drawn(analysis.signs(model, x))["channels"]
    black = [(picture.max(axis=-1) < 40).sum() for picture in (alive, dead)]
    assert black[1] > black[0] + 10


def test_names_on_the_page_are_escaped(tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((4,)), dense(name="a/b")])
    report = analysis.signs(model)
    page = write_page(report, tmp_path, title="<script>alert(1)</script> & é", shown="<b>")
    text = page.read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; é" in text
    assert "weights alone" in Loads(text).text
    assert re.search(r"<h3>a/b", text)


def test_a_run_writes_what_its_signs_did(tmp_path):
    recipe = Path(__file__).parent / "tiny_recipe.py"
    for folder, fields in (("plain", []), ("watched", ["sign_statistics=2"])):
        result = sdbnn("train", recipe, "epochs=2", *fields, f"output_dir={tmp_path / folder}")
        assert result.exit_code == 0, result.output
    plain, watched = (list(csv.DictReader((tmp_path / f / "history.csv").open())) for f in ("plain", "watched"))
    assert watched[0]["signs_flip_ratio"] == ""
    assert 0 < float(watched[1]["signs_flip_ratio"]) < 0.5
    assert 0 < float(watched[1]["signs_activations_turned"]) < 0.5
    for before, after in zip(plain, watched):
        assert {name: after[name] for name in ("loss", "val_accuracy")} == {
            name: before[name] for name in ("loss", "val_accuracy")
        }
    (row,) = csv.DictReader((tmp_path / "watched/tensorboard/signs/signs.csv").open())
    assert (row["epoch"], row["layer"]) == ("2", "conv2")
    # What is only written down makes no other run of it, and a run may go on with it.
    result = sdbnn("train", recipe, "epochs=2", "sign_statistics=1", f"output_dir={tmp_path / 'plain'}")
    assert "holds this run, finished" in result.output
    result = sdbnn("train", recipe, "sign_statistics=-1", f"output_dir={tmp_path / 'new'}")
    assert result.exit_code == 2
    assert "`sign_statistics` must be at least 0" in result.output


def test_the_documentation_says_what_was_counted():
    root = Path(__file__).parent.parent
    rows = list(csv.DictReader((root / "benchmarks/signs_resnet20_cifar10.csv").open()))
    text = (root / "docs/signs.md").read_text("utf-8")

    def mean(figure):
        return np.mean([float(row[figure]) for row in rows])

    table = [line for line in text.splitlines() if line.startswith("|") and ("%" in line or " bit |" in line)]
    figures = [
        f"{place}_{figure}" for place in ("activations", "sums") for figure in ("share", "entropy", "difference")
    ]
    for line, figure in zip(table, figures, strict=True):
        values = [float(number) for number in re.findall(r"([\d.]+) (?:%|bit)", line)]
        scale = 1 if figure.endswith("entropy") else 100
        assert values == pytest.approx(
            [scale * mean(f"{figure}_without_shift"), scale * mean(figure)], abs=0.06 * scale / 10
        )
    assert f"It is {mean('activations_mean') - mean('activations_mean_without_shift'):.2f} on average" in text
    assert f"turns {100 * mean('activations_turned'):.1f} % of the inputs" in text
    assert f"and {100 * mean('sums_turned'):.1f} % of the sums" in text
    inputs, sums = (
        {row["layer"] for row in rows if float(row[name]) < float(row[f"{name}_without_shift"])}
        for name in ("activations_difference", "sums_difference")
    )
    assert f"In {len(inputs)} of the {len(rows)} layers" in text
    assert f"in {len(inputs & sums)} of these so do the sums" in text
    assert mean("activations_dead") == 0
