"""Data sets, preprocessing and the optimizer."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from zookeeper import configure

from sdbnn_larq.recipes import task_class
from sdbnn_larq.training import SGDL2, Cifar10, Digits
from sdbnn_larq.training._data_check import check_examples
from sdbnn_larq.training._pipeline import to_arrays
from sdbnn_larq.training.preprocessing import normalize, random_shift_and_flip


def configured(component, **fields):
    configure(component, fields)
    return component


def test_sgd_decays_through_the_momentum_as_pytorch_does():
    optimizer = SGDL2(0.1, momentum=0.9, l2=0.5)
    weight = tf.Variable([1.0, -2.0])
    expected, velocity = np.array([1.0, -2.0]), np.zeros(2)
    for gradient in ([0.3, 0.1], [-0.2, 0.4], [0.0, 0.0]):
        optimizer.apply_gradients([(tf.constant(gradient), weight)])
        velocity = 0.9 * velocity + np.array(gradient) + 0.5 * expected
        expected = expected - 0.1 * velocity
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    assert SGDL2.from_config(optimizer.get_config()).l2 == 0.5
    with pytest.raises(ValueError, match="l2=-1"):
        SGDL2(l2=-1)


def test_normalize():
    image = np.full((1, 2, 2, 3), 255, np.uint8)
    np.testing.assert_allclose(
        normalize(image)[0, 0, 0], [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    )


@pytest.mark.parametrize("fields", [{}, {"mixup": 0.2}])
def test_a_step_of_training_is_traced_once(fields):
    training = configured(task_class(str(Path(__file__).parent / "tiny_recipe.py"))(), epochs=1, **fields)
    training.prepare()
    step, traces = training.model.train_step, []
    training.model.train_step = lambda data: traces.append(data) or step(data)
    training.fit()
    assert len(traces) == 1


@pytest.mark.parametrize("flip", [False, True])
def test_random_shift_and_flip_gives_shifted_images(flip):
    image = np.arange(1, 5 * 6 * 3 + 1, dtype=np.uint8).reshape(5, 6, 3)
    padded = np.pad(image, [(2, 2), (2, 2), (0, 0)])
    mirrored = padded[:, ::-1]
    possible = {
        version[dy : dy + 5, dx : dx + 6].tobytes(): None
        for version in ((padded, mirrored) if flip else (padded,))
        for dy in range(5)
        for dx in range(5)
    }
    outputs = {one.tobytes() for one in random_shift_and_flip(np.stack([image] * 500), 2, flip, seed=[0, 1]).numpy()}
    assert outputs <= possible.keys()
    assert len(outputs) > len(possible) * 0.9


@pytest.mark.parametrize("count", [9, 11])
def test_a_data_set_of_another_length_than_it_says(count):
    data = tf.data.Dataset.from_tensor_slices({"label": np.arange(10)})
    np.testing.assert_array_equal(to_arrays(data, 10)["label"], np.arange(10))
    with pytest.raises(ValueError, match=rf"must have the {count} examples that it says\. Received: 10\."):
        to_arrays(data, count)


def test_digits_are_split_without_overlap():
    splits = configured(Digits()).splits
    assert sum(len(labels) for _, labels in splits.values()) == 1797
    assert len(splits["test"][1]) == pytest.approx(359, abs=3)
    for images, labels in splits.values():
        assert images.shape[1:] == (32, 32, 3)
        assert images.dtype == np.uint8
        assert np.bincount(labels, minlength=10).min() >= 0.08 * len(labels)
    assert splits["train"][0].max() == 255


def examples(image=None, label=0):
    image = np.zeros((8, 8, 3), np.float32) if image is None else image
    return tf.data.Dataset.from_tensors({"image": image, "label": label})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (examples(np.zeros((8, 8, 4), np.float32)), "shape"),
        (examples(np.zeros((8, 8), np.float32)), "shape"),
        (examples(label=3), r"Labels of it must be from 0 to 2. Received: 3"),
        (examples(label=-1), "Labels"),
        (examples(np.full((8, 8, 3), np.nan, np.float32)), "NaN"),
        (examples().take(0), "at least one image"),
        (tf.data.Dataset.range(3), "dictionary"),
    ],
)
def test_data_check(data, message):
    with pytest.raises(ValueError, match=message):
        check_examples(data, "it", 3, (8, 8, 3))


def test_data_check_accepts_good_data():
    check_examples(examples().repeat(3), "it", 3, (8, 8, 3))


def of_shapes(*shapes):
    """Examples whose shapes are known only when they are read."""
    images = [np.zeros(shape, np.uint8) for shape in shapes]
    signature = {"image": tf.TensorSpec(None, tf.uint8), "label": tf.TensorSpec((), tf.int64)}
    return tf.data.Dataset.from_generator(
        lambda: ({"image": image, "label": 0} for image in images), output_signature=signature
    )


def test_data_check_names_the_first_bad_example():
    labels = np.zeros(5000, np.int64)
    labels[[1500, 3000]] = 7
    images = np.zeros((5000, 8, 8, 3), np.float32)
    with pytest.raises(ValueError, match=r"Received: 7 at 1500\."):
        check_examples(tf.data.Dataset.from_tensor_slices({"image": images, "label": labels}), "it", 3, (8, 8, 3))
    images[1200, 3, 4, 1] = np.inf
    with pytest.raises(ValueError, match=r"infinity in image 1200\."):
        check_examples(tf.data.Dataset.from_tensor_slices({"image": images, "label": labels}), "it", 3, (8, 8, 3))
    good = (8, 8, 3)
    check_examples(of_shapes(good, good), "it", 1, good)
    for bad in ((9, 8, 3), (8, 8), (8, 8, 1), (1, 8, 8, 3)):
        with pytest.raises(ValueError, match=re.escape(f"Received: {bad} in image 1500.")):
            check_examples(of_shapes(*[good] * 1500, bad, good), "it", 1, good)


def test_data_check_decodes_pictures():
    def pictures(*contents):
        return tf.data.Dataset.from_tensor_slices({"image": list(contents), "label": [0] * len(contents)})

    jpeg = tf.io.encode_jpeg(tf.zeros((9, 7, 3), tf.uint8)).numpy()
    png = tf.io.encode_png(tf.zeros((5, 6, 1), tf.uint8)).numpy()
    check_examples(pictures(jpeg, png), "it", 1, (8, 8, 3))
    for bad in (jpeg[: len(jpeg) // 2], b"no image", b""):
        with pytest.raises(ValueError, match=r"whole JPEG.*after 2 good images of it") as error:
            check_examples(pictures(jpeg, png, bad, jpeg), "it", 1, (8, 8, 3))
        assert "\n" not in str(error.value)


def test_data_check_of_images_that_are_resized():
    check_examples(of_shapes((9, 8, 3), (8, 8, 3)), "it", 1, None)
    for bad in (examples(), examples(np.zeros((8, 8), np.uint8)), examples(np.zeros((8, 8, 4), np.uint8))):
        with pytest.raises(ValueError, match=r"files or uint8 \(height, width, 3\)"):
            check_examples(bad, "it", 1, None)


def test_cifar10_without_its_files_says_where_it_looked(tmp_path):
    with pytest.raises(ValueError, match=r"data_dir.*cifar10"):
        configured(Cifar10(), data_dir=str(tmp_path)).train()


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR names no prepared CIFAR-10")
def test_cifar10():
    dataset = configured(Cifar10())
    assert [dataset.train()[1], dataset.validation()[1], dataset.test()[1]] == [45_000, 5_000, 10_000]
    labels = [int(example["label"]) for example in dataset.test()[0].as_numpy_iterator()]
    assert np.bincount(labels).tolist() == [1000] * 10
    assert dataset.class_names[0] == "airplane"
