"""Exported files as a user makes, inspects and runs them: the command line, the runtimes and the examples."""

import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from exports import MODULES, SUFFIXES, randomised
from PIL import Image
from sklearn.datasets import load_digits

from sdbnn_larq import convert, zoo
from sdbnn_larq.cli import main
from sdbnn_larq.cli._images import read_images
from sdbnn_larq.preprocessing import fit, read_image

NAMES = ["zéro", *"123456789"]
EXAMPLES = Path(__file__).parent.parent / "examples"


def sdbnn(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """A folder with weights, pictures of digits as .png and one as .npy."""
    folder = tmp_path_factory.mktemp("digits")
    model = randomised(zoo.ResNet20())
    model.description = model.description.replace(preprocessing=zoo.SMALL_IMAGES, class_names=tuple("0123456789"))
    zoo.save_packed(model, folder / "weights.safetensors")
    images = np.uint8(np.round(tf.image.resize(load_digits().images[:6, ..., None] * (255 / 16), (32, 32))))
    images = np.repeat(np.clip(images, 0, 255), 3, axis=-1)
    (folder / "images").mkdir()
    for i, image in enumerate(images):
        (folder / "images" / f"{i}.png").write_bytes(tf.io.encode_png(image).numpy())
    np.save(folder / "image.npy", images[0])
    return folder


@pytest.fixture(scope="module", params=MODULES)
def exported(request, digits) -> tuple[str, Path, str]:
    """A file of uint8 input with class names, and what the export printed."""
    pytest.importorskip(MODULES[request.param])
    path = digits / f"model{SUFFIXES[request.param]}"
    arguments = ["--weights", digits / "weights.safetensors", "--to", request.param, "--output", path]
    result = sdbnn("export", "ResNet20", *arguments, "--uint8", "--images", digits / "images")
    assert result.exit_code == 0, result.output
    return request.param, path, result.output


@pytest.mark.slow
def test_export_reports(exported):
    _, path, output = exported
    assert f"{path}: {path.stat().st_size:,} bytes" in output
    assert "18 1-bit layers agree exactly" in output
    assert "Top-1 agreement on the given images: " in output


@pytest.mark.slow
def test_inspect(exported):
    target, path, _ = exported
    result = sdbnn("inspect", path)
    assert result.exit_code == 0, result.output
    assert "18 1-bit convolutions with 98.9% of the multiply-accumulates" in result.output
    inspection = convert.inspect(path)
    binary = [operation for operation in inspection.operations if operation.precision == "1-bit" and operation.macs]
    macs = sum(operation.macs for operation in binary)
    assert macs == 40_108_032 if target == "openvino" else 40_108_032 < macs < 42_000_000  # LCE's: rows to crop, too
    assert sum(operation.bytes for operation in inspection.operations) < inspection.bytes


def test_exported_file_runs(exported, digits):
    target, path, _ = exported
    network = convert.ExportedModel(path)
    assert network.description == zoo.describe(digits / "weights.safetensors")
    assert zoo.describe(network) is network.description
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    outputs = network.predict(images)
    assert outputs.shape == (3, 10)
    np.testing.assert_array_equal(outputs[2:], network.predict(images[2:]))
    if target == "lce":  # the file's batch size may change
        from sdbnn_larq.convert.lce import file

        assert file.has_any_batch(path.read_bytes())
    result = sdbnn("predict", path, digits / "images" / "0.png")
    assert result.exit_code == 0, result.output
    assert "0.png: " in result.output


@pytest.mark.slow
def test_evaluate(exported, digits):
    _, path, _ = exported
    weights = ["--weights", digits / "weights.safetensors"]
    counts = []
    for arguments in ([path], ["ResNet20", *weights]):
        result = sdbnn("evaluate", *arguments, "--dataset", "Digits")
        assert result.exit_code == 0, result.output
        counts.append(int(result.output.split("(")[1].split()[0]))
    assert counts[0] == pytest.approx(counts[1], abs=5)  # of 180; one bit may flip within rounding of 0


@pytest.mark.slow
def test_signals_are_caught_after_two_networks_have_gone(exported):
    program = (
        "import signal, sys\n"
        "from sdbnn_larq.convert import ExportedModel\n"
        "signal.signal(signal.SIGINT, lambda *_: print('caught'))\n"
        "first, second = ExportedModel(sys.argv[1]), ExportedModel(sys.argv[1])\n"
        "del first, second\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    process = subprocess.run([sys.executable, "-c", program, exported[1]], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "caught\n"


def test_an_exported_file_runs_in_its_own_runtime(exported, digits):
    target, path, _ = exported
    image = digits / "images" / "0.png"
    assert sdbnn("predict", path, image, "--runtime", target).exit_code == 0
    (other,) = MODULES.keys() - {target}
    result = sdbnn("predict", path, image, "--runtime", other)
    assert result.exit_code == 2
    assert f"An exported file must run in {target}, its own runtime. Received: {other}." in result.stderr
    result = sdbnn("summary", path)
    assert result.exit_code == 2
    assert "which is exported; `sdbnn inspect` lists its operations." in result.stderr


@pytest.mark.parametrize(
    "bad", [np.zeros((1, 32, 32, 3)), np.zeros((1, 28, 32, 3), np.uint8), np.zeros((0, 32, 32, 3), np.uint8)]
)
def test_input_that_does_not_fit(exported, bad):
    with pytest.raises(ValueError, match=r"^`images` must be .* Received: .*$"):
        convert.ExportedModel(exported[1]).predict(bad)


@pytest.mark.parametrize("runtime", MODULES)
@pytest.mark.slow
def test_predict_gives_the_same_class_in_every_runtime(runtime, digits):
    pytest.importorskip(MODULES[runtime])
    arguments = ["--weights", digits / "weights.safetensors", *sorted((digits / "images").iterdir())]
    keras, other = (
        sdbnn("predict", "ResNet20", *arguments, "--top", 10, *more).output.splitlines()
        for more in ([], ["--runtime", runtime])
    )
    assert len(keras) == len(other) == 6
    clear = 0
    for line, same in zip(keras, other):
        (first, p), (_, q) = (part.split() for part in line.split(": ")[1].split(", ")[:2])
        if float(p[:-1]) - float(q[:-1]) > 5:  # %; one bit may flip within rounding of 0
            clear += 1
            assert same.split(": ")[1].startswith(f"{first} ")
    assert clear


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.slow
def test_folders_of_images(digits, tmp_path, depth):
    """A training folder: classes, perhaps splits above them, and what systems leave beside the images."""
    pytest.importorskip("openvino")
    folder = tmp_path.joinpath("images", *["train", "ape"][2 - depth :])
    folder.mkdir(parents=True)
    for i in range(3):
        shutil.copy(digits / "images" / f"{i}.png", folder / f"{i}.PNG")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "._0.png").write_bytes(b"\0\5\26\7")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "images" / ".git").mkdir()
    (tmp_path / "images" / ".git" / "x.png").write_bytes(b"")
    arguments = ["--weights", digits / "weights.safetensors", "--to", "openvino", "--output", tmp_path / "x.xml"]
    result = sdbnn("export", "ResNet20", *arguments, "--images", tmp_path / "images")
    assert result.exit_code == 0, result.output
    assert "Top-1 agreement on the given images" in result.output
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    result = sdbnn("export", "ResNet20", *arguments, "--images", tmp_path / "images")
    assert result.exit_code == 2
    assert "broken.jpg" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_many_images_are_thinned_out(tmp_path):
    for i in range(150):
        Image.new("RGB", (9, 9), (i, 0, 0)).save(tmp_path / f"{i:03d}.png")
    images = read_images([str(tmp_path)], zoo.describe("ResNet20/cifar10"), uint8=True)
    reds = [int(image[0, 0, 0]) for image in images]
    assert len(reds) == 64
    assert reds == sorted(reds)
    assert (reds[0], reds[-1]) == (0, 149)


