"""A search's best fields as a recipe file that `sdbnn train` runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zookeeper import ComponentField, PartialComponent
from zookeeper.core.component import base_getattr
from zookeeper.core.utils import is_component_instance, is_immutable

from sdbnn_larq._files import atomic_file


def adjusted(task_class: type, name: str, **fields: Any) -> ComponentField:
    """A component of a task with other defaults, for a task that is derived from it.

    !!! example
        ```python
        from zookeeper import task
        from sdbnn_larq.recipes.digits import TrainDigits

        @task
        class TrainDigitsReduced(TrainDigits):
            model = tuning.adjusted(TrainDigits, "model", asd_reduction=4)
        ```

    # Arguments
        task_class: the task.
        name: the component's field, e.g. `"model"`.
        **fields: the component's fields; its other defaults stay as they are.
    """
    default = task_class.__component_fields__[name]._default  # type: ignore[attr-defined]
    known: dict[str, Any] = {}
    if isinstance(default, PartialComponent):
        default, known = default._component_class, default._lazy_kwargs
    return ComponentField(PartialComponent(default, **{**known, **fields}))


def write_recipe(path: Path, name: str, task: Any, fields: Mapping[str, Any], source: str, summary: str) -> None:
    """Writes a recipe file.

    # Arguments
        path: the file.
        name: of the task that it defines.
        task: a configured task that has the fields' values.
        fields: what differs from its class, as `FIELD` or `COMPONENT.FIELD`.
        source: where the class comes from: a recipe file, or empty for an installed recipe.
        summary: first line of the docstring.
    """
    base = type(task).__name__
    imports = {f"from {type(task).__module__} import {base}"}
    if source:
        base = f"task_class({str(Path(source).resolve())!r})"
        imports = {"from sdbnn_larq.recipes import task_class"}
    lines, used = [], {"task"}
    nested: dict[str, dict[str, Any]] = {}
    for field, value in fields.items():
        component, _, inner = field.rpartition(".")
        if component:
            nested.setdefault(component, {})[inner] = value
        elif is_component_instance(base_getattr(task, field)):
            nested.setdefault(field, {})
        else:
            used.add("Field")
            lines.append(f"    {field} = Field({_default(value)})")
    for component, values in nested.items():
        arguments = "".join(f", {inner}={_default(value)}" for inner, value in values.items())
        if component not in fields:
            imports.add("from sdbnn_larq.tuning import adjusted")
            lines.append(f"    {component} = adjusted({base}, {component!r}{arguments})")
            continue
        chosen = type(base_getattr(task, component))
        component_class = chosen.__name__
        if source and chosen.__module__ == type(task).__module__:  # of the recipe file, which Python cannot import
            imports.add("from inspect import getmodule")
            component_class = f"getmodule({base}).{component_class}"
        else:
            imports.add(f"from {chosen.__module__} import {component_class}")
        used |= {"ComponentField", "PartialComponent"} if arguments else {"ComponentField"}
        default = f"PartialComponent({component_class}{arguments})" if arguments else component_class
        lines.append(f"    {component} = ComponentField({default})")
    text = "\n".join(
        [
            f'"""{summary}"""\n',
            f"# sdbnn train {' '.join(str(path).splitlines())}\n",
            f"from zookeeper import {', '.join(sorted(used))}\n",
            *sorted(imports),
            f"\n\n@task\nclass {name}({base}):",
            *sorted(lines),
        ]
    )
    with atomic_file(path) as file:
        file.write((text + "\n").encode())


def _default(value: Any) -> str:
    """As a field's default: zookeeper wants what can be altered made anew."""
    return repr(value) if is_immutable(value) else f"lambda: {value!r}"
