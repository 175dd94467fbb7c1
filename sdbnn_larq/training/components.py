"""What a task says of its components: which it names, and what it sets there.

The fields that a recipe sets reach its components' fields of the same name. zookeeper lets a value from the command
line reach them, but not a task's default: a component's own default goes before it, so that
`input_shape = Field((128, 128, 3))` in a recipe would change neither the model nor the preprocessing.
"""

import inspect
from collections.abc import Iterator
from typing import Any

from zookeeper import ComponentField, PartialComponent
from zookeeper.core.component import base_getattr
from zookeeper.core.utils import is_component_instance

LIBRARY = ("zookeeper.", "sdbnn_larq.training.")  # whose classes are no recipes: their defaults are nobody's choice


def share_fields(task: Any) -> None:
    """Makes each field that a recipe defines the default of all components below that have one of that name.

    What a recipe sets for one component, with `PartialComponent`, and what the command line sets go before it.

    # Arguments
        task: a task that is configured and whose components are not yet, as in zookeeper's `__post_configure__`.
    """
    fields = task.__component_fields__
    own = {name for name, field in fields.items() if not isinstance(field, ComponentField) and _is_set(field)}
    for component in _components(task):
        for name in own & component.__component_fields__.keys():
            if name not in component.__component_instantiated_field_values__:
                setattr(component, name, base_getattr(task, name))


def _is_set(field: Any) -> bool:
    """Whether a recipe, or a class that a recipe is derived from, gives the field's default."""
    return field.has_default and not field.host_component_class.__module__.startswith(LIBRARY)


def _components(parent: Any) -> Iterator[Any]:
    for name, field in parent.__component_fields__.items():
        if isinstance(field, ComponentField) and name in parent.__component_fields_with_values_in_scope__:
            component = base_getattr(parent, name)
            if is_component_instance(component):
                yield component
                yield from _components(component)


def default_of(task: type, name: str) -> tuple[Any, dict[str, Any]]:
    """The class of a component that a task names, and the fields that it sets there."""
    default = task.__component_fields__[name]._default  # type: ignore[attr-defined]
    if not isinstance(default, PartialComponent):
        return default, {}
    values = {field: value() for field, value in default._lazy_kwargs.items() if inspect.isfunction(value)}
    return default._component_class, values
