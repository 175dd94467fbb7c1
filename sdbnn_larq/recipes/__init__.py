"""Recipes, one file for each published result. `run` takes the name of one, or the path of your own recipe file."""

import difflib
import functools
import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any

from zookeeper import configure
from zookeeper.core.cli import cli as tasks
from zookeeper.core.utils import generate_component_subclasses
from zookeeper.tf import Experiment


def run(task: str | os.PathLike, **fields: Any) -> None:
    """Runs a recipe, as `sdbnn train` does; the folder `output_dir` then holds the results.

    !!! example
        ```python
        from sdbnn_larq import recipes, zoo

        recipes.run("Folder", epochs=9, output_dir="run", **{"dataset.directory": "photos"})
        model = zoo.load("run/weights.safetensors")
        ```

    # Arguments
        task: name of a recipe, with or without its leading "Train", or path of a file that defines one task.
        **fields: what the recipe leaves open or what shall differ from it; those of components as `"model.filters"`.

    # Raises
        ValueError: if there is no such task, or if a field or value does not fit.
    """
    configured = task_class(os.fspath(task))()
    configure(configured, {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in fields.items()})
    configured.run()


def task_class(task: str) -> type:
    """The class of a task, given as in `run`; a recipe of one's own can be derived from it.

    !!! example
        ```python
        recipes.task_class("Digits")  # sdbnn_larq.recipes.digits.TrainDigits
        ```
    """
    name = load_file(task) if task.endswith(".py") else find_recipe(task)
    return next(found for found in generate_component_subclasses(Experiment) if found.__name__ == name)


def find_recipe(task: str) -> str:
    """The full name of a recipe."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    names = {name.removeprefix("Train").lower(): name for name in tasks.commands}
    key = task.removeprefix("Train").lower()
    if key not in names:
        near = difflib.get_close_matches(key, names, n=1)
        hint = f" Did you mean {names[near[0]].removeprefix('Train')}?" if near else ""
        known = ", ".join(sorted(name.removeprefix("Train") for name in names.values()))
        raise ValueError(f"TASK must be one of {known}, or a recipe file. Received: {task!r}.{hint}")
    return names[key]


def load_file(path: str) -> str:
    """Runs a recipe file, once, and gives the name of the task that it defines."""
    if not Path(path).is_file():
        raise ValueError(f"TASK must be a recipe's name or a file that exists. Received: {path!r}.")
    name, content = _loaded(Path(path).resolve())
    if content != Path(path).read_bytes():
        raise ValueError(
            f"A recipe file must stay as it is while Python runs. Received: {path!r}, which has changed since it was "
            "read; start Python anew."
        )
    return name


@functools.cache  # zookeeper knows each task's name but once
def _loaded(path: Path) -> tuple[str, bytes]:
    """The name of the task that a file defines, and the file's content."""
    content = path.read_bytes()
    sys.path.insert(0, str(path.parent))  # as Python does for a script
    name = f"_recipe_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    names = [name for name in defined if name in tasks.commands]
    if len(names) != 1:
        raise ValueError(f"A recipe file must define exactly one task. Received: {str(path)!r} with {len(names)}.")
    return names[0], content
