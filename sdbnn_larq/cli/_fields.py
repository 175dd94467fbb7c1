"""Reads the fields of a task or a data set as they are written on the command line: `key=value`."""

import os
import re
from collections.abc import Iterable
from typing import Any, get_args

from zookeeper import ComponentField, PartialComponent
from zookeeper.core.factory_registry import FACTORY_REGISTRY
from zookeeper.core.utils import (
    convert_to_snake_case,
    generate_component_subclasses,
    generate_subclasses,
    parse_value_from_string,
    type_check,
)


def parse_fields(config: Iterable[str], owner: type | None = None) -> dict[str, Any]:
    """Reads `key=value` pairs.

    A value is a Python literal where the field's type admits it, or else the text itself, so that a folder may be
    called 2024. A leading `~` becomes the home directory. `--key` and `--no-key` set True and False.

    !!! example
        ```python
        parse_fields(["epochs=3", "dataset.directory=2024"], TrainFolder)
        # {"epochs": 3, "dataset.directory": "2024"}
        ```

    # Arguments
        config: the pairs; only the first `=` separates.
        owner: the task or component whose fields they are; None where the fields have no declared types.

    # Returns
        The values by key, for zookeeper's `configure`.

    # Raises
        ValueError: if an item is no such pair, or sets a field to True or False whose values are others.
    """
    texts = dict(_split(item) for item in config)
    values = {}
    for key, text in texts.items():
        declared = _declared_type(owner, key, texts)
        values[key] = _value(text, declared) if isinstance(text, str) else text
        if isinstance(values[key], bool) and declared is not Any and bool not in (declared, *get_args(declared)):
            raise ValueError(f"`{key}` must be set as {key}=VALUE, not True or False. Received: {values[key]}.")
    return values


def _split(item: str) -> tuple[str, str | bool]:
    if flag := re.fullmatch(r"--(no-)?([\w.]+)", item):
        return flag[2], not flag[1]
    key, equals, text = item.partition("=")
    if not (equals and re.fullmatch(r"[\w.]+", key)):
        raise ValueError(f"A field must be set as key=value, e.g. epochs=3. Received: {item!r}.")
    return key, text


def _value(text: str, declared: Any) -> Any:
    value = parse_value_from_string(text)
    if not type_check(value, declared) and type_check(text, declared):
        value = text
    return os.path.expanduser(value) if isinstance(value, str) else value


def _declared_type(owner: type | None, key: str, texts: dict[str, Any]) -> Any:
    """The type of a field, `FIELD` or `COMPONENT.FIELD`; Any where it is not known."""
    *components, name = key.split(".")
    for depth, component in enumerate(components, 1):
        field = getattr(owner, "__component_fields__", {}).get(component)
        if not isinstance(field, ComponentField):
            return Any
        owner = _component_class(field, texts.get(".".join(components[:depth])))
    field = getattr(owner, "__component_fields__", {}).get(name)
    return Any if field is None or isinstance(field, ComponentField) else field.type


def _component_class(field: ComponentField, chosen: str | bool | None) -> type | None:
    """The class that `chosen` names, as zookeeper finds it, or the field's default."""
    if isinstance(chosen, bool):  # zookeeper says what it must be
        return None
    if chosen is None:
        default = field._default
        return default._component_class if isinstance(default, PartialComponent) else default
    candidates = list(generate_component_subclasses(field.type))
    for produced in generate_subclasses(field.type):
        candidates += FACTORY_REGISTRY.get(produced, [])
    wanted = convert_to_snake_case(chosen)
    return next((found for found in candidates if convert_to_snake_case(found.__name__) == wanted), None)
