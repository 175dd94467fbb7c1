"""The registry of the zoo's architectures, searched by glob.

An architecture enters it by the decorator `register` on its public function; nothing else lists architectures.
"""

import difflib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from sdbnn_larq.weights import published

if TYPE_CHECKING:
    from sdbnn_larq.zoo._factory import SDBNNFactory


@dataclass(frozen=True)
class Architecture:
    """An architecture of the zoo.

    # Attributes
        name: of its public function, e.g. `"ResNet20"`.
        function: its public function.
        factory: its zookeeper factory.
        listed: whether `list_models` names it.
    """

    name: str
    function: Callable[..., tf.keras.Model]
    factory: "type[SDBNNFactory]"
    listed: bool

    @property
    def defaults(self) -> dict[str, Any]:
        """The keyword arguments of the public function, with their defaults."""
        return {name: parameter.default for name, parameter in inspect.signature(self.function).parameters.items()}


_ARCHITECTURES: dict[str, Architecture] = {}


def register(factory: "type[SDBNNFactory]", listed: bool = True) -> Callable[[Callable], Callable]:
    """Decorates the public function of an architecture, whose arguments may then be NumPy's numbers too.

    # Arguments
        factory: builds the network from the function's arguments.
        listed: whether `list_models` shall name it; a teacher, say, is no network of the zoo.
    """

    def enter(function: Callable) -> Callable:
        @functools.wraps(function)
        def build(*args: Any, **arguments: Any) -> tf.keras.Model:
            # zookeeper's fields admit Python's numbers alone, and `labels.max() + 1` is one of NumPy's.
            numbers = {name: value.item() for name, value in arguments.items() if isinstance(value, np.generic)}
            return function(*args, **arguments | numbers)

        _ARCHITECTURES[function.__name__] = Architecture(function.__name__, build, factory, listed)
        return build

    return enter


def architecture(name: str) -> Architecture:
    """The architecture of this name.

    # Raises
        ValueError: if there is none.
    """
    if name not in _ARCHITECTURES:
        near = difflib.get_close_matches(name, _ARCHITECTURES, n=1) if isinstance(name, str) else []
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"`name` must be one of {', '.join(list_models())}. Received: name={name!r}.{hint}")
    return _ARCHITECTURES[name]


def is_architecture(name: str) -> bool:
    """Whether an architecture of this name is registered, listed or not."""
    return name in _ARCHITECTURES


def architecture_of(factory: type) -> Architecture | None:
    """The architecture that a factory builds; `None` for one that is not registered, such as a subclass."""
    return next((found for found in _ARCHITECTURES.values() if found.factory is factory), None)


def list_models(pattern: str = "*", pretrained: bool = False) -> list[str]:
    """The names of the zoo's architectures.

    !!! example
        ```python
        list_models("*18*")  # ["CifarResNet18", "ResNet18"]
        ```

    # Arguments
        pattern: shell-style wildcard that a name must match, upper or lower case.
        pretrained: whether to name published weights instead, e.g. `"ResNet20/cifar10"`, which `zoo.load` takes.

    # Returns
        Names, sorted.
    """
    names = sorted(found.name for found in _ARCHITECTURES.values() if found.listed)
    matching = [name for name in names if fnmatchcase(name.lower(), pattern.lower())]
    return [entry.name for name in matching for entry in published(name)] if pretrained else matching


def get_model(name: str, **kwargs: Any) -> tf.keras.Model:
    """Instantiates an architecture by its name.

    # Arguments
        name: one of `list_models()`, or `"FloatResNet34"`, their teacher.
        **kwargs: the architecture's arguments, e.g. `weights`.

    # Returns
        A Keras model instance.

    # Raises
        ValueError: if there is no such architecture or argument, or from the architecture.
    """
    found = architecture(name)
    if unknown := kwargs.keys() - found.defaults.keys():
        known = ", ".join(found.defaults)
        raise ValueError(f"Arguments of {name} must be among {known}. Received: {', '.join(sorted(unknown))}.")
    return found.function(**kwargs)
