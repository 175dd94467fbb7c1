"""The trainer in PyTorch, on a processor: the authors' networks and gradients, and weights that Keras takes."""

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from authors_weights import floatx
from PIL import Image

from sdbnn_larq import convert, zoo
from sdbnn_larq.preprocessing import read_image

torch = pytest.importorskip("torch")
TRAINER = Path(__file__).parent.parent / "training/gpu"
sys.path.insert(0, str(TRAINER))
import images as gpu_images  # noqa: E402
import networks  # noqa: E402
import side_by_side  # noqa: E402
import train as trainer  # noqa: E402
from torch_reference import torch_model  # noqa: E402

NETWORKS = {"ResNet20": 32, "VGGSmall": 32, "CifarResNet18": 32, "ResNet18": 64}


@pytest.fixture(autouse=True)
def torch_seed():
    torch.manual_seed(0)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("large", [16.0, 16.6, 17.0, 40.0])
def test_an_activation_of_minus_1_keeps_its_sign(large):
    shift = networks.Shift(16, 16)
    for layer, value in ((shift.fc[0], -1 / 16), (shift.fc[2], large)):
        torch.nn.init.constant_(layer.weight, value)
    x = -torch.ones(2, 16, 3, 3)
    assert ((x + shift(x) < 0) & (x + shift(x) > -2e-7)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_as_the_authors(name, float64):
    """The reference has the signs as custom functions, the trainer as surrogates."""
    reference = torch_model(name, k=4.0, t=0.25).double().train()
    classes = 1000 if name == "ResNet18" else 10
    net = networks.build(name, classes=classes).train()
    net.load_state_dict(reference.state_dict())
    networks.set_sharpness(net, 4.0, 0.25)
    x = torch.randn(4, 3, NETWORKS[name], NETWORKS[name])
    outputs = [module(x) for module in (reference, net)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        torch.nn.functional.cross_entropy(output, torch.arange(4)).backward()
    expected = dict(reference.named_parameters())
    for key, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[key].grad, rtol=1e-9, atol=1e-14)
    trainer.check_gradients(net)


def test_a_kernel_without_gradient_is_noticed():
    net = networks.initialize(networks.build("ResNet20"))
    net(torch.randn(2, 3, 32, 32)).sum().backward()
    trainer.check_gradients(net)
    kept = net.layer1[0].conv1.weight.grad
    net.layer1[0].conv1.weight.grad = torch.zeros_like(kept)
    with pytest.raises(ArithmeticError, match=r"Received: none for layer1\.0\.conv1\.weight\."):
        trainer.check_gradients(net)
    net.layer1[0].conv1.weight.grad = kept
    for name, parameter in net.named_parameters():
        if "dybeta" in name:
            parameter.grad = None
    with pytest.raises(ArithmeticError, match=r"none for layer1\.0\.conv1\.dybeta\.fc\.0\.weight"):
        trainer.check_gradients(net)


RUNS = {
    "student": "--teacher twin --alpha 0.5 --held-out 0.25",
    "twin": "--float-twin --mixup 0.2 --held-out 0.25",
    "unshifted": "--self-distribution none",
    "kernels": "--self-distribution weight",
    "too-large": "--batch-size 17",
    "untaught": "--teacher too-large --alpha 0.5",
}


@pytest.mark.slow
def test_training(tmp_path):
    """As a user runs it, side by side; Keras computes what the trained networks do."""
    draw = np.random.RandomState(0)
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(8):
            picture = draw.randint(0, 256, (80, 80, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / "photos" / label / f"{i}.png")
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads of parallel tests would wait for each other
    packed, runs = tmp_path / "photos.npz", tmp_path / "runs"
    pack = [sys.executable, TRAINER / "images.py", tmp_path / "photos", packed, "--size", "72"]
    subprocess.run(pack, check=True, env=one_thread)
    with np.load(packed) as arrays:
        assert (arrays["images"].shape, arrays["labels"].tolist()) == ((16, 3, 72, 72), [0] * 8 + [1] * 8)
    common = "ResNet18 --epochs 2 --batch-size 4 --input-size 64"
    lines = "".join(f"{name} {common} {options}\n" for name, options in RUNS.items())
    (tmp_path / "runs.txt").write_text(f"# Runs\n\n{lines}")
    command = [sys.executable, TRAINER / "side_by_side.py", tmp_path / "runs.txt", "--data", packed, "--output", runs]
    done = subprocess.run([*command, "--workers", "2"], env=one_thread, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "All runs must end. Received: too-large, untaught did not" in done.stderr
    assert "untaught: not started, as too-large is not trained" in done.stdout
    assert "A batch must not exceed the 16 images. Received: 17." in (runs / "too-large.log").read_text()

    run = json.loads((runs / "student/run.json").read_text())
    assert (run["network"], run["binary"], run["alpha"], run["classes"]) == ("ResNet18", True, 0.5, 2)
    assert (run["images"], run["held_out_images"]) == (12, 4)
    assert run["held_out_accuracy"] in (0, 0.25, 0.5, 0.75, 1)
    with (runs / "student/history.csv").open() as file:
        assert [float(row["lr"]) for row in csv.DictReader(file)] == pytest.approx([2e-3, 1e-3])
    x = torch.randn(4, 3, 64, 64, dtype=torch.float64)  # float32 rounds some activations to the other side of 0
    shifts = {"student": "both", "unshifted": None, "kernels": "weight"}
    for folder in ("twin", *shifts):
        options = {"self_distribution": shifts[folder]} if folder in shifts else {"binary": False}
        net = trainer.load(runs / folder, "cpu").double().eval()
        with floatx("float64"):
            model = zoo.ResNet18(num_classes=2, input_shape=(64, 64, 3), classifier_activation=None, **options)
        convert.load_torch_checkpoint(model, runs / folder / "weights.npz")
        with torch.no_grad():
            expected = net(x).numpy()
        outputs = model(x.numpy().transpose(0, 2, 3, 1), training=False)
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a ResNet20", "a ResNet18"], "names of their own, without folders. Received: 'a'."),
        (["a/b ResNet20"], "names of their own, without folders. Received: 'a/b'."),
        (["a ResNet20 --teacher=b"], "The teacher of a must be one of the runs. Received: 'b'."),
        (["a 'ResNet20"], "No closing quotation"),
        (["a ResNet20 --output=b"], "A run's line must leave out --data and --output. Received: a with --output."),
    ],
)
def test_lists_of_runs_are_checked_first(lines, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        side_by_side.read_jobs(lines, tmp_path)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_stopping_stops_all(tmp_path):
    np.savez(tmp_path / "data.npz", images=np.zeros((64, 3, 32, 32), np.uint8), labels=np.arange(64) % 10)
    (tmp_path / "runs.txt").write_text("one ResNet20 --epochs 100000 --batch-size 8\ntwo ResNet20 --epochs 100000\n")
    command = [sys.executable, TRAINER / "side_by_side.py", tmp_path / "runs.txt", "--workers", "1"]
    command += ["--data", tmp_path / "data.npz", "--output", tmp_path / "runs"]
    process = subprocess.Popen(command)
    log = tmp_path / "runs/one.log"
    wait_for(lambda: log.exists() and processes_with(tmp_path / "runs/one"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert not processes_with(tmp_path / "runs/one")
    assert not (tmp_path / "runs/two.log").exists()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def processes_with(argument):
    """Whether any process has it in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if os.fsencode(argument) in path.read_bytes().split(b"\0"):
                return True
    return False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "0.5"], "--teacher needs an --alpha above 0, and the other way round. Received: --alpha 0.5."),
        (["--output", "."], "--output must not hold a run. Received: '.'."),
        (["--output", "run.json/new"], "Not a directory: 'run.json/new'"),
        (["--epochs", "0"], "epochs must be at least 1. Received: 0."),
        (["--learning-rate", "-1"], "learning_rate must be greater than 0. Received: -1.0."),
        (["--mixup", "-1"], "mixup must be 0 or more. Received: -1.0."),
        (["--alpha", "2", "--teacher", "twin"], "alpha must be from 0 to 1. Received: 2.0."),
        (["--held-out", "1"], "--held-out must be at least 0 and below 1. Received: 1.0."),
        ([], "No such file or directory: 'photos'"),
    ],
)
def test_errors(arguments, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "run.json").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py", "ResNet18", "--data", "photos", "--output", "new", *arguments])
    with pytest.raises(SystemExit, match="2"):
        trainer.main()
    assert message in capsys.readouterr().err


def test_what_is_not_fit_to_train_is_refused(tmp_path, monkeypatch):
    """In one line, and before it trains."""
    np.savez(tmp_path / "large.npz", images=np.zeros((4, 3, 64, 64), np.uint8), labels=np.arange(4))
    np.savez(tmp_path / "small.npz", images=np.zeros((4, 3, 32, 32), np.uint8), labels=np.arange(4))
    np.savez(tmp_path / "other.npz", pictures=np.zeros(4))
    np.savez(tmp_path / "float.npz", images=np.zeros((4, 3, 32, 32), np.float32), labels=np.arange(4))
    np.savez(tmp_path / "negative.npz", images=np.zeros((4, 3, 32, 32), np.uint8), labels=np.arange(4) - 1)
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "small.npz").read_bytes()[:200])
    twin = trainer.Recipe("ResNet20", binary=False)
    net = networks.initialize(trainer.build_for(twin, 9))
    trainer.write(tmp_path / "twin", twin, net, [{"accuracy": 0.5, "seconds": 1.0}], images=4, classes=9)
    monkeypatch.setattr(trainer, "train", None)
    for data, teacher, held_out, message in (
        ("large", None, 0, "Images for ResNet20 must be 32×32. Received: 64×64."),
        ("small", None, 0.1, "--held-out must be at least one of 4 images. Received: 0.1."),
        ("small", tmp_path / "twin", 0, "must be of the same 4 images, 4 classes. Received: 4 images, 9 classes."),
        ("other", None, 0, "A packed file must have images and labels."),
        ("float", None, 0, "must have uint8 images (N, 3, height, width) and N labels from 0 on. Received: "),
        ("negative", None, 0, "must have uint8 images (N, 3, height, width) and N labels from 0 on. Received: "),
        ("damaged", None, 0, "A packed file must be whole."),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            trainer.run(trainer.Recipe("ResNet20"), tmp_path / f"{data}.npz", tmp_path / "run", teacher, held_out)


def test_a_run_of_other_classes_is_refused(tmp_path):
    """Whatever the test set, nothing is written for classes that it does not have."""
    net = networks.initialize(networks.build("ResNet20", classes=3))
    row = {"loss": 1.0, "accuracy": 0.5, "seconds": 1.0}
    trainer.write(tmp_path / "run", trainer.Recipe("ResNet20"), net, [row], images=9, classes=3)
    command = [sys.executable, TRAINER / "to_run.py", tmp_path / "run", "--output", tmp_path / "new"]
    done = subprocess.run([*command, "--dataset", "Digits"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "must be 3 names, one for each class. Received: class_names='10 names'." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_run_for_keras(tmp_path):
    """With the report and the history that a model card takes."""
    net = networks.initialize(networks.build("ResNet20"))
    history = [{"epoch": epoch, "loss": 1.0, "accuracy": 0.5, "lr": 0.1, "seconds": 1.5} for epoch in range(2)]
    trainer.write(tmp_path / "run", trainer.Recipe("ResNet20", epochs=2), net, history, images=9, classes=10)
    command = [sys.executable, TRAINER / "to_run.py", tmp_path / "run", "--output", tmp_path / "new"]
    subprocess.run([*command, "--dataset", "Digits"], check=True)
    report = json.loads((tmp_path / "new/report.json").read_text())
    assert (report["epochs"], report["seconds"], report["test_images"]) == (2, 3.0, 359)
    model = zoo.load(tmp_path / "new/weights.safetensors", "ResNet20")
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = net.eval()(x).softmax(1).numpy()
    # Rounding turns signs of activations near 0.
    difference = np.abs(model(x.numpy().transpose(0, 2, 3, 1), training=False) - expected)
    assert np.median(difference) < 1e-3


@pytest.mark.parametrize("name", ["ResNet20", "VGGSmall", "CifarResNet18"])
def test_a_teacher_may_have_relu(name):
    images = torch.randn(2, 3, 32, 32)
    nets = [networks.initialize(networks.build(name, binary=False, relu=relu)).eval() for relu in (False, True)]
    nets[1].load_state_dict(nets[0].state_dict())
    activations = [
        [type(m) for m in net.modules() if isinstance(m, (torch.nn.Hardtanh, torch.nn.ReLU))] for net in nets
    ]
    assert activations[1] == [torch.nn.ReLU] * len(activations[0])
    with torch.no_grad():
        assert not torch.allclose(nets[0](images), nets[1](images))


def test_relu_is_of_float_networks(tmp_path):
    for name, binary in (("ResNet20", True), ("ResNet18", False)):
        with pytest.raises(ValueError, match=rf"Received: {name}, binary={binary}\."):
            networks.build(name, binary=binary, relu=True)
    recipe = trainer.Recipe("ResNet20", binary=False, relu=True)
    net = networks.initialize(trainer.build_for(recipe, 10))
    trainer.write(tmp_path / "run", recipe, net, [{"accuracy": 0.5, "seconds": 1.0}], images=9, classes=10)
    assert any(isinstance(module, torch.nn.ReLU) for module in trainer.load(tmp_path / "run", "cpu").modules())
    command = [sys.executable, TRAINER / "to_run.py", tmp_path / "run", "--output", tmp_path / "new"]
    done = subprocess.run([*command, "--dataset", "Digits"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "A run must be of a network that the zoo has." in done.stderr


def test_a_teacher_is_evaluated_in_pytorch(tmp_path):
    """With ReLU, which the zoo does not have."""
    recipe = trainer.Recipe("ResNet20", binary=False, relu=True)
    net = networks.initialize(trainer.build_for(recipe, 3)).eval()
    trainer.write(tmp_path / "run", recipe, net, [{"accuracy": 0.5, "seconds": 1.0}], images=9, classes=3)
    pixels, labels = np.random.RandomState(0).randint(0, 256, (40, 3, 32, 32), np.uint8), np.arange(40) % 3
    np.savez(tmp_path / "images.npz", images=pixels, labels=labels)
    command = [sys.executable, TRAINER / "evaluate.py", tmp_path / "run", "--data"]
    done = subprocess.run([*command, tmp_path / "images.npz"], capture_output=True, text=True, check=True)
    with torch.no_grad():
        chosen = net(gpu_images.normalize(torch.from_numpy(pixels))).argmax(1).numpy()
    assert done.stdout == f"ResNet20: {(chosen == labels).mean():.2%} of 40 images\n"
    np.savez(tmp_path / "two.npz", images=pixels, labels=labels % 2)
    done = subprocess.run([*command, tmp_path / "two.npz"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Images must be of 3 classes. Received: 2." in done.stderr
    np.savez(tmp_path / "large.npz", images=np.zeros((3, 3, 64, 64), np.uint8), labels=np.arange(3))
    done = subprocess.run([*command, tmp_path / "large.npz"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Images for ResNet20 must be 32×32. Received: 64×64." in done.stderr


def test_signs_are_kept():
    """What is written has the signs that were trained, Weight Self-Distribution's shift included."""
    net = networks.initialize(networks.build("ResNet20"))
    with torch.no_grad():
        net.layer1[0].conv1.weight.add_(0.3)
    net.eval()
    written = networks.build("ResNet20").eval()
    state = trainer.state_of(net)
    assert state["layer1.0.conv1.weight"].dtype == np.int8
    written.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(written(x), net(x), rtol=0, atol=0)


def test_mixup():
    """Images and targets are mixed alike, each image with its partner by a share of its own."""
    count = torch.arange(8.0)
    images, targets = count[:, None, None, None].expand(8, 3, 4, 4), torch.eye(8)
    mixed_images, mixed_targets = trainer.mixed(images, targets, 0.4)
    torch.testing.assert_close(mixed_images, (mixed_targets @ count)[:, None, None, None].expand(8, 3, 4, 4))
    share, of_partner = mixed_targets.diagonal(), mixed_targets.flip(1).diagonal()
    torch.testing.assert_close(share + of_partner, torch.ones(8))
    assert share.unique().numel() == 8
    assert share.min() >= 0
    assert trainer.mixed(images, targets, 0)[0] is images


def test_photographs_are_read_upright_and_leftovers_are_not(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (24, 24, 3)).astype(np.uint8)
    for name in ("cat", "dog", ".cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".DS_Store").write_bytes(b"")
        turned = Image.Exif()
        turned[274] = 6  # orientation
        Image.fromarray(pixels).save(tmp_path / name / "0.png", exif=turned)
    images, labels = gpu_images.read(tmp_path)
    assert labels.tolist() == [0, 1]
    np.testing.assert_array_equal(images[0].numpy().transpose(1, 2, 0), read_image(tmp_path / "cat" / "0.png"))
    assert not np.array_equal(images[0].numpy().transpose(1, 2, 0), pixels)


def test_windows_of_photographs():
    """A window, resized as Pillow resizes the cropped photograph, up to Pillow's rounding between its two passes."""
    pixels = np.random.RandomState(0).randint(0, 256, (9, 9, 3), np.uint8)
    photo = Image.fromarray(pixels).resize((224, 224), Image.Resampling.BICUBIC)
    resize = gpu_images.Photographs(128, 0.35)
    images = gpu_images.stacked([np.asarray(photo)])
    for top, left, height, width in ((14, 14, 196, 196), (10, 33, 101, 170), (0, 0, 224, 224)):
        rows = resize.weights(torch.tensor([[float(top)]]), torch.tensor([[float(height)]]), 224)
        columns = resize.weights(torch.tensor([[float(left)]]), torch.tensor([[float(width)]]), 224)
        found = resize.resized(images, rows, columns)
        cut = photo.crop((left, top, left + width, top + height)).resize((128, 128), Image.Resampling.BICUBIC)
        expected = gpu_images.normalize(gpu_images.stacked([np.asarray(cut)]))
        assert (found - expected).abs().max() < 2 / 255 / min(gpu_images.DEVIATION)
        if (top, height) == (14, 196):  # 224 of 256 parts
            assert (resize.evaluate(images) - expected).abs().max() < 2 / 255 / min(gpu_images.DEVIATION)
    assert resize.train(images.repeat(5, 1, 1, 1)).shape == (5, 3, 128, 128)


def test_shifts_and_flips():
    """Each pixel of an augmented image is one of the image's, or black."""
    images = torch.arange(1, 2 * 3 * 4 * 4 + 1, dtype=torch.uint8).view(2, 3, 4, 4)
    augmented = gpu_images.SmallImages(1).train(images)
    black = gpu_images.normalize(torch.zeros(1, 3, 1, 1, dtype=torch.uint8))
    allowed = torch.cat([gpu_images.normalize(images).flatten(2), black.expand(2, 3, 1, 1).flatten(2)], 2)
    for one, values in zip(augmented.flatten(0, 1), allowed.flatten(0, 1)):
        assert torch.isin(one, values).all()
    torch.testing.assert_close(
        gpu_images.SmallImages(0).train(images)[0].sort(-1)[0], gpu_images.normalize(images)[0].sort(-1)[0]
    )