@pytest.mark.slow
def test_names_and_batch_and_no_top(digits, tmp_path):
    pytest.importorskip("openvino")
    arguments = ["--weights", digits / "weights.safetensors", "--to", "openvino", "--output", tmp_path / "features.xml"]
    result = sdbnn("export", "ResNet20", *arguments, "--no-top", "--batch", 2, "--no-verify")
    assert result.exit_code == 0, result.output
    network = convert.ExportedModel(tmp_path / "features.xml")
    assert network.input_shape == (2, 32, 32, 3)
    assert network.predict(np.ones((3, 32, 32, 3), np.float32)).shape == (3, 8, 8, 64)
    assert network.description.arguments == {"include_top": False}
    assert network.description.class_names is None


def test_int8_changes_little(digits, tmp_path):
    """The stem in 8 bits: its output moves by less than a 50th of its range, and the file gets smaller."""
    pytest.importorskip("openvino")
    image = tf.keras.Input((32, 32, 3))
    x = tf.keras.layers.Conv2D(16, 7, 2, "same", activation="relu")(image)
    model = randomised(
        tf.keras.Model(image, tf.keras.layers.GlobalAveragePooling2D()(tf.keras.layers.Conv2D(32, 1)(x)))
    )
    images = np.random.default_rng(0).standard_normal((8, 32, 32, 3), np.float32)
    exact = convert.to_openvino(model, tmp_path / "exact.xml", images=images)
    small = convert.to_openvino(model, tmp_path / "small.xml", images=images, int8=True)
    assert small.files[str(tmp_path / "small.bin")] < 0.5 * exact.files[str(tmp_path / "exact.bin")]
    precisions = [operation.precision for operation in convert.inspect(tmp_path / "small.xml").operations]
    assert precisions.count("int8") == 2
    a, b = (convert.ExportedModel(tmp_path / name).predict(images) for name in ("exact.xml", "small.xml"))
    assert 0 < np.abs(a - b).max() < 0.02 * np.ptp(a)
    with pytest.raises(ValueError, match="With `int8`, `images` must be given"):
        convert.to_openvino(model, tmp_path / "none.xml", int8=True)


