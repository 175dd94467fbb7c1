"""What a search varies: fields of a task, each with a range or with choices."""

import dataclasses
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from zookeeper.core.component import base_getattr
from zookeeper.core.utils import is_component_instance, parse_value_from_string, type_check

Number = int | float


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; on a logarithmic scale if `log`."""

    field: str
    low: Number
    high: Number
    log: bool = False

    def value(self, drawn: Number) -> Any:
        return drawn

    def ends(self) -> list[Any]:
        return [self.low, self.high]

    def add_to(self, parameters) -> None:
        """Adds the range to Keras Tuner's hyperparameters."""
        add = parameters.Int if isinstance(self.low, int) else parameters.Float
        add(self.field, self.low, self.high, sampling="log" if self.log else "linear")


@dataclass(frozen=True)
class Choice:
    """One of several values, each as it is written on the command line."""

    field: str
    texts: tuple[str, ...]
    declared: Any = dataclasses.field(default=Any, compare=False)  # the field's type; a string stays one

    def value(self, drawn: str) -> Any:
        value = parse_value_from_string(drawn)
        return drawn if not type_check(value, self.declared) and type_check(drawn, self.declared) else value

    def ends(self) -> list[Any]:
        return [self.value(text) for text in self.texts]

    def add_to(self, parameters) -> None:
        """Adds the choices to Keras Tuner's hyperparameters, which know no None."""
        parameters.Choice(self.field, list(self.texts))


def parse_range(text: str, task: Any) -> Range:
    """Reads `FIELD=LOW:HIGH` or `FIELD=LOW:HIGH:log`.

    # Arguments
        text: e.g. `"learning_rate=1e-4:1e-1:log"`.
        task: the configured task whose field it is; an `int` field gets whole numbers.

    # Raises
        ValueError: if the text or the numbers do not fit, or if the task has no such field.
    """
    name, _, values = text.partition("=")
    parts = values.split(":")
    try:
        low, high = (parse_value_from_string(part) for part in parts[:2])
        fits = parts[2:] in ([], ["log"]) and all(type(x) in (int, float) and math.isfinite(x) for x in (low, high))
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"`--range` must be FIELD=LOW:HIGH, with :log if wanted. Received: {text!r}.")
    kind = field_type(task, name)
    if set(get_args(kind)) == {int, type(None)}:
        kind = int
    if kind is int and not (isinstance(low, int) and isinstance(high, int)):
        raise ValueError(f"A range of `{name}` must be of whole numbers. Received: {text!r}.")
    if kind is not int:
        low, high = float(low), float(high)
    log = parts[2:] == ["log"]
    if not low < high or (log and low <= 0):
        raise ValueError(f"A range must have LOW < HIGH, and LOW > 0 with :log. Received: {text!r}.")
    return Range(name, low, high, log)


def parse_choice(text: str, task: Any) -> Choice:
    """Reads `FIELD=VALUE,VALUE,...`.

    # Arguments
        text: e.g. `"model.self_distribution=both,None"`.
        task: the configured task whose field it is.

    # Raises
        ValueError: if there are fewer than two values, or if the task has no such field.
    """
    name, _, values = text.partition("=")
    texts = tuple(values.split(","))
    if len(set(texts)) < 2 or len(set(texts)) < len(texts) or "" in texts:
        raise ValueError(f"`--choice` must be FIELD=VALUE,VALUE,... with different values. Received: {text!r}.")
    return Choice(name, texts, field_type(task, name))


def field_type(task: Any, name: str) -> Any:
    """The type that a field, `FIELD` or `COMPONENT.FIELD`, is declared with."""
    component, fields = task, list(task.__component_fields__)
    *outer, inner = name.split(".")
    if outer:
        component = base_getattr(task, outer[0]) if outer[0] in fields else task
        if len(outer) > 1 or component is task or not is_component_instance(component):
            raise ValueError(f"A searched field must be FIELD or COMPONENT.FIELD of the task. Received: {name!r}.")
        fields = list(component.__component_fields__)
    if inner not in fields:
        near = difflib.get_close_matches(inner, fields, n=1)
        hint = f" Did you mean {'.'.join([*outer, near[0]])}?" if near else ""
        raise ValueError(f"A searched field must be one that the task has. Received: {name!r}.{hint}")
    return component.__component_fields__[inner].type


def read_field(task: Any, name: str) -> Any:
    """The value of a field; a TypeError if it is not of the declared type."""
    outer, _, inner = name.rpartition(".")
    return getattr(base_getattr(task, outer) if outer else task, inner)


def fields_of(space: Sequence[Range | Choice], drawn: dict[str, Any]) -> dict[str, Any]:
    """The task's fields that drawn hyperparameters mean."""
    return {entry.field: entry.value(drawn[entry.field]) for entry in space}
