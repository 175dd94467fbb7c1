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

torch = pytest.importorskip("torch")
from torch_reference import torch_model  # noqa: E402
from torch_runs import TRAINER, pack, trainer, write_run  # noqa: E402

# isort: split
import networks  # noqa: E402
import side_by_side  # noqa: E402

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
    "twin": "--float-twin --mixup 0.2 --cutmix 1 --held-out 0.25",
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
        assert arrays["class_names"].tolist() == ["a", "b"]
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
    assert (run["network"], run["binary"], run["alpha"], run["class_names"]) == ("ResNet18", True, 0.5, ["a", "b"])
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
    pack(tmp_path / "data.npz", np.zeros((64, 3, 32, 32), np.uint8), np.arange(64) % 10)
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
        (["--learning-rate", "-1"], "learning_rate must be greater than 0 and finite. Received: -1.0."),
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
    small = np.zeros((4, 3, 32, 32), np.uint8)
    pack(tmp_path / "large.npz", np.zeros((4, 3, 64, 64), np.uint8), np.arange(4))
    pack(tmp_path / "small.npz", small, np.arange(4))
    pack(tmp_path / "float.npz", small.astype(np.float32), np.arange(4))
    pack(tmp_path / "negative.npz", small, np.arange(4) - 1)
    pack(tmp_path / "unnamed.npz", small, np.arange(4), "012")
    pack(tmp_path / "twice.npz", small, np.arange(4), "0123456789"[:4] + "0")
    np.savez(tmp_path / "other.npz", images=small, labels=np.arange(4))
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "small.npz").read_bytes()[:200])
    content = bytearray((tmp_path / "small.npz").read_bytes())
    content[2000] ^= 1  # inside the images
    (tmp_path / "flipped.npz").write_bytes(content)
    (tmp_path / "empty.npz").touch()
    with (tmp_path / "single.npz").open("wb") as file:
        np.save(file, small)
    twin = trainer.Recipe("ResNet20", binary=False)
    for name, class_names, images in (("other", "xyz", 4), ("part", "0123456789", 3)):
        net = networks.initialize(trainer.build_for(twin, len(class_names)))
        write_run(tmp_path / name, twin, net, class_names, images)
    larger = trainer.Recipe("ResNet18", binary=False, input_size=64)
    write_run(tmp_path / "photographs", larger, trainer.build_for(larger, 10), "0123456789", 4)
    monkeypatch.setattr(trainer, "train", None)
    for data, teacher, held_out, message in (
        ("large", None, 0, "Images for ResNet20 must be 32×32. Received: 64×64."),
        ("small", None, 0.1, "--held-out must be at least one of 4 images. Received: 0.1."),
        ("small", tmp_path / "part", 0, "--teacher must be of the same 4 images. Received: 3."),
        ("small", tmp_path / "other", 0, "in the same order. Received: 3, with class 0 'x', not '0'."),
        ("small", tmp_path / "photographs", 0, "images of 32 pixels. Received: a ResNet18 for 64."),
        ("other", None, 0, "A packed file must have images, labels and class_names."),
        ("unnamed", None, 0, "must have different class_names, one for each label. Received: "),
        ("twice", None, 0, "must have different class_names, one for each label. Received: "),
        ("float", None, 0, "must have uint8 images (N, 3, height, width) and N labels from 0 on. Received: "),
        ("negative", None, 0, "must have uint8 images (N, 3, height, width) and N labels from 0 on. Received: "),
        *((name, None, 0, "A packed file must be whole.") for name in ("damaged", "flipped", "empty", "single")),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            trainer.run(trainer.Recipe("ResNet20"), tmp_path / f"{data}.npz", tmp_path / "run", teacher, held_out)


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


@pytest.mark.slow
@pytest.mark.parametrize("size", [65, 72, 100, 112])
def test_sizes_that_strides_do_not_divide(size, tmp_path, float64):
    net = networks.initialize(networks.build("ResNet18")).eval()
    np.savez(tmp_path / "weights.npz", **trainer.state_of(net))
    with floatx("float64"):
        model = zoo.ResNet18(num_classes=10, input_shape=(size, size, 3), classifier_activation=None)
    convert.load_torch_checkpoint(model, tmp_path / "weights.npz")
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = net(x).numpy()
    outputs = model(x.numpy().transpose(0, 2, 3, 1), training=False)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


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
