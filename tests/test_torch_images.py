"""Images as the trainer in PyTorch reads, cuts, shifts and mixes them."""

import re

import numpy as np
import pytest
from PIL import Image

from sdbnn_larq.preprocessing import read_image

torch = pytest.importorskip("torch")
import torch_runs  # noqa: E402, F401  (finds the trainer)

# isort: split
import images as gpu_images  # noqa: E402
import mixing  # noqa: E402


@pytest.fixture(autouse=True)
def torch_seed():
    torch.manual_seed(0)


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


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("I;16", (8, 8)), "of 8 bits, without transparency. Received: "),
        (Image.new("RGBA", (8, 8)), "of 8 bits, without transparency. Received: "),
        (Image.new("L", (8, 6)), "squares of one size; `--size` makes them. Received: 6×8."),
        (None, "Each class must have photographs. Received: none of 'cat' in "),
    ],
)
def test_photographs_that_keras_would_read_otherwise(image, message, tmp_path):
    for folder in ("cat", "__MACOSX"):
        (tmp_path / folder).mkdir()
    if image:
        image.save(tmp_path / "cat" / "0.png")
    with pytest.raises(ValueError, match=re.escape(message)):
        gpu_images.read(tmp_path)


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


def test_mixup():
    """Images and targets are mixed alike, each image with its partner by a share of its own."""
    count = torch.arange(8.0)
    images, targets = count[:, None, None, None].expand(8, 3, 4, 4), torch.eye(8)
    mixed_images, mixed_targets = mixing.mixed(images, targets, 0.4)
    torch.testing.assert_close(mixed_images, (mixed_targets @ count)[:, None, None, None].expand(8, 3, 4, 4))
    share, of_partner = mixed_targets.diagonal(), mixed_targets.flip(1).diagonal()
    torch.testing.assert_close(share + of_partner, torch.ones(8))
    assert share.unique().numel() == 8
    assert share.min() >= 0
    assert mixing.mixed(images, targets, 0)[0] is images


def test_cutmix():
    """Each pixel is the image's or its partner's, in a rectangle; the targets have the areas' shares."""
    count = torch.arange(8.0)
    images, targets = count[:, None, None, None].expand(8, 3, 16, 20), torch.eye(8)
    found, shares = mixing.mixed(images, targets, cutmix=1.0)
    own = found == images
    assert (own | (found == images.flip(0))).all()
    torch.testing.assert_close(shares.diagonal(), own.float().mean((1, 2, 3)))
    torch.testing.assert_close(shares.diagonal() + shares.flip(1).diagonal(), torch.ones(8))
    assert shares.diagonal().unique().numel() > 4
    for cut in ~own[:, 0]:
        rows, columns = cut.any(1), cut.any(0)
        assert torch.equal(cut, rows[:, None] & columns)
        for line in (rows, columns):
            assert line.int().diff().ne(0).sum() <= 2


def test_mixup_or_cutmix():
    """One of them in each batch, where both are asked for."""
    images, targets = torch.arange(8.0)[:, None, None, None].expand(8, 1, 16, 16), torch.eye(8)
    batches = [mixing.mixed(images, targets, 0.4, 1.0)[0] for _ in range(50)]
    uniform = [bool((batch == batch[:, :, :1, :1]).all()) for batch in batches]
    assert 10 < sum(uniform) < 40
