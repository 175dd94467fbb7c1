"""Classifies images with an exported network; needs OpenVINO alone, no TensorFlow.

    sdbnn export ResNet20 --weights resnet20.safetensors --to openvino --uint8 --output resnet20.xml
    pip install openvino
    python examples/classify_openvino.py resnet20.xml image.npy

An image is a NumPy file of pixels, uint8 `(height, width, 3)`; with Pillow installed also a picture of that size.
"""

import json
import sys

import numpy as np
import openvino as ov


def read(path: str) -> np.ndarray:
    if path.endswith(".npy"):
        return np.load(path)
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


def main(network: str, paths: list[str]) -> None:
    core = ov.Core()
    model = core.read_model(network)
    names = json.loads(model.get_rt_info(["sdbnn_larq"]).astype(str))["class_names"]
    run = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for path in paths:
        probabilities = run(read(path)[None])[0][0]
        best = int(np.argmax(probabilities))
        print(f"{path}: {names[best]} {probabilities[best]:.1%}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
