"""ImageNet's pipeline on scikit-learn's two photographs."""

import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import damaged_png
from larq_zoo.training.data import preprocess_image_bytes
from PIL import Image, ImageOps
from zookeeper import configure

from sdbnn_larq.preprocessing import read_image
from sdbnn_larq.recipes import task_class
from sdbnn_larq.training import ImageNet, PhotoFolder, Photos, TFDSPhotos, _data_check
from sdbnn_larq.training._data_check import check_examples
from sdbnn_larq.training._pipeline import TrainingBatches
from sdbnn_larq.training.photos import central_window, decode_window, random_window

IMAGES = Path(sklearn.datasets.__file__).parent / "images"
CHINA = (IMAGES / "china.jpg").read_bytes()  # 427×640


def configured(component, **fields):
    configure(component, fields)
    return component


def training_on(folder, output):
    """The tiny recipe on photographs."""
    chosen = {"dataset": "PhotoFolder", "dataset.directory": str(folder), "preprocessing": "Photos"}
    small = {"preprocessing.input_shape": (32, 32, 3), "batch_size": 4, "output_dir": str(output)}
    return configured(task_class(str(Path(__file__).parent / "tiny_recipe.py"))(), **chosen, **small)


def test_evaluation_comes_near_larq_zoo_s():
    """Which takes the same window, but resizes without a filter against aliasing."""
    image, label = configured(Photos())({"image": CHINA, "label": 7}, training=False)
    difference = (image - preprocess_image_bytes(tf.constant(CHINA))).numpy()
    assert np.abs(difference.reshape(14, 16, 14, 16, 3).mean((1, 3))).max() < 0.2
    assert abs(difference.mean()) < 0.02
    assert label == 7


