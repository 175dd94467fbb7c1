"""The same image file gives the same input, to the last bit, in training's evaluation, `sdbnn evaluate` and `zoo`."""

import io
import os

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_sample_image
from zookeeper import configure

from sdbnn_larq import zoo
from sdbnn_larq.preprocessing import fit, normalize, read_image
from sdbnn_larq.training import Cifar10, Digits, ImageFolder, PhotoFolder, Photos, SmallImages, TFDSPhotos
from sdbnn_larq.training.datasets import read_image as read_square
from sdbnn_larq.training.evaluation_data import evaluation_batches, evaluation_of, pixel_batches
from sdbnn_larq.training.preprocessing import normalize as normalize_small
from sdbnn_larq.weights import PHOTOGRAPHS, SMALL_IMAGES, NetworkDescription

SIZES = {name: zoo.get_model(name, weights=None).input_shape[1:] for name in ("ResNet20", "ResNet18")}
SHAPES = [*SIZES.values(), (48, 64, 3), (96, 96, 3)]
KINDS = ("rgb", "grey", "cmyk", "turned", "palette_png", "palette_bmp", "alpha", "sixteen", "gif", "tiny", "long")


def picture(kind):
    """The bytes of an image file of some kind."""
    photo = Image.fromarray(load_sample_image("china.jpg")[20:320, 100:473])
    file, options = "JPEG", {}
    if kind == "grey":
        photo = photo.convert("L")
    elif kind == "cmyk":
        photo = photo.convert("CMYK")
    elif kind == "turned":
        options["exif"] = photo.getexif()
        options["exif"][0x0112] = 6
    elif kind.startswith("palette"):
        photo, file = photo.quantize(16), kind[-3:].upper()
    elif kind == "alpha":
        photo.putalpha(Image.linear_gradient("L").resize(photo.size))
        file = "PNG"
    elif kind == "sixteen":
        photo, file = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257), "PNG"
    elif kind == "gif":
        photo, file = photo.quantize(32), "GIF"
    elif kind == "tiny":
        photo, file = photo.resize((5, 3)), "PNG"
    elif kind == "long":
        photo, file = photo.resize((400, 31)), "BMP"
    content = io.BytesIO()
    photo.save(content, file, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with a class for training, validation and test each, whose test images are of all kinds."""
    folder = tmp_path_factory.mktemp("pictures")
    for part in ("train", "val", "test"):
        for name in ("a", "b"):
            (folder / part / name).mkdir(parents=True)
            for kind in KINDS if part == "test" else ("rgb",):
                (folder / part / name / f"{kind}.img").write_bytes(picture(kind))
    return folder


def of_folder(kind, pictures, tmp_path):
    dataset = kind()
    configure(dataset, {"directory": str(pictures)})
    return dataset, [os.fsdecode(path) for path in dataset.arrays("test")[0]]


def of_tfds(kind, pictures, tmp_path):
    files = [str(pictures / "test" / "a" / f"{name}.img") for name in KINDS]
    # TensorFlow Datasets takes the formats by their names' ends.
    links = []
    for file in files:
        links.append(tmp_path / (os.path.basename(file) + ".jpg"))
        links[-1].symlink_to(file)
    features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=["a", "b"])}
    examples = [(i, {"image": os.fspath(link), "label": "a"}) for i, link in enumerate(links)]
    tfds.dataset_builders.store_as_tfds_dataset(
        "all_kinds",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": examples, "test": examples},
        data_dir=tmp_path,
        disable_shuffling=True,
    )
    dataset = kind()
    configure(dataset, {"name": "all_kinds", "data_dir": str(tmp_path)})
    return dataset, files


def of_digits(kind, pictures, tmp_path):
    dataset = kind()
    configure(dataset, {})
    return dataset, list(dataset.splits["test"][0][:20])


def of_cifar10(kind, pictures, tmp_path):
    if "TFDS_DATA_DIR" not in os.environ:
        pytest.skip("TFDS_DATA_DIR names no prepared CIFAR-10")
    dataset = kind()
    configure(dataset, {"test_split": "test[:20]"})
    data = tfds.load("cifar10", split="test[:20]", decoders={"image": tfds.decode.SkipDecoding()})
    return dataset, [example["image"] for example in data.as_numpy_iterator()]


DATASETS = [
    (ImageFolder, of_folder),
    (PhotoFolder, of_folder),
    (TFDSPhotos, of_tfds),
    (Digits, of_digits),
    (Cifar10, of_cifar10),
]


@pytest.fixture(params=DATASETS, ids=lambda pair: pair[0].__name__)
def images_of(request, pictures, tmp_path):
    """A data set and the files, or pixels, of its test split in their order."""
    kind, make = request.param
    return make(kind, pictures, tmp_path)


@pytest.mark.parametrize("input_shape", SHAPES, ids=str)
@pytest.mark.slow
def test_the_same_pixels_everywhere(images_of, input_shape):
    dataset, images = images_of
    preprocessing = dataset.preprocessing
    model = NetworkDescription("ResNet20", {"num_classes": 10}, input_shape, preprocessing)
    expected = zoo.preprocess_input(images, model)
    assert expected.shape == (len(images), *input_shape)
    # `sdbnn evaluate`
    batches, _ = pixel_batches(dataset, "test", input_shape, preprocessing, 7)
    pixels = np.concatenate([batch for batch, _ in batches.as_numpy_iterator()])[: len(images)]
    np.testing.assert_array_equal(normalize(pixels, preprocessing), expected)
    # training, in a graph
    inputs = [batch for batch, _ in training_batches(dataset, input_shape)]
    np.testing.assert_array_equal(np.concatenate(inputs)[: len(images)], expected)


def training_batches(dataset, input_shape):
    """As a task evaluates."""
    preprocessing = SmallImages() if dataset.preprocessing == SMALL_IMAGES else Photos()
    configure(preprocessing, {"input_shape": input_shape})
    return evaluation_batches(preprocessing, dataset, "test", input_shape, 7)[0].as_numpy_iterator()


@pytest.mark.parametrize("kind", KINDS)
def test_the_preprocessings_of_the_tasks_give_them_too(kind, tmp_path):
    encoded = picture(kind)
    file = tmp_path / "image"
    file.write_bytes(encoded)
    photos = Photos()
    configure(photos, {"input_shape": (64, 80, 3)})
    model = NetworkDescription("ResNet18", {"num_classes": 10}, (64, 80, 3), PHOTOGRAPHS)
    expected = zoo.preprocess_input(file, model)[0]
    np.testing.assert_array_equal(photos({"image": encoded, "label": 0}, training=False)[0], expected)
    small = SmallImages()
    configure(small, {})
    model = NetworkDescription("ResNet20", {"num_classes": 10}, (32, 32, 3), SMALL_IMAGES)
    expected = zoo.preprocess_input(file, model)
    pixels = fit(read_image(file), (32, 32), SMALL_IMAGES)[None]
    np.testing.assert_array_equal(small({"image": pixels, "label": [0]}, training=False)[0], expected)
    np.testing.assert_array_equal(normalize_small(read_square(file, 32)), expected[0])


@pytest.mark.parametrize("architecture", zoo.list_models())
@pytest.mark.slow
def test_every_architecture_s_own_size(architecture, pictures):
    dataset, images = of_folder(ImageFolder, pictures, None)
    model = zoo.get_model(architecture, weights=None, num_classes=2)
    model.description = zoo.describe(model).replace(preprocessing=dataset.preprocessing)
    batches = list(training_batches(dataset, model.input_shape[1:]))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), zoo.preprocess_input(images, model))


def test_a_preprocessing_that_prepares_images_otherwise_is_not_known():
    class Louder(SmallImages):
        def input(self, data, training):
            return 2 * super().input(data, training)

    class Named(Louder):
        evaluation = PHOTOGRAPHS

    assert evaluation_of(SmallImages()) == SMALL_IMAGES
    assert evaluation_of(Photos()) == PHOTOGRAPHS
    assert evaluation_of(Louder()) is None
    assert evaluation_of(Named()) == PHOTOGRAPHS
