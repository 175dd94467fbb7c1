"""From image files of all kinds to a network's input, and from its outputs to names."""

import io
import struct

import larq_zoo
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sdbnn_larq import zoo
from sdbnn_larq.preprocessing import fit, normalize, read_image


def picture(height: int = 60, width: int = 90) -> np.ndarray:
    """Four areas of different colours, so that a turn or a swap of channels shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (200, 30, 40)
    pixels[: height // 2, width // 2 :] = (20, 180, 60)
    pixels[height // 2 :, : width // 2] = (30, 60, 210)
    pixels[height // 2 :, width // 2 :] = (240, 220, 20)
    return pixels


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_every_orientation_comes_upright(tmp_path, orientation, kind):
    image = Image.fromarray(picture())
    exif = image.getexif()
    exif[274] = orientation
    turned = image.transpose(TURNS[orientation]) if TURNS[orientation] is not None else image
    turned.save(tmp_path / f"a.{kind}", exif=exif, quality=95)
    got = read_image(tmp_path / f"a.{kind}")
    assert got.shape == picture().shape
    assert np.median(np.abs(got.astype(int) - picture())) <= 4


def as_mode(mode: str) -> Image.Image:
    return Image.fromarray(picture()).convert(mode)


@pytest.mark.parametrize(
    ("name", "image", "close"),
    [
        ("palette.bmp", Image.fromarray(picture()).quantize(16), 4),
        ("palette.png", Image.fromarray(picture()).quantize(16), 4),
        ("palette.gif", Image.fromarray(picture()).quantize(16), 4),
        ("alpha.png", as_mode("RGBA"), 0),
        ("cmyk.jpg", as_mode("CMYK"), 12),
        ("cmyk.tif", as_mode("CMYK"), 2),
        ("lossless.webp", as_mode("RGB"), 0),
    ],
)
def test_colours_are_those_that_a_viewer_shows(tmp_path, name, image, close):
    image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    assert np.median(np.abs(read_image(tmp_path / name).astype(int) - picture())) <= close


def test_grey_sixteen_bits_and_transparency(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for name in ("grey.png", "deep.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.repeat(grey[..., None], 3, 2))
    for brightest in (200, 300):  # on which the scale does not depend
        dark = np.array([[0, 100], [150, brightest]], np.uint16)
        Image.fromarray(dark).save(tmp_path / "dark.png")
        np.testing.assert_array_equal(read_image(tmp_path / "dark.png")[..., 0], dark // 257)
    clear = np.dstack([np.full((4, 4, 3), 200, np.uint8), np.zeros((4, 4), np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png").max() == 0  # on black


@pytest.mark.parametrize("tag", [0x0128, 0x011A], ids=["ResolutionUnit", "XResolution"])
def test_a_photograph_with_an_odd_entry_in_its_exif(tmp_path, tag):
    """Text where a number belongs: Pillow cannot write such EXIF anew, but the orientation is known."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHI4s", tag, 2, 2, b"2")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(picture()).save(tmp_path / "plain.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), np.rot90(read_image(tmp_path / "plain.jpg"), -1))


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0", b"GIF89a"])
def test_what_is_no_image(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.jpg") as error:
        read_image(tmp_path / "a.jpg")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.linspace(0, 1, 64, dtype=np.float32), "not from 0 to 1"),
        (np.linspace(0, 65535, 64, dtype=np.float32), "from 0 to 65535"),
        (np.linspace(-9, 200, 64).astype(np.int32), "not from -9 to 200"),
        (np.linspace(0, 2**30, 64).astype(np.int32), "not from 0 to 1073741824"),
    ],
)
def test_numbers_that_are_no_pixels_are_refused(tmp_path, values, message):
    """Pillow would make black, white or wrapped pixels of them."""
    Image.fromarray(values.reshape(8, 8)).save(tmp_path / "image.tiff")
    with pytest.raises(ValueError, match=message):
        read_image(tmp_path / "image.tiff")


def test_floats_that_are_pixels(tmp_path):
    values = np.arange(64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "image.tiff")
    np.testing.assert_array_equal(read_image(tmp_path / "image.tiff")[..., 1], values)


