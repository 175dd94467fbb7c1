"""What each runtime and precision makes of published weights' accuracy, on the whole test set of CIFAR-10.

    python benchmarks/export_accuracy.py --data-dir DIR --output benchmarks/export_accuracy.json

The ranges of the 8-bit stem are found on training images.
"""

import argparse
import tempfile
from pathlib import Path

from _result import print_result
from zookeeper import configure

from sdbnn_larq import convert, zoo
from sdbnn_larq.evaluation import evaluate
from sdbnn_larq.preprocessing import known_preprocessing
from sdbnn_larq.training import Cifar10
from sdbnn_larq.training.evaluation_data import pixel_batches

CALIBRATION = 256  # training images
BATCH = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="where tensorflow-datasets keeps cifar10")
    parser.add_argument("--model", default="ResNet20")
    parser.add_argument("--weights", default="cifar10", help="a weights file or a tag")
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    source = Cifar10()
    configure(source, {"data_dir": options.data_dir})
    model = zoo.load(options.weights, options.model)
    description = zoo.describe(model)
    data, _ = pixel_batches(source, "train", description.input_shape, known_preprocessing(description), CALIBRATION)
    images, _ = next(data.as_numpy_iterator())
    rows = {"Keras": evaluate(model, source)}
    with tempfile.TemporaryDirectory() as folder:
        lce, exact, int8 = (Path(folder, name) for name in ("model.tflite", "exact.xml", "int8.xml"))
        arguments = {"batch_size": BATCH, "uint8": True, "images": images}
        convert.to_lce(model, lce, **arguments, verify=False)
        convert.to_openvino(model, exact, **arguments, verify=False)
        convert.to_openvino(model, int8, **arguments, verify=False, int8=True)
        for name, path, precision in (
            ("LCE", lce, "f32"),
            ("OpenVINO", exact, "f32"),
            ("OpenVINO, bf16", exact, "bf16"),
            ("OpenVINO, int8 stem and classifier", int8, "f32"),
        ):
            rows[name] = evaluate(convert.ExportedModel(path, precision=precision), source)
    result = {
        "network": options.model,
        "weights": Path(options.weights).name,
        "top1_percent": {name: round(100 * accuracy.share, 2) for name, accuracy in rows.items()},
        "images": rows["Keras"].images,
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