def test_int8_layers_that_share_an_input(tmp_path):
    """As the float twins' convolution and shortcut do. Each gets its own input's range, and none stays float."""
    pytest.importorskip("openvino")
    image = tf.keras.Input((16, 16, 3))
    wide = tf.keras.layers.Conv2D(8, 3, 2, "same")(image)
    x = tf.keras.layers.ReLU()(tf.keras.layers.Add()([wide, tf.keras.layers.Conv2D(8, 1, 2)(image)]))
    x = tf.keras.layers.GlobalAveragePooling2D()(tf.keras.layers.Conv2D(16, 3)(x))
    model = randomised(tf.keras.Model(image, tf.keras.layers.Dense(4, activation="softmax", name="logits")(x)))
    images = 30 * np.random.default_rng(0).standard_normal((8, 16, 16, 3), np.float32)
    convert.to_openvino(model, tmp_path / "small.xml", images=images, int8=True)
    operations = convert.inspect(tmp_path / "small.xml").operations
    assert [operation.precision for operation in operations].count("int8") == 4
    for before, after in zip(
        model.predict(images, verbose=0), convert.ExportedModel(tmp_path / "small.xml").predict(images)
    ):
        np.testing.assert_allclose(after, before, atol=0.05)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
def test_a_tflite_file_that_is_cut_is_refused(exported, share, tmp_path):
    """The interpreter would end the process."""
    target, path, _ = exported
    if target != "lce":
        pytest.skip("a .tflite file")
    content = path.read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"must be a whole \.tflite file"):
        convert.ExportedModel(tmp_path / "cut.tflite")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "ResNet20", "--to", "tflite", "--output", "x.tflite"], "tflite"),
        (["export", "ResNet20", "--to", "lce", "--output", "missing/x.tflite"], "missing/x.tflite"),
        (["export", "ResNet20", "--to", "lce", "--output", "x.xml"], "`path` must end in .tflite"),
        (["export", "ResNet20", "--to", "lce", "--int8", "--output", "x.tflite"], "--int8"),
        (["export", "ResNet20", "--to", "openvino", "--output", "x.xml", "--images", "none.png"], "none.png"),
        (
            ["export", "ResNet20", "--to", "openvino", "--output", "x.xml", "--images", "."],
            "--images must be images or",
        ),
        (["export", "x.tflite", "--to", "openvino", "--output", "x.xml"], "--weights"),
        (["inspect", "x.onnx"], "`path` must be a .tflite or .xml file"),
        (["predict", "x.xml", "image.png"], "`path` must be a .tflite or .xml file"),
        (["predict", "x.xml", "image.png", "--weights", "w.h5"], "--weights"),
        (["evaluate", "x.xml", "--weights", "w.h5"], "--weights"),
        (["evaluate", "ResNet20"], "--weights"),
        (["evaluate", "x.tflite", "--precision", "bf16"], "`precision` must be f32 but for an .xml file"),
    ],
)
@pytest.mark.slow
def test_bad_input_is_one_line_and_status_2(arguments, message, digits, tmp_path, monkeypatch):
    pytest.importorskip("larq_compute_engine")
    pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    weights = ["--weights", digits / "weights.safetensors"] if arguments[0] == "export" else []
    result = sdbnn(*arguments, *weights)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["broken.tflite", "broken.xml"])