def test_a_file_cut_short(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(picture(300, 300)).save(buffer, "JPEG", quality=95)
    with pytest.raises(ValueError, match="must be a whole JPEG"):
        read_image(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(ValueError, match="An image must be"):
            read_image(path)


def test_fit_keeps_what_fits_already():
    pixels = picture(32, 32)
    np.testing.assert_array_equal(fit(pixels, (32, 32), zoo.SMALL_IMAGES), pixels)


def test_fit_keeps_the_middle():
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 255
    assert fit(pixels, (32, 32), zoo.SMALL_IMAGES).min() == 255
    assert fit(pixels, (32, 64), zoo.SMALL_IMAGES)[:, :14].max() == 0  # the aspect ratio is the network's


def test_photographs_as_larq_zoo_prepares_them():
    """The same crop; antialiased and rounded to uint8, which larq-zoo's is not."""
    rows, columns = np.mgrid[0:375, 0:500]
    circle = ((rows - 187) ** 2 + (columns - 250) ** 2 < 150**2) * 255
    pixels = np.dstack([circle, columns // 2, rows // 2]).astype(np.uint8)
    ours = normalize(fit(pixels, (224, 224), zoo.PHOTOGRAPHS), zoo.PHOTOGRAPHS)
    assert np.abs(ours - larq_zoo.preprocess_input(pixels)).mean() < 0.02
    np.testing.assert_array_equal(zoo.preprocess_input(pixels)[0], larq_zoo.preprocess_input(pixels))


def test_normalize_is_the_same_in_numpy_and_in_graphs():
    pixels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    for preprocessing in (zoo.SMALL_IMAGES, zoo.ImagePreprocessing(1.0, "bicubic", (1.1, 2.2, 3.3), (7.7, 0.3, 255))):
        expected = normalize(pixels, preprocessing)
        graph = tf.function(lambda x, preprocessing=preprocessing: normalize(x, preprocessing))
        np.testing.assert_array_equal(graph(tf.constant(pixels)), expected)
        np.testing.assert_allclose(
            expected, (pixels - np.array(preprocessing.mean)) / np.array(preprocessing.std), rtol=1e-5, atol=1e-5
        )


@pytest.fixture(scope="module")
def model():
    return zoo.load("ResNet20/cifar10")


def test_a_photograph_is_resized_before_the_next_is_read(tmp_path, model, monkeypatch):
    """Many are too large to be kept as they are."""
    steps = []
    for function in (read_image, fit):

        def noted(*arguments, function=function):
            steps.append(function.__name__)
            return function(*arguments)

        monkeypatch.setattr(f"sdbnn_larq.preprocessing.{function.__name__}", noted)
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "a.png")
    zoo.preprocess_input([tmp_path / "a.png"] * 3, model)
    assert steps == ["read_image", "fit"] * 3


def test_preprocess_input_takes_all_kinds_alike(tmp_path, model):
    pixels = picture()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = zoo.preprocess_input(pixels, model)
    assert expected.shape == (1, 32, 32, 3)
    assert expected.dtype == np.float32
    path = tmp_path / "a.png"
    for image in (path, str(path), path.read_bytes(), Image.open(path), pixels.astype(np.float64), pixels.astype(int)):
        np.testing.assert_array_equal(zoo.preprocess_input(image, model), expected)
    many = zoo.preprocess_input([path, pixels, picture(200, 30)], model)
    assert many.shape == (3, 32, 32, 3)
    np.testing.assert_array_equal(many[:1], expected)
    np.testing.assert_array_equal(zoo.preprocess_input(np.stack([pixels, pixels]), model)[1:], expected)
    np.testing.assert_array_equal(zoo.preprocess_input(pixels, model.description), expected)
    np.testing.assert_array_equal(zoo.preprocess_input(tf.constant(pixels), model), expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8)), "`images` must be pixels of shape"),
        (np.zeros((8, 8, 1), np.uint8), "An image must be pixels of shape"),
        (np.zeros((8, 8, 3)) - 1, "Pixels must be from 0 to 255"),
        (np.full((8, 8, 3), 0.5), "not from 0 to 1"),
        (np.full((8, 8, 3), np.nan), "Pixels must be from 0 to 255"),
        (np.full((8, 8, 3), 256), "Pixels must be from 0 to 255"),
        (np.zeros((0, 8, 3), np.uint8), "An image must be pixels"),
        ([], "at least one image"),
        ("missing.png", r"missing\.png"),
    ],
)
def test_what_preprocess_input_refuses(model, images, message):
    with pytest.raises(ValueError, match=message):
        zoo.preprocess_input(images, model)


def test_outputs_that_are_no_numbers_have_no_names(model):
    with pytest.raises(ValueError, match="finite"):
        zoo.decode_predictions(np.full((1, 10), np.nan), model=model)


def test_an_untrained_network_has_no_preprocessing_and_no_names():
    fresh = zoo.ResNet20()
    with pytest.raises(ValueError, match="says how its images are prepared"):
        zoo.preprocess_input(picture(), fresh)
    with pytest.raises(ValueError, match="with class names"):
        zoo.decode_predictions(np.eye(10), model=fresh)


def test_decode_predictions(model):
    outputs = np.array([[0.05, 0.05, 0.1, 0.6, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0]])
    assert zoo.decode_predictions(outputs, top=2, model=model) == [[("cat", 0.6), ("dog", 0.2)]]
    assert len(zoo.decode_predictions(outputs, top=99, model=model)[0]) == 10
    logits = zoo.ResNet20(weights="cifar10", classifier_activation=None)
    ((best,),) = zoo.decode_predictions(np.log(outputs + 1e-9), top=1, model=logits)
    assert best == ("cat", pytest.approx(0.6, abs=1e-4))
    for wrong in (np.zeros((1, 9)), np.zeros(10)):
        with pytest.raises(ValueError, match=r"must have the shape \(n, 10\)"):
            zoo.decode_predictions(wrong, model=model)
    with pytest.raises(ValueError, match="`top` must be"):
        zoo.decode_predictions(outputs, top=0, model=model)


def test_a_transparent_grey_of_16_bits(tmp_path):
    """Black, as any other transparent pixel."""
    grey = Image.fromarray(np.array([[0, 40_000], [65_535, 257]], np.uint16))
    grey.save(tmp_path / "grey.png", transparency=40_000)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png")[..., 0], [[0, 0], [255, 1]])
    grey.save(tmp_path / "white.png", transparency=65_535)  # whose range is known all the same
    np.testing.assert_array_equal(read_image(tmp_path / "white.png")[..., 0], [[0, 155], [0, 1]])
