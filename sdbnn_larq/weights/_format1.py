"""Packed files of the first format, `"sdbnn-packed-1"`, which held no description.

Version 0.1.0 wrote them. Its arrays are in the order of `model.weights`, while its header groups them by layer; so the
model says in which order they are to be read.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import larq as lq
import tensorflow as tf

from sdbnn_larq.weights.description import PHOTOGRAPHS, SMALL_IMAGES, NetworkDescription
from sdbnn_larq.weights.names import stable_name, variable

FORMAT = "sdbnn-packed-1"
# By the model's name: architecture, size of its images, default number of channels of its first stage, and of ASD's
# channels for each hidden unit.
ARCHITECTURES = {
    "vgg_small": ("VGGSmall", 32, 128, 16),
    "resnet20": ("ResNet20", 32, 16, 16),
    "cifar_resnet18": ("CifarResNet18", 32, 64, 16),
    "resnet18": ("ResNet18", 224, 64, 8),
    "resnet34": ("ResNet34", 224, 64, 8),
    "float_resnet34": ("FloatResNet34", 224, 64, None),
}


def named_weights(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """The model's weights as version 0.1.0 named and ordered them."""
    owners: dict[int, str] = {}
    for layer in model._flatten_layers():
        if not isinstance(layer, lq.quantizers.Quantizer):
            owners.update((id(variable(weight)), stable_name(layer)) for weight in layer.weights)
    seen: Counter[str] = Counter()
    weights = {}
    for weight in map(variable, model.weights):
        name = f"{owners[id(weight)]}/{weight.name.split(':')[0].rsplit('/', 1)[-1]}"
        seen[name] += 1
        weights[name if seen[name] == 1 else f"{name}_{seen[name] - 1}"] = weight
    return weights


def description(model: str, stored: Mapping[str, Any], metadata: Mapping[str, Any]) -> NetworkDescription | None:
    """What a file of this format tells of its network; version 0.1.0 knew one preprocessing for each input size.

    # Arguments
        model: the model's name.
        stored: the stored weights by name, each with a `shape`.
        metadata: as training and `sdbnn publish` wrote it.

    # Returns
        The description; `None` for a model that is none of the zoo's.
    """
    if model not in ARCHITECTURES:
        return None
    architecture, size, filters, reduction = ARCHITECTURES[model]
    shapes = {name: weight.shape for name, weight in stored.items()}
    report = metadata.get("report") if isinstance(metadata, dict) else {}
    if not (isinstance(metadata, dict) and isinstance(report, dict | None)):
        raise ValueError("metadata that are not those of version 0.1.0")
    arguments = dict(metadata.get("options", {}))
    if "logits/bias" in shapes:
        arguments["num_classes"] = shapes["logits/bias"][0]
    else:
        arguments["include_top"] = False
    first = next((shape for name, shape in shapes.items() if name in ("conv1/kernel", "conv0/kernel")), None)
    if first is not None and first[-1] != filters:
        arguments["filters"] = first[-1]
    squeezes = [shape for name, shape in shapes.items() if name.endswith("_asd_squeeze/kernel")]
    if squeezes and any(max(1, channels // reduction) != hidden for channels, hidden in squeezes):
        arguments["asd_reduction"] = min(
            n for n in range(1, 1 + max(squeezes)[0]) if all(max(1, c // n) == hidden for c, hidden in squeezes)
        )
    if any(name.endswith("_asd_shift/beta") for name in shapes):
        arguments["asd_mode"] = "static"
    defaults = {"self_distribution": "both", "binary_weights": True, "binary": True, "asd_mode": "dynamic"}
    names = metadata.get("class_names")
    return NetworkDescription(
        architecture=architecture,
        arguments={name: value for name, value in arguments.items() if value != defaults.get(name, ...)},
        input_shape=(size, size, 3),
        preprocessing=SMALL_IMAGES if size == 32 else PHOTOGRAPHS,
        class_names=None if names is None else tuple(names),
        provenance={} if report is None else {"task": report.get("task"), "report": report},
    )
