"""Training images on the device as bytes, and their augmentation there, a batch at a time.

    python training/gpu/images.py IMAGENETTE/train imagenette.npz --size 224

decodes photographs once for many runs, squeezed to squares of one size: `--data` takes the file as it takes a folder.

It follows `sdbnn_larq.training.SmallImages` and `Photos`: black borders and flips; windows that show a share of a
photograph, resized by a bicubic filter with antialiasing.
"""

import argparse
import io
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from networks import PHOTOGRAPH_NETWORKS
from PIL import Image, ImageOps

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
CENTRE = 224 / 256  # part of a photograph's side that an evaluation shows
LEFTOVERS = ("__macosx", "@eadir", "thumbs.db", "desktop.ini")  # of other systems, as the Keras recipes skip them
TRIALS = 10  # for a window that fits


def read(data, size=None):
    """uint8 images `(N, 3, height, width)`, int64 labels and the classes' names.

    # Arguments
        data: photographs by class, CIFAR-10 as tensorflow-datasets prepares it, or a packed file.
        size: as for `read_photographs`.
    """
    if Path(data).suffix == ".npz":
        arrays = unpacked(data)
        if {"images", "labels", "class_names"} - set(arrays):
            raise ValueError(
                f"A packed file must have images, labels and class_names. Received: {str(data)!r} with {list(arrays)}."
            )
        return checked(data, arrays["images"], arrays["labels"], arrays["class_names"])
    return read_cifar10(data) if Path(data, "cifar10").is_dir() else read_photographs(data, size)


def unpacked(path):
    """The arrays of an .npz file by name."""
    try:
        arrays = np.load(path, allow_pickle=False)
        return {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"A packed file must be whole. Received: {str(path)!r}, damaged.") from error


def checked(data, images, labels, class_names):
    """What `read` gives, of arrays that a stranger may have packed."""
    fits = images.dtype == np.uint8 and images.ndim == 4 and images.shape[1] == 3 and labels.dtype.kind in "iu"
    if not (fits and labels.shape == images.shape[:1] and labels.min(initial=0) >= 0):
        raise ValueError(
            "A packed file must have uint8 images (N, 3, height, width) and N labels from 0 on. Received: "
            f"{str(data)!r}, with {images.dtype} {images.shape} and {labels.dtype} {labels.shape}."
        )
    named = class_names.dtype.kind == "U" and class_names.ndim == 1 and len(np.unique(class_names)) == class_names.size
    if not (named and labels.max(initial=0) < class_names.size):
        raise ValueError(
            "A packed file must have different class_names, one for each label. Received: "
            f"{str(data)!r}, with {class_names.dtype} {class_names.shape} and labels up to {labels.max(initial=0)}."
        )
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)), class_names.tolist()


def read_photographs(folder, size=None):
    """uint8 images `(N, 3, height, width)`, int64 labels and the classes' names, of `folder/CLASS/FILE`.

    # Arguments
        size: pixels of a side, to which photographs are squeezed; by default all must be squares of one size.
    """

    def decoded(path):
        photograph = Image.open(path)
        if photograph.mode not in ("1", "L", "P", "RGB", "CMYK", "YCbCr") or "transparency" in photograph.info:
            raise ValueError(
                f"Photographs must be of 8 bits, without transparency. Received: {str(path)!r}, {photograph.mode}."
            )
        photograph = ImageOps.exif_transpose(photograph).convert("RGB")
        return np.asarray(photograph.resize((size, size), Image.Resampling.LANCZOS) if size else photograph)

    def visible(parent):
        paths = sorted(Path(parent).iterdir())
        return [path for path in paths if not path.name.startswith(".") and path.name.lower() not in LEFTOVERS]

    classes = [path.name for path in visible(folder) if path.is_dir()]
    for name in classes:
        if not visible(Path(folder, name)):
            raise ValueError(f"Each class must have photographs. Received: none of {name!r} in {str(folder)!r}.")
    files = [(path, label) for label, name in enumerate(classes) for path in visible(Path(folder, name))]
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda file: decoded(file[0]), files))
    sizes = {image.shape[:2] for image in images}
    if len(sizes) != 1 or len(set(*sizes)) != 1:
        found = ", ".join("×".join(map(str, found)) for found in sorted(sizes)[:3])
        raise ValueError(f"Photographs must be there, squares of one size; `--size` makes them. Received: {found}.")
    return stacked(images), torch.tensor([label for _, label in files]), classes


def check_size(images, network):
    """Refuses images of another size than a network takes; photographs, which must be squares, are cut to it."""
    if network in PHOTOGRAPH_NETWORKS and images.shape[2] != images.shape[3]:
        raise ValueError(f"Images for {network} must be squares. Received: {'×'.join(map(str, images.shape[2:]))}.")
    if network not in PHOTOGRAPH_NETWORKS and images.shape[2:] != (32, 32):
        raise ValueError(f"Images for {network} must be 32×32. Received: {'×'.join(map(str, images.shape[2:]))}.")


