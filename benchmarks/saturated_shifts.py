"""How often a runtime answers otherwise than Keras, with shifts that may be rounded to 1 and with those that may not.

    python benchmarks/saturated_shifts.py ResNet20/cifar10 --data DIR --output benchmarks/saturated_shifts.json

`LARGEST_SHIFT` keeps the shifts of `ActivationSelfDistribution` below 1. The limit 1.0 is a layer without it. Some
differences remain with both: an activation so close to 0 that the order of a sum decides its sign.
"""

import argparse
import os
import tempfile
from pathlib import Path

from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from zookeeper import configure

from sdbnn_larq import convert, training, zoo
from sdbnn_larq.layers import ActivationSelfDistribution
from sdbnn_larq.preprocessing import known_preprocessing, normalize
from sdbnn_larq.training.evaluation_data import pixel_batches


def compare(weights: str, pixels, labels, limit: float) -> dict:
    ActivationSelfDistribution.LARGEST_SHIFT = limit  # of this process alone
    model = zoo.load(weights)
    images = normalize(pixels, known_preprocessing(zoo.describe(model)))
    expected = model.predict(images, verbose=0)
    result = {"Keras": {"correct": int((expected.argmax(1) == labels).sum())}}
    with tempfile.TemporaryDirectory() as folder:
        for name, to, file in (("LCE", convert.to_lce, "a.tflite"), ("OpenVINO", convert.to_openvino, "a.xml")):
            to(model, Path(folder, file), uint8=False)
            answers = convert.ExportedModel(Path(folder, file)).predict(images)
            result[name] = {
                "correct": int((answers.argmax(1) == labels).sum()),
                "other class": int((answers.argmax(1) != expected.argmax(1)).sum()),
                "other probability, by more than 0.001": int((np.abs(answers - expected).max(1) > 1e-3).sum()),
            }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="+", help="tags or weights files")
    parser.add_argument("--dataset", default="Cifar10", help="Cifar10, Imagenette, …")
    parser.add_argument("--data", required=True, help="its `data_dir`, or its `directory`")
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    dataset = getattr(training, options.dataset)()
    configure(dataset, {"directory" if "directory" in dataset.__component_fields__ else "data_dir": options.data})
    limits = (1.0, ActivationSelfDistribution.LARGEST_SHIFT)
    result = {}
    for weights in options.weights:
        description = zoo.describe(zoo.load(weights))
        preprocessing = known_preprocessing(description)
        batches, _ = pixel_batches(dataset, "test", description.input_shape, preprocessing, 64)
        pixels, labels = (np.concatenate(part) for part in zip(*batches.as_numpy_iterator()))
        of_limits = {f"{limit:.8f}": compare(weights, pixels, labels, limit) for limit in limits}
        result[weights] = {"images": len(pixels), "largest shift": of_limits}
    print_result(result, options.output)


if __name__ == "__main__":
    main()
