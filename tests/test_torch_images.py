"""Images as the trainer in PyTorch reads, cuts and shifts them."""

import numpy as np
import pytest
from PIL import Image

from sdbnn_larq.preprocessing import read_image

torch = pytest.importorskip("torch")
import torch_runs  # noqa: E402, F401  (finds the trainer)

# isort: split
import images as gpu_images  # noqa: E402


def test_photographs_are_read_upright_and_leftovers_are_not(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (24, 24, 3)).astype(np.uint8)
    for name in ("cat", "dog", ".cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".DS_Store").write_bytes(b"")
        turned = Image.Exif()
        turned[274] = 6  # orientation
        Image.fromarray(pixels).save(tmp_path / name / "0.png", exif=turned)
    images, labels, class_names = gpu_images.read(tmp_path)
    assert (labels.tolist(), class_names) == ([0, 1], ["cat", "dog"])
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
