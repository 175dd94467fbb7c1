import gc
import io
import os
import signal
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: F401  (Keras 2, before a test imports Larq)

# isort: split
import larq as lq
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
from exports import MODULES
from PIL import Image

from sdbnn_larq._memory import releasing_graphs

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # where the tests run in the background; processes inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Lets garbage collections, one after each test that builds networks, pass over all that the imports left."""
    gc.collect()
    gc.freeze()


def write_images(folder, count=10, color=None, suffix=".jpg", size=(40, 36)):
    """Writes images, of noise or of one colour, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.RandomState(len(folder.name))
    for i in range(count):
        pixels = draw.randint(0, 256, (*size, 3)) if color is None else np.broadcast_to(color, (*size, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}{suffix}")


def damaged_png():
    """The bytes of a PNG file whose checksums are right and whose pixels cannot be decoded."""
    content = io.BytesIO()
    Image.new("RGB", (40, 36)).save(content, "PNG")
    start = content.getvalue().index(b"IDAT")
    length = int.from_bytes(content.getvalue()[start - 4 : start], "big")
    body = b"IDAT" + bytes(length)
    end = start + len(body)
    return content.getvalue()[:start] + body + zlib.crc32(body).to_bytes(4, "big") + content.getvalue()[end + 4 :]


@pytest.fixture
def class_folders(tmp_path):
    """A folder of two classes of ten red or blue images each."""
    folder = tmp_path / "images"
    write_images(folder / "red", color=(255, 0, 0), suffix=".png")
    write_images(folder / "blue", color=(0, 0, 255), suffix=".png")
    return folder


@pytest.fixture(params=MODULES)
def target(request) -> str:
    """The runtimes that models are exported to."""
    pytest.importorskip(MODULES[request.param])
    return request.param


@pytest.fixture(autouse=True)
def seed():
    """What a test draws, from NumPy or for a layer's weights, depends neither on other tests nor on their order."""
    tf.keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def memory_of_a_module():
    """Without this a process of the tests grew to 13 GB."""
    with releasing_graphs():
        yield


@pytest.fixture
def memory_of_a_test():
    """For modules whose tests build large networks."""
    with releasing_graphs():
        yield


@pytest.fixture(autouse=True)
def latent_weights():
    """Larq's quantized scope stays open when a layer's call raises; then every later read of a kernel is ±1."""
    with lq.context.quantized_scope(False):
        yield


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of two classes of ten parts each of a photograph, one of them a grey PNG and one a CMYK JPEG."""
    directory = tmp_path_factory.mktemp("photographs")
    for name in ("china", "flower"):
        photo = tf.io.decode_jpeg((Path(sklearn.datasets.__file__).parent / f"images/{name}.jpg").read_bytes()).numpy()
        (directory / name).mkdir()
        for i in range(10):
            part = photo[10 * i : 300 + 10 * i, : 240 + 10 * i]
            (directory / name / f"{i}.jpg").write_bytes(tf.io.encode_jpeg(part).numpy())
    cmyk = io.BytesIO()
    Image.fromarray(photo).convert("CMYK").save(cmyk, "JPEG")
    (directory / "china" / "8.jpg").write_bytes(cmyk.getvalue())
    (directory / "china" / "9.jpg").unlink()
    (directory / "china" / "grey.png").write_bytes(tf.io.encode_png(photo[:200, :100, :1]).numpy())
    return directory


@pytest.fixture(scope="session")
def golden():
    """The folder of files that other programs, or earlier versions, wrote."""
    return Path(__file__).parent / "golden"