@pytest.mark.parametrize("orientation", range(1, 9))
def test_only_the_window_is_decoded_and_it_is_that_of_the_upright_whole(orientation):
    photo = Image.open(io.BytesIO(CHINA))
    for kind, name in (("JPEG", "turned.jpg"), ("PNG", "turned.png")):
        turned = io.BytesIO()
        exif = photo.getexif()
        exif[0x0112] = orientation
        photo.save(turned, kind, exif=exif, **({"subsampling": 0} if kind == "JPEG" else {}))
        whole = read_image(turned.getvalue())
        stored = kind == "JPEG"  # of another file the window is cut out of the upright photograph
        rows, columns = (427, 640) if stored or orientation < 5 else (640, 427)
        right = decode_window({"image": tf.constant(turned.getvalue())}, lambda shape: shape_of_half(shape, "right"))
        expected = whole[:, columns // 2 :] if not stored else stored_half(whole, orientation, rows, columns)
        np.testing.assert_array_equal(right, expected, err_msg=name)


def shape_of_half(shape, side):
    height, width = shape[0], shape[1]
    return tf.stack([0, width // 2, height, width - width // 2])


def stored_half(whole, orientation, rows, columns):
    """The right half of the photograph as it is stored, upright."""
    mask = np.zeros((rows, columns), np.uint8)
    mask[:, columns // 2 :] = 1
    image = Image.fromarray(mask)
    exif = image.getexif()
    exif[0x0112] = orientation
    upright = io.BytesIO()
    image.save(upright, "PNG", exif=exif)
    inside = np.asarray(ImageOps.exif_transpose(Image.open(upright))) > 0
    return whole[np.ix_(inside.any(1), inside.any(0))]


def test_random_windows():
    shape = tf.constant([427, 640, 3])
    windows = np.stack([random_window(shape, (1, i), 0.08) for i in range(500)])
    top, left, height, width = windows.T
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= 427
    assert (left + width).max() <= 640
    share = height * width / (427 * 640)
    assert share.min() == pytest.approx(0.08, abs=0.03)  # whole pixels
    assert share.max() > 0.7
    assert np.quantile(width / height, [0, 1]) == pytest.approx([3 / 4, 4 / 3], abs=0.03)
    for extreme in ((1, 300, 3), (1, 1, 3), (2000, 3, 3)):  # no window of such a shape can be found
        np.testing.assert_array_equal(
            random_window(tf.constant(extreme), (1, 2), 0.08), central_window(tf.constant(extreme))
        )


def test_augmentation_follows_from_the_seed():
    photos = configured(Photos(), input_shape=(64, 48, 3))

    def augmented(i):
        return photos({"image": CHINA, "label": 0, "seed": tf.constant([3, i], tf.int64)}, training=True)[0].numpy()

    tf.random.set_seed(1)
    images = [augmented(i) for i in range(8)]
    tf.random.set_seed(2)
    for i in reversed(range(8)):
        np.testing.assert_array_equal(augmented(i), images[i])
    assert images[0].shape == (64, 48, 3)
    assert len({image.tobytes() for image in images}) == 8


def test_half_of_the_photographs_are_flipped():
    """Of one whose left half is dark: by its brightness from left to right."""
    pixels = np.zeros((80, 80, 3), np.uint8)
    pixels[:, 40:] = 255
    photos = configured(Photos(), input_shape=(8, 8, 3), min_area=0.9)
    data = tf.data.Dataset.range(200).map(
        lambda i: photos({"image": tf.io.encode_jpeg(pixels), "label": 0, "seed": tf.stack([0, i])}, training=True)[0]
    )
    flipped = sum(bool(image[:, 0].mean() > image[:, -1].mean()) for image in data.as_numpy_iterator())
    assert 70 < flipped < 130


def test_photo_folder(photographs):
    dataset = configured(PhotoFolder(), directory=str(photographs), validation_fraction=0.2, test_fraction=0.2)
    data, count = dataset.train()
    assert (count, dataset.num_classes) == (12, 2)
    originals = {path.read_bytes(): path.parent.name for path in photographs.rglob("*.*")}
    examples = list(data.as_numpy_iterator())
    for example in examples:
        assert originals[example["image"]] == dataset.class_names[example["label"]]
    labels = [example["label"] for example in examples]
    assert labels != sorted(labels)
    seen = [example["image"] for split in ("train", "validation", "test") for example in getattr(dataset, split)()[0]]
    assert len({image.numpy() for image in seen}) == 20
    check_examples(data, "it", 2, (224, 224, 3))
    photos = configured(Photos())
    everything = data.concatenate(dataset.test()[0]).concatenate(dataset.validation()[0])
    for batch, _ in everything.map(photos).batch(5):
        assert batch.shape == (5, 224, 224, 3)
        assert -3 < float(tf.reduce_min(batch)) < float(tf.reduce_max(batch)) < 3.5


def test_photograph_that_cannot_be_decoded_ends_the_training_in_one_line(photographs, tmp_path, monkeypatch):
    folder = shutil.copytree(photographs, tmp_path / "photographs")
    path = os.fsdecode(configured(PhotoFolder(), directory=str(folder)).splits["train"][0][5])
    whole = Path(path).read_bytes()
    Path(path).write_bytes(damaged_png())
    monkeypatch.setattr(_data_check, "PICTURES", 1)  # as if it came later
    training = training_on(folder, tmp_path / "run")
    with pytest.raises(ValueError, match=rf"whole JPEG.*{re.escape(path)}.*\. With a whole image in its place"):
        training.run()
    Path(path).write_bytes(whole)
    training_on(folder, tmp_path / "run").run()
    assert (tmp_path / "run" / "report.json").exists()


@pytest.mark.parametrize("seed", [0, 3])
def test_batches_from_disk_can_be_taken_up_at_any_step(photographs, seed):
    tf.keras.utils.set_random_seed(seed)
    data, count = configured(PhotoFolder(), directory=str(photographs)).train()
    photos = configured(Photos(), input_shape=(32, 32, 3))
    batches = TrainingBatches(data, count, photos, batch_size=3, seed=seed, epochs=3)
    whole = list(batches(0, 0).as_numpy_iterator())
    assert len(whole) == 3 * (count // 3)
    assert len({images.tobytes() for images, _ in whole}) == len(whole)
    rest = list(batches(1, 2).as_numpy_iterator())
    for (images, labels), (expected, expected_labels) in zip(rest, whole[count // 3 + 2 :], strict=True):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, expected_labels)


def test_training_on_photographs(photographs, tmp_path):
    training_on(photographs, tmp_path).run()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["epochs"] == 3
    assert report["test_images"] == 2


def test_tfds_photos(tmp_path):
    names = ["china", "flower"]
    features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=names)}
    examples = [(i, {"image": IMAGES / f"{names[i % 2]}.jpg", "label": names[i % 2]}) for i in range(20)]
    tfds.dataset_builders.store_as_tfds_dataset(
        "two_photos",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": examples, "test": examples},
        data_dir=tmp_path,
        disable_shuffling=True,
    )
    dataset = configured(TFDSPhotos(), name="two_photos", data_dir=str(tmp_path))
    photos = configured(Photos())
    data, count = dataset.train(decoders=photos.decoders)
    assert (count, dataset.validation()[1], dataset.test()[1]) == (19, 1, 20)
    assert dataset.class_names == names
    for example in data.take(2).as_numpy_iterator():
        assert example["image"] == (IMAGES / f"{names[example['label']]}.jpg").read_bytes()
    image, _ = next(data.map(photos).as_numpy_iterator())
    np.testing.assert_array_equal(image, photos({"image": CHINA, "label": 0})[0])


def test_tfds_photos_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"data_dir.*imagenet2012"):
        configured(ImageNet(), data_dir=str(tmp_path)).train()
    with pytest.raises(ValueError, match="imagenete"):
        configured(TFDSPhotos(), name="imagenete", data_dir=str(tmp_path)).train()
