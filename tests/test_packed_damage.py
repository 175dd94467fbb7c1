"""Files of packed weights that are damaged, or of another network, are refused; a failed save leaves the old file."""

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from packing import assert_equal, randomize, small_model, values

from sdbnn_larq import zoo
from sdbnn_larq.weights import packed as _packed

pytestmark = pytest.mark.usefixtures("memory_of_a_test")


def test_crafted_file_with_a_right_checksum(tmp_path):
    zoo.save_packed(small_model(), tmp_path / "a")
    with safetensors.safe_open(tmp_path / "a", "np") as file:
        header = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    arrays["latent"] = arrays.pop("float32")
    header["sha256"] = _packed._checksum(arrays, header)
    safetensors.numpy.save_file(arrays, tmp_path / "a", header)
    with pytest.raises(ValueError, match="arrays that are not those of its model"):
        zoo.load_packed(small_model(), tmp_path / "a")


def damage(content: bytes, r: np.random.RandomState) -> bytes:
    damaged = bytearray(content)
    kind = r.randint(5)
    at = r.randint(len(content)) if r.rand() < 0.5 else r.randint(min(len(content), 700))
    if kind == 0:
        damaged[at] ^= 1 << r.randint(8)
    elif kind == 1:
        del damaged[at:]
    elif kind == 2:
        damaged[at : at + r.randint(1, 9)] = r.bytes(r.randint(9))
    elif kind == 3:
        damaged += r.bytes(r.randint(1, 4000))
    else:
        other = r.randint(len(content))
        damaged[at : at + 16], damaged[other : other + 16] = content[other : other + 16], content[at : at + 16]
    return bytes(damaged)


def test_fuzz(tmp_path):
    path = tmp_path / "a"
    zoo.save_packed(randomize(small_model()), path, {"note": "fuzz"})
    content = path.read_bytes()
    model = randomize(small_model(), seed=1)
    zoo.load_packed(model, path)
    right = values(model)
    randomize(model, seed=1)
    before, r = values(model), np.random.RandomState(0)
    refused = 0
    for i in range(1200):
        path.write_bytes(damage(content, r))
        try:
            metadata = zoo.load_packed(model, path)
        except ValueError:
            refused += 1
            if i % 20 == 0:
                assert_equal(values(model), before)
        else:  # the damage left the content as it was
            assert metadata == {"note": "fuzz"}
            assert_equal(values(model), right)
            randomize(model, seed=1)
    assert refused > 1100


@pytest.mark.parametrize("size", [0, 7, 8, 9])
def test_short_files(tmp_path, size):
    (tmp_path / "a").write_bytes(b"\0" * size)
    with pytest.raises(ValueError, match="must be an undamaged file"):
        zoo.load_packed(small_model(), tmp_path / "a")


def test_oversized_file_is_refused_unread(tmp_path):
    path = tmp_path / "a"
    zoo.save_packed(small_model(), path)
    with path.open("r+b") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(ValueError, match=r"1,099,511,627,776 bytes, more than"):
        zoo.load_packed(small_model(), path)


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        zoo.load_packed(small_model(), tmp_path / "a")


def test_other_architecture(tmp_path):
    zoo.save_packed(small_model("large"), tmp_path / "a")
    with pytest.raises(ValueError, match=r"weights of small.*with weights of large"):
        zoo.load_packed(small_model(), tmp_path / "a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 7}, r"logits/kernel of shape \(64, 10\) instead of \(64, 7\)"),
        ({"self_distribution": "activation"}, "surplus layer1_0_conv1/alpha_bias"),
        ({"include_top": False}, "surplus bn2/gamma"),
        ({"binary_weights": False}, "layer1_0_conv1/kernel for a 1-bit quantizer"),
    ],
)
@pytest.mark.slow
def test_other_options(tmp_path, options, message):
    zoo.save_packed(zoo.ResNet20(), tmp_path / "a")
    other = zoo.ResNet20(**options)
    before = values(other)
    with pytest.raises(ValueError, match=message):
        zoo.load_packed(other, tmp_path / "a")
    assert_equal(values(other), before)


def test_a_weight_of_no_fixed_shape(tmp_path):
    """A file of them could not be read again."""
    boundaries = tf.keras.layers.Discretization(num_bins=4, output_mode="one_hot", name="bins")
    boundaries.adapt(np.arange(20.0)[:, None])
    with pytest.raises(ValueError, match=r"must have a fixed shape. Received: bins/.* of \(2, None\)\.$"):
        zoo.save_packed(tf.keras.Sequential([tf.keras.Input((1,)), boundaries]), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    zoo.save_packed(small_model(), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="`metadata` must be"):
        zoo.save_packed(small_model(), path, {"a": object()})
    with pytest.raises(ValueError, match="`metadata` and description must be short"):
        zoo.save_packed(small_model(), path, {"a": "b" * 2**18})
    with pytest.raises(ValueError, match="`half` must match"):
        zoo.save_packed(small_model(), path, half=["nothing"])
    model = randomize(small_model())
    model.layers[1].gamma.assign([1e6] * 5)
    with pytest.raises(ValueError, match="within float16's range"):
        zoo.save_packed(model, path, half="*")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
