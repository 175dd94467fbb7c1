"""Checkpoints in the authors' layout: exact, complete, and refused when they are anything else."""

import argparse
import ast
import os
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from golden_rule import draw, golden_input

from sdbnn_larq import convert, zoo
from sdbnn_larq.cli import main
from sdbnn_larq.weights.names import named_weights

GOLDEN = np.load(Path(__file__).parent / "golden" / "resnet20.npz")
KEYS = {str(key): ast.literal_eval(shape) for key, shape in zip(GOLDEN["keys"], GOLDEN["shapes"])}


@pytest.fixture(scope="module")
def model():
    return zoo.ResNet20(classifier_activation=None)


@pytest.fixture
def state():
    return {key: draw(key, shape) for key, shape in KEYS.items()}


def write_torch(path, state):
    torch = pytest.importorskip("torch")
    tensors = {key: torch.tensor(value) for key, value in state.items()}
    torch.save({"epoch": 3, "best_prec1": torch.tensor(86.9), "state_dict": tensors}, path)
    return path


def write_npz(path, state):
    np.savez(path, **state)
    return path


@pytest.mark.parametrize("name", ["mapping", "prefix", "a.npz", "a.pth", "a.th", "a.pth.tar"])
def test_golden_logits(tmp_path, model, state, name):
    for weight in named_weights(model).values():
        weight.assign(np.zeros(weight.shape))
    source = state
    if name == "prefix":
        source = {f"module.{key}": value for key, value in state.items()}
    elif name.startswith("a."):
        source = (write_npz if name == "a.npz" else write_torch)(tmp_path / name, state)
    unused = convert.load_torch_checkpoint(model, source)
    assert all(key.endswith("num_batches_tracked") for key in unused)
    np.testing.assert_allclose(model(golden_input()), GOLDEN["logits_eval"], rtol=1e-5, atol=1e-6)


def test_names_and_shapes_are_those_of_the_authors(model):
    assert set(convert.to_torch_state_dict(model, prefix="module.")) == {f"module.{key}" for key in KEYS}
    state = convert.to_torch_state_dict(model)
    assert {key: value.shape for key, value in state.items()} == KEYS


@pytest.mark.parametrize("options", [{}, {"binary_weights": False}, {"binary": False}], ids=str)
@pytest.mark.parametrize("name", zoo.list_models())
@pytest.mark.slow
def test_round_trip(name, options):
    model = zoo.get_model(name, **options)
    r = np.random.RandomState(0)
    before = {key: r.standard_normal(w.shape).astype(np.float32) for key, w in named_weights(model).items()}
    before |= {key: np.abs(value) for key, value in before.items() if key.endswith("moving_variance")}
    for key, weight in named_weights(model).items():
        weight.assign(before[key])
    state = convert.to_torch_state_dict(model)
    for weight in named_weights(model).values():
        weight.assign(np.zeros(weight.shape))
    convert.load_torch_checkpoint(model, state)
    for key, weight in named_weights(model).items():
        np.testing.assert_array_equal(weight, before[key], err_msg=key)


def test_teacher_in_the_layout_of_torchvision():
    model = zoo.FloatResNet34()
    state = convert.to_torch_state_dict(model)
    counters = [key for key in state if key.endswith("num_batches_tracked")]
    assert len(state) - len(counters) == 182
    assert sum(value.size for key, value in state.items() if "running" not in key) - len(counters) == 21_797_672
    assert state["layer4.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    assert convert.load_torch_checkpoint(model, state) == sorted(counters)


def test_error_names_the_first_of_many_problems():
    with pytest.raises(ValueError, match=r"missing conv0.weight, missing bn0.weight, .* and \d+ more\.$") as error:
        convert.load_torch_checkpoint(zoo.VGGSmall(), {"other.weight": np.zeros(3)})
    assert len(str(error.value)) < 200


def test_one_error_names_all_that_does_not_fit(model, state):
    before = [weight.numpy() for weight in model.weights]
    del state["bn1.bias"]
    state["other.weight"] = np.zeros(3)
    state["linear.bias"] = np.zeros(11)
    with pytest.raises(ValueError, match=r"missing bn1.bias, surplus other.weight, linear.bias of shape") as error:
        convert.load_torch_checkpoint(model, state)
    assert "\n" not in str(error.value)
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(weight, value)


def test_alpha_is_unused_by_float_weights_and_named(state):
    unused = convert.load_torch_checkpoint(zoo.ResNet20(binary_weights=False), state)
    assert "layer1.0.conv1.alpha" in unused


def test_alpha_is_surplus_to_a_network_of_1_bit_weights_without_it(state):
    with pytest.raises(ValueError, match=r"surplus layer1\.0\.conv1\.alpha"):
        convert.load_torch_checkpoint(zoo.ResNet20(self_distribution="activation"), state)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("linear.weight", np.nan, "linear.weight that is not finite"),
        ("bn1.weight", 1e300, "bn1.weight that is not finite"),
        ("bn1.running_var", -1.0, "bn1.running_var below 0"),
    ],
)
def test_impossible_numbers_are_refused(model, state, key, value, message):
    before = [weight.numpy() for weight in model.weights]
    state[key] = np.array(state[key], np.float64)
    state[key].flat[1] = value
    with pytest.raises(ValueError, match=message):
        convert.load_torch_checkpoint(model, state)
    for weight, old in zip(model.weights, before):
        np.testing.assert_array_equal(weight, old)


