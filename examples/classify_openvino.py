"""Classifies photographs of any size with an exported network; needs OpenVINO and Pillow, no TensorFlow.

    sdbnn export ResNet20/cifar10 --to openvino --uint8 --output resnet20.xml
    pip install openvino pillow
    python examples/classify_openvino.py resnet20.xml photo.jpg

The file says how its images are cropped and resized, and what its classes are called.
"""

import json
import sys

import numpy as np
import openvino as ov
from PIL import Image, ImageOps


def read(path: str) -> Image.Image:
    """Reads an image, upright and in colour; transparent pixels become black."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
        values = np.asarray(image)
        most = values.max()
        values = np.where(values == image.info.get("transparency", -1), 0, values)
        image = Image.fromarray((values // 257 if most > 255 else values).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("RGB")


def fit(image: Image.Image, size: list[int], crop: float, resample: str) -> np.ndarray:
    """Cuts out the middle of an image and resizes it to height and width; uint8 `(height, width, 3)`."""
    share = crop * min(image.height / size[0], image.width / size[1])
    height, width = (max(int(share * n + 1e-6), 1) for n in size)
    top, left = (image.height - height + 1) // 2, (image.width - width + 1) // 2
    image = image.crop((left, top, left + width, top + height))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling[resample.upper()]))


def main(network: str, paths: list[str]) -> None:
    core = ov.Core()
    model = core.read_model(network)
    taken = model.input(0)
    if taken.element_type != ov.Type.u8 or taken.partial_shape[0] != 1:  # OpenVINO would take pixels for anything
        sys.exit(f"{network} must take one image of pixels, as `sdbnn export --uint8` writes it.")
    description = json.loads(model.get_rt_info(["sdbnn_larq"]).astype(str))["description"]
    preparation, names = description["preprocessing"], description["class_names"]
    run = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for path in paths:
        pixels = fit(read(path), description["input_shape"][:2], preparation["crop"], preparation["resample"])
        probabilities = run(pixels[None])[0][0]
        best = int(np.argmax(probabilities))
        print(f"{path}: {names[best] if names else best} {probabilities[best]:.1%}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
