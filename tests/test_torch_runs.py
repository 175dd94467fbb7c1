"""What becomes of runs of the trainer in PyTorch: tests in Keras and in PyTorch, and weights with names of classes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import write_images

from sdbnn_larq import zoo
from sdbnn_larq.training.photo_datasets import WORDNET
from sdbnn_larq.weights import PHOTOGRAPHS, read_description

torch = pytest.importorskip("torch")
from torch_runs import TRAINER, pack, trainer, write_run  # noqa: E402

# isort: split
import images as gpu_images  # noqa: E402
import networks  # noqa: E402
import to_run  # noqa: E402


@pytest.fixture(autouse=True)
def torch_seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("class_names", "message"),
    [
        ("abc", "`dataset` must have the model's 3 classes. Received: Digits with 10."),
        ("abcdefghij", "`dataset` must have the model's classes. Received: Digits, whose class 0 is '0', not 'a'"),
        (None, "A run must say its class_names; earlier versions did not. Received: "),
    ],
)
def test_a_run_of_other_classes_is_refused(class_names, message, tmp_path):
    """Whatever the test set, nothing is written for classes that it does not have."""
    net = networks.initialize(networks.build("ResNet20", classes=len(class_names or "0123456789")))
    write_run(tmp_path / "run", trainer.Recipe("ResNet20"), net, class_names or "")
    if class_names is None:
        run = json.loads((tmp_path / "run/run.json").read_text())
        del run["class_names"]
        (tmp_path / "run/run.json").write_text(json.dumps(run))
    command = [sys.executable, TRAINER / "to_run.py", tmp_path / "run", "--output", tmp_path / "new"]
    done = subprocess.run([*command, "--dataset", "Digits"], capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_run_for_keras(tmp_path):
    """With the report and the history that a model card takes."""
    net = networks.initialize(networks.build("ResNet20"))
    history = [{"epoch": epoch, "loss": 1.0, "accuracy": 0.5, "lr": 0.1, "seconds": 1.5} for epoch in range(2)]
    names = list("0123456789")
    trainer.write(tmp_path / "run", trainer.Recipe("ResNet20", epochs=2), net, history, images=9, class_names=names)
    command = [sys.executable, TRAINER / "to_run.py", tmp_path / "run", "--output", tmp_path / "new"]
    subprocess.run([*command, "--dataset", "Digits"], check=True)
    report = json.loads((tmp_path / "new/report.json").read_text())
    assert (report["epochs"], report["seconds"], report["test_images"]) == (2, 3.0, 359)
    again = subprocess.run([*command, "--dataset", "Digits"], capture_output=True, text=True)
    assert "--output must not hold a run. Received: " in again.stderr
    model = zoo.load(tmp_path / "new/weights.safetensors", "ResNet20")
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = net.eval()(x).softmax(1).numpy()
    # Rounding turns signs of activations near 0.
    difference = np.abs(model(x.numpy().transpose(0, 2, 3, 1), training=False) - expected)
    assert np.median(difference) < 1e-3


def test_classes_in_another_order(tmp_path):
    """The run says which output is which class, not the test set."""
    net = networks.initialize(networks.build("ResNet20")).eval()
    reports = []
    for name, class_names in (("run", "0123456789"), ("turned", "9876543210")):
        write_run(tmp_path / name, trainer.Recipe("ResNet20"), net, class_names)
        to_run.write_run(tmp_path / name, tmp_path / f"{name}-keras", "Digits", ())
        reports.append(json.loads((tmp_path / f"{name}-keras/report.json").read_text()))
        assert read_description(tmp_path / f"{name}-keras/weights.safetensors").class_names == tuple(class_names)
        for parameter in net.linear.parameters():
            parameter.data = parameter.flip(0)
    assert reports[0]["test_accuracy"] == reports[1]["test_accuracy"]


def test_folders_with_numbers_are_imagenettes_classes(tmp_path):
    """As the archives call them; their order is not that of the names."""
    photographs = tmp_path / "imagenette"
    for part in ("train", "val"):
        for number in WORDNET:
            write_images(photographs / part / number, 2, size=(40, 40))
    recipe = trainer.Recipe("ResNet18", input_size=32)
    _, _, class_names = gpu_images.read(photographs / "train")
    write_run(tmp_path / "run", recipe, networks.initialize(networks.build("ResNet18", classes=10)), class_names)
    to_run.write_run(tmp_path / "run", tmp_path / "new", "Imagenette", (f"directory={photographs}",))
    description = read_description(tmp_path / "new/weights.safetensors")
    assert description.preprocessing == PHOTOGRAPHS  # whatever the size
    assert description.class_names == tuple(WORDNET[number] for number in sorted(WORDNET))


def test_relu_is_of_float_networks(tmp_path):
    for name, binary in (("ResNet20", True), ("ResNet18", False)):
        with pytest.raises(ValueError, match=rf"Received: {name}, binary={binary}\."):
            networks.build(name, binary=binary, relu=True)
    recipe = trainer.Recipe("ResNet20", binary=False, relu=True)
    net = networks.initialize(trainer.build_for(recipe, 10))
    write_run(tmp_path / "run", recipe, net, "0123456789")
    assert any(isinstance(module, torch.nn.ReLU) for module in trainer.load(tmp_path / "run", "cpu").modules())
    command = [sys.executable, TRAINER / "to_run.py", tmp_path / "run", "--output", tmp_path / "new"]
    done = subprocess.run([*command, "--dataset", "Digits"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "A run must be of a network that the zoo has." in done.stderr


def test_a_teacher_is_evaluated_in_pytorch(tmp_path):
    """With ReLU, which the zoo does not have."""
    recipe = trainer.Recipe("ResNet20", binary=False, relu=True)
    net = networks.initialize(trainer.build_for(recipe, 3)).eval()
    write_run(tmp_path / "run", recipe, net, "abc")
    pixels, labels = np.random.RandomState(0).randint(0, 256, (40, 3, 32, 32), np.uint8), np.arange(40) % 3
    pack(tmp_path / "images.npz", pixels, labels, "abc")
    command = [sys.executable, TRAINER / "evaluate.py", tmp_path / "run", "--data"]
    done = subprocess.run([*command, tmp_path / "images.npz"], capture_output=True, text=True, check=True)
    with torch.no_grad():
        chosen = net(gpu_images.normalize(torch.from_numpy(pixels))).argmax(1).numpy()
    assert done.stdout == f"ResNet20: {(chosen == labels).mean():.2%} of 40 images\n"
    pack(tmp_path / "turned.npz", pixels, labels, "cba")
    done = subprocess.run([*command, tmp_path / "turned.npz"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "in the same order. Received: 3, with class 0 'c', not 'a'." in done.stderr
    pack(tmp_path / "large.npz", np.zeros((3, 3, 64, 64), np.uint8), np.arange(3), "abc")
    done = subprocess.run([*command, tmp_path / "large.npz"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Images for ResNet20 must be 32×32. Received: 64×64." in done.stderr
