"""One registry of the zoo's architectures, searched by glob."""

import difflib
from fnmatch import fnmatchcase
from typing import Any

import tensorflow as tf

from sdbnn_larq.weights import catalogue
from sdbnn_larq.zoo.cifar_resnet18 import CifarResNet18
from sdbnn_larq.zoo.float_resnet34 import FloatResNet34
from sdbnn_larq.zoo.resnet import ResNet18, ResNet34
from sdbnn_larq.zoo.resnet20 import ResNet20
from sdbnn_larq.zoo.vgg_small import VGGSmall

MODELS = {function.__name__: function for function in (VGGSmall, ResNet20, CifarResNet18, ResNet18, ResNet34)}
TEACHERS = {"FloatResNet34": FloatResNet34}  # not listed, because they are no SD-BNN networks


def list_models(pattern: str = "*", pretrained: bool = False) -> list[str]:
    """The names of the zoo's architectures.

    !!! example
        ```python
        list_models("*18*")  # ["CifarResNet18", "ResNet18"]
        ```

    # Arguments
        pattern: shell-style wildcard that a name must match, upper or lower case.
        pretrained: whether to leave out those without published weights; `sdbnn models --pretrained` names the weights.

    # Returns
        Names, sorted.
    """
    names = sorted(name for name in MODELS if fnmatchcase(name.lower(), pattern.lower()))
    return [name for name in names if catalogue.tags(name)] if pretrained else names


def get_model(name: str, **kwargs: Any) -> tf.keras.Model:
    """Instantiates an architecture by its name.

    # Arguments
        name: one of `list_models()`, or `"FloatResNet34"`, their teacher.
        **kwargs: the architecture's arguments, e.g. `weights`.

    # Returns
        A Keras model instance.

    # Raises
        ValueError: if there is no such architecture, or from the architecture.
    """
    models = MODELS | TEACHERS
    if name not in models:
        near = difflib.get_close_matches(name, models, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"`name` must be one of {', '.join(list_models())}. Received: name={name!r}.{hint}")
    return models[name](**kwargs)