def read_cifar10(data_dir, split="train"):
    """What `read` gives, of what tensorflow-datasets prepared, read without TensorFlow."""
    found = list(Path(data_dir, "cifar10").glob(f"*/cifar10-{split}.tfrecord-00000-of-00001"))
    if len(found) != 1:
        raise ValueError(f"CIFAR-10 must lie prepared in {str(data_dir)!r}, once. Received: {len(found)} files.")
    encoded, labels = [], []
    with found[0].open("rb") as file:
        while head := file.read(12):
            record = file.read(struct.unpack("<Q", head[:8])[0])
            file.read(4)
            for _, features in _fields(record):
                for _, entry in _fields(features):
                    name, feature = (value for _, value in _fields(entry))
                    ((_, values),) = _fields(feature)
                    if name == b"image":
                        ((_, value),) = _fields(values)
                        encoded.append(value)
                    elif name == b"label":
                        ((_, value),) = _fields(values)
                        labels.append(value if isinstance(value, int) else _varint(value, 0)[0])
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda b: np.asarray(Image.open(io.BytesIO(b)).convert("RGB")), encoded))
    class_names = found[0].with_name("label.labels.txt").read_text("utf-8").split()
    return stacked(images), torch.tensor(labels), class_names


def stacked(images):
    return torch.from_numpy(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)))


def _varint(data, i):
    number = shift = 0
    while True:
        number |= (data[i] & 127) << shift
        shift, i = shift + 7, i + 1
        if data[i - 1] < 128:
            return number, i


def _fields(data):
    """Number and value of each field of a protocol buffer."""
    i = 0
    while i < len(data):
        key, i = _varint(data, i)
        value, i = _varint(data, i)
        if key & 7 == 2:
            i, value = i + value, data[i : i + value]
        yield key >> 3, value


def normalize(images):
    """Bytes, as floats, to ImageNet's mean 0 and deviation 1."""
    mean, deviation = (255 * torch.tensor(v, device=images.device)[:, None, None] for v in (MEAN, DEVIATION))
    return ((images.float() - mean) / deviation).contiguous(memory_format=torch.channels_last)


class SmallImages:
    """Random shifts over black borders and flips."""

    def __init__(self, shift):
        self.shift = shift

    def train(self, images):
        n, device = len(images), images.device
        _, _, height, width = images.shape
        down, right = (torch.randint(0, 2 * self.shift + 1, (n, 1), device=device) for _ in range(2))
        columns = torch.arange(width, device=device).expand(n, width)
        columns = torch.where(torch.rand(n, 1, device=device) < 0.5, width - 1 - columns, columns) + right
        rows = torch.arange(height, device=device) + down
        padded = F.pad(images, (self.shift,) * 4)
        one, three = torch.arange(n, device=device)[:, None, None, None], torch.arange(3, device=device)[:, None, None]
        return normalize(padded[one, three, rows[:, None, :, None], columns[:, None, None, :]])

    def evaluate(self, images):
        return normalize(images)


class Photographs:
    """Random windows and flips, the centre to evaluate; images of `size` pixels a side."""

    def __init__(self, size, min_area):
        self.size, self.min_area = size, min_area

    def train(self, images):
        n, device = len(images), images.device
        _, _, height, width = images.shape
        area = torch.empty(n, TRIALS, device=device).uniform_(self.min_area, 1) * height * width
        ratio = torch.empty(n, TRIALS, device=device).uniform_(3 / 4, 4 / 3)
        wide, high = (area * ratio).sqrt(), (area / ratio).sqrt()
        fits = (wide <= width) & (high <= height)
        first = fits.float().argmax(1, keepdim=True)
        found = fits.any(1, keepdim=True)
        wide = torch.where(found, wide.gather(1, first), CENTRE * width).round()
        high = torch.where(found, high.gather(1, first), CENTRE * height).round()
        left, top = (width - wide) * torch.rand(n, 1, device=device), (height - high) * torch.rand(n, 1, device=device)
        rows = self.weights(top.floor(), high, height)
        columns = self.weights(left.floor(), wide, width)
        columns = torch.where(torch.rand(n, 1, 1, device=device) < 0.5, columns.flip(1), columns)
        return self.resized(images, rows, columns)

    def evaluate(self, images):
        _, _, height, width = images.shape
        rows, columns = (self.central(side, len(images), images.device) for side in (height, width))
        return self.resized(images, rows, columns)

    def central(self, side, n, device):
        part = torch.full((n, 1), float(int(CENTRE * side)), device=device)
        return self.weights((side - part + 1).div(2).floor(), part, side)

    def weights(self, start, length, side):
        """`(N, size, side)`: what each pixel of a window counts in each pixel of the result."""
        scale = (length / self.size).clamp(min=1)[:, :, None]
        centre = start[:, :, None] + (torch.arange(self.size, device=start.device)[:, None] + 0.5) * (
            length / self.size
        ).unsqueeze(2)
        pixel = torch.arange(side, device=start.device)
        inside = (pixel >= start[:, :, None]) & (pixel < (start + length)[:, :, None])
        x = ((pixel + 0.5 - centre) / scale).abs()
        near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2  # bicubic, a = -1/2
        cubic = torch.where(x < 1, near, torch.where(x < 2, far, 0.0)) * inside
        return cubic / cubic.sum(2, keepdim=True)

    def resized(self, images, rows, columns):
        half = torch.float16 if images.is_cuda else torch.float32
        pixels = rows.to(half).unsqueeze(1) @ images.to(half) @ columns.to(half).unsqueeze(1).transpose(2, 3)
        return normalize(pixels.clamp(0, 255))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="photographs by class, or tensorflow-datasets' folder")
    parser.add_argument("packed", help="the .npz file that is written")
    parser.add_argument("--size", type=int, help="pixels of a side, to which photographs are squeezed")
    given = parser.parse_args()
    if Path(given.packed).suffix != ".npz":
        parser.error(f"The packed file must end in .npz. Received: {given.packed!r}.")
    try:
        images, labels, class_names = read(given.source, given.size)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    np.savez(given.packed, images=images.numpy(), labels=labels.numpy(), class_names=class_names)