def test_broken_file(name, tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("larq_compute_engine")
    (tmp_path / name).write_bytes(b"neither flatbuffer nor XML" * 9)
    result = sdbnn("inspect", tmp_path / name)
    assert result.exit_code == 2
    assert f"must be a whole {Path(name).suffix} file" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_missing_runtime_is_one_line(digits, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    arguments = ["--weights", digits / "weights.safetensors", "--to", "openvino", "--output", tmp_path / "x.xml"]
    result = sdbnn("export", "ResNet20", *arguments)
    assert result.exit_code == 2
    assert "pip install sdbnn_larq[openvino]" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def network_with_names(digits) -> Path:
    pytest.importorskip("openvino")
    model = zoo.ResNet20(weights=str(digits / "weights.safetensors"))
    names = {"preprocessing": zoo.SMALL_IMAGES, "class_names": NAMES}
    convert.to_openvino(model, digits / "named.xml", uint8=True, **names, verify=False)
    return digits / "named.xml"


def test_example_runs_without_tensorflow(network_with_names, digits, tmp_path):
    """In an environment that holds OpenVINO, NumPy and Pillow alone."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for module in ("openvino", "numpy", "PIL"):
        source = Path(util.find_spec(module).origin).parent
        (packages / module).symlink_to(source)
        for libraries in source.parent.glob("*.libs"):
            if not (packages / libraries.name).exists():
                (packages / libraries.name).symlink_to(libraries)
    python = tmp_path / "venv" / "bin" / "python"
    assert subprocess.run([python, "-I", "-c", "import tensorflow"], capture_output=True).returncode == 1
    paths = photographs(tmp_path)
    command = [python, "-I", EXAMPLES / "classify_openvino.py", network_with_names, *paths]
    process = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert process.returncode == 0, process.stderr
    network = convert.ExportedModel(network_with_names)
    outputs = network.predict(zoo.preprocess_input(paths, network))
    for path, ((name, share),) in zip(paths, zoo.decode_predictions(outputs, 1, network)):
        assert f"{path}: {name} {share:.1%}\n" in process.stdout


def photographs(folder: Path) -> list[Path]:
    """Images that are large, turned, grey, transparent, with a palette, of 16 bits, and of one pixel."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (61, 97, 3), np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    photo.save(folder / "turned.jpg", exif=turned)
    photo.resize((32, 32)).save(folder / "fits.png")
    photo.convert("L").save(folder / "grey.png")
    photo.quantize(16).save(folder / "palette.gif")
    photo.putalpha(Image.fromarray(np.arange(61 * 97, dtype=np.uint16).astype(np.uint8).reshape(61, 97)))
    photo.save(folder / "transparent.png")
    grey = Image.fromarray((np.arange(50 * 40, dtype=np.uint16) * 32).reshape(50, 40))
    grey.save(folder / "16bit.png")
    grey.save(folder / "16bit_transparent.png", transparency=49 * 40 * 32)
    photo.crop((0, 0, 1, 1)).save(folder / "pixel.png")
    return sorted(path for path in folder.iterdir() if path.is_file())


@pytest.mark.parametrize("preprocessing", [zoo.SMALL_IMAGES, zoo.PHOTOGRAPHS], ids=["small", "photographs"])
@pytest.mark.parametrize("size", [(32, 32), (48, 40), (97, 61)])
def test_example_sees_the_pixels_of_preprocess_input(preprocessing, size, tmp_path):
    pytest.importorskip("openvino")
    spec = util.spec_from_file_location("classify_openvino", EXAMPLES / "classify_openvino.py")
    example = util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for path in photographs(tmp_path):
        pixels = example.fit(example.read(path), size, preprocessing.crop, preprocessing.resample)
        np.testing.assert_array_equal(pixels, fit(read_image(path), size, preprocessing), err_msg=path.name)


def test_cpp_example(network_with_names, digits, tmp_path):
    folder = Path(util.find_spec("openvino").origin).parent
    library = next((folder / "libs").glob("libopenvino.so.*"), None)
    if shutil.which("g++") is None or library is None:
        pytest.skip("needs g++ and OpenVINO's libraries for Linux")
    options = [f"-I{folder / 'include'}", f"-L{folder / 'libs'}", f"-l:{library.name}", f"-Wl,-rpath,{folder / 'libs'}"]
    source = EXAMPLES / "classify_openvino.cpp"
    subprocess.run(["g++", "-std=c++17", source, "-o", tmp_path / "classify", *options], check=True)
    image = np.load(digits / "image.npy")
    (tmp_path / "image.raw").write_bytes(image.tobytes())
    command = [tmp_path / "classify", network_with_names]
    process = subprocess.run([*command, tmp_path / "image.raw"], capture_output=True, text=True, check=True)
    probabilities = convert.ExportedModel(network_with_names).predict(image[None])[0]
    number, probability = process.stdout.split()
    assert int(number) == probabilities.argmax()
    assert float(probability) == pytest.approx(probabilities.max(), rel=1e-4)
    process = subprocess.run([*command, network_with_names], capture_output=True, text=True)
    assert process.returncode == 2
    assert "must have the 3072 bytes" in process.stderr