def test_entry_with_and_without_prefix(model, state):
    state["module.conv1.weight"] = state["conv1.weight"]
    with pytest.raises(ValueError, match="each entry once"):
        convert.load_torch_checkpoint(model, state)


WRAPPED = {
    "net beside numbers": lambda state: {"net": state, "acc": 91.0, "epoch": 3},
    "model": lambda state: {"model": state},
    "an unheard-of key": lambda state: {"weights_of_the_student": state},
    "nested": lambda state: {"epoch": 3, "checkpoint": {"model": {"state_dict": state, "step": 7}}},
    "beside an optimizer": lambda state: {"optimizer": {"state": {0: {"step": 1}}, "lr": 0.1}, "state_dict": state},
    "beside its average": lambda state: {"ema": dict(state), "model": state},
    "beside a teacher": lambda state: {"teacher": {"fc.weight": np.zeros((2, 3))}, "student": state},
    "torch.compile": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "DataParallel of torch.compile": lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    "torch.compile of DataParallel": lambda state: {f"_orig_mod.module.{key}": value for key, value in state.items()},
    "compiled blocks": lambda state: {key.replace("layer1.", "layer1._orig_mod."): v for key, v in state.items()},
    "Lightning": lambda state: {"state_dict": {f"model.net.{key}": value for key, value in state.items()}},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("suffix", ["", ".pth"])
def test_wrappers(tmp_path, model, state, wrap, suffix):
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    source = wrap(state)
    if suffix:
        torch = pytest.importorskip("torch")
        source = wrap({key: torch.tensor(value) for key, value in state.items()})
        torch.save(source, tmp_path / "a.pth")
        source = tmp_path / "a.pth"
    convert.load_torch_checkpoint(model, source)
    np.testing.assert_allclose(model(golden_input()), GOLDEN["logits_eval"], rtol=1e-5, atol=1e-6)


def test_weights_of_two_networks_are_refused(model, state):
    with pytest.raises(ValueError, match=r"the weights of one network\. Received: first, second\.$"):
        convert.load_torch_checkpoint(model, {"first": state, "second": dict(state)})


BESIDE = {
    "float64": np.float64(91),
    "float32": np.float32(91),
    "int": np.int64(3),
    "bool": np.bool_(True),
    "array": np.arange(6.0).reshape(2, 3),
    "namespace": argparse.Namespace(lr=0.1, sizes=[1, 2], inner=argparse.Namespace(best=np.float32(3))),
    "path": Path("runs/a"),
    "counter": Counter(a=1),
    "ordered": OrderedDict(a=[1, "b", None]),
}


@pytest.mark.parametrize("value", BESIDE.values(), ids=BESIDE)
def test_values_beside_the_weights(tmp_path, model, state, value):
    torch = pytest.importorskip("torch")
    tensors = {key: torch.tensor(array) for key, array in state.items()}
    torch.save({"state_dict": tensors, "best": value}, tmp_path / "a.pth")
    convert.load_torch_checkpoint(model, tmp_path / "a.pth")
    np.testing.assert_allclose(model(golden_input()), GOLDEN["logits_eval"], rtol=1e-5, atol=1e-6)


def test_half_precision(model, state):
    torch = pytest.importorskip("torch")
    convert.load_torch_checkpoint(model, {key: torch.tensor(value).bfloat16() for key, value in state.items()})


class _Payload:
    """Unpickled, it would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_beside_the_weights_is_refused(tmp_path, model, state):
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": state, "args": _Payload(tmp_path / "run")}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"arrays only\. Received: '.*', with an object of posix\.mkdir\.$"):
        convert.load_torch_checkpoint(model, tmp_path / "a.pth")
    assert not (tmp_path / "run").exists()


def test_forged_numpy_type_is_not_made(tmp_path, model):
    """NumPy would take its state from the file, and then read memory at an address from the file."""
    torch = pytest.importorskip("torch")

    class Forged:
        def __reduce__(self):
            return np.core.multiarray.scalar, (ForgedType(), b"\x41" * 8)

    class ForgedType:
        def __reduce__(self):
            return np.dtype, ("O8", False, True), (3, "|", None, None, None, 8, 8, 0)

    torch.save({"best": Forged(), "conv1.weight": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="`source` must hold"):
        convert.load_torch_checkpoint(model, tmp_path / "a.pth")


def test_pickle_that_runs_code_is_refused(tmp_path, model):
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": _Payload(tmp_path / "run")}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="holds arrays only"):
        convert.load_torch_checkpoint(model, tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", a=np.array([_Payload(tmp_path / "run")], object))
    with pytest.raises(ValueError, match="holds arrays only"):
        convert.load_torch_checkpoint(model, tmp_path / "a.npz")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.npz"])
@pytest.mark.parametrize("share", [0, 0.1, 0.9])
def test_truncated_files(tmp_path, model, state, name, share):
    path = (write_npz if name == "a.npz" else write_torch)(tmp_path / name, state)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="`source` must be a checkpoint") as error:
        convert.load_torch_checkpoint(model, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source", ["missing.pth", {}, {"conv1.weight": "text"}])
def test_other_sources(model, source):
    with pytest.raises(ValueError, match="`source` must"):
        convert.load_torch_checkpoint(model, source)


def sdbnn_convert(*arguments):
    return CliRunner().invoke(main, ["convert", "torch", *map(str, arguments)])


@pytest.mark.parametrize("suffix", [".safetensors", ".h5"])
@pytest.mark.slow
def test_command(tmp_path, state, suffix):
    source, target = write_npz(tmp_path / "a.npz", state), tmp_path / f"b{suffix}"
    result = sdbnn_convert(source, "--model", "ResNet20", "--output", target)
    assert result.exit_code == 0, result.output
    assert "bn1.num_batches_tracked" in result.output
    model = zoo.ResNet20(weights=target, classifier_activation=None)
    np.testing.assert_allclose(model(golden_input()), GOLDEN["logits_eval"], rtol=1e-5, atol=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", target.name}


def test_command_with_float_weights(tmp_path, state):
    source, target = write_npz(tmp_path / "a.npz", state), tmp_path / "b.safetensors"
    result = sdbnn_convert(source, "binary_weights=False", "--model", "ResNet20", "--output", target)
    assert "layer1.0.conv1.alpha" in result.output
    assert zoo.describe(target).arguments == {"num_classes": 10, "binary_weights": False}
    assert zoo.describe(target).preprocessing == zoo.SMALL_IMAGES
    assert zoo.load(target).get_layer("layer1_0_conv1").kernel_quantizer is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.npz", "--model", "ResNet20", "--output", "b.txt"], "must end in .safetensors"),
        (["a.npz", "--model", "ResNet20", "--output", "none/b.h5"], "folder that exists"),
        (["b.npz", "--model", "ResNet20", "--output", "b.h5"], "not a file"),
        (["a.npz", "--model", "ResNet21", "--output", "b.h5"], "ResNet20"),
        (["a.npz", "num_classes=9", "--model", "ResNet20", "--output", "b.h5"], "linear.weight of shape"),
        (["a.npz", "--output", "b.h5"], "--model"),
    ],
)
def test_command_refuses_in_one_line(tmp_path, monkeypatch, state, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "a.npz", state)
    result = sdbnn_convert(*arguments)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
