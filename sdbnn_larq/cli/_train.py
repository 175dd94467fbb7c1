"""`sdbnn train`: finds a task among the recipes, or in a file, and runs it."""

import difflib
import functools
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path

from zookeeper import configure
from zookeeper.core.cli import cli as tasks
from zookeeper.core.utils import generate_component_subclasses

import sdbnn_larq  # noqa: F401  (Keras 2 before zookeeper's TensorFlow parts)
from sdbnn_larq.cli._fields import parse_fields

# isort: split
from zookeeper.tf import Experiment


def run_task(task: str, config: tuple[str, ...]) -> None:
    """Runs a task.

    # Arguments
        task: name of a recipe, with or without its leading "Train", or path of a file that defines one task.
        config: `key=value` for each field to set.

    # Raises
        ValueError: if there is no such task, or if a field or value does not fit.
    """
    chosen = task_class(task)
    configured = chosen()
    configure(configured, parse_fields(config, chosen))
    configured.run()


def task_class(task: str) -> type:
    """The class of a task, given as in `run_task`."""
    name = load_file(task) if task.endswith(".py") else find_recipe(task)
    return next(found for found in generate_component_subclasses(Experiment) if found.__name__ == name)


def find_recipe(task: str) -> str:
    """The full name of a recipe."""
    import sdbnn_larq.recipes as recipes

    for module in pkgutil.iter_modules(recipes.__path__, f"{recipes.__name__}."):
        importlib.import_module(module.name)
    names = {name.removeprefix("Train").lower(): name for name in tasks.commands}
    key = task.removeprefix("Train").lower()
    if key not in names:
        near = difflib.get_close_matches(key, names, n=1)
        hint = f" Did you mean {names[near[0]].removeprefix('Train')}?" if near else ""
        known = ", ".join(sorted(name.removeprefix("Train") for name in names.values()))
        raise ValueError(f"TASK must be one of {known}, or a recipe file. Received: {task!r}.{hint}")
    return names[key]


@functools.cache  # zookeeper knows each task's name but once
def load_file(path: str) -> str:
    """Runs a recipe file and gives the name of the task that it defines."""
    if not Path(path).is_file():
        raise ValueError(f"TASK must be a recipe's name or a file that exists. Received: {path!r}.")
    sys.path.insert(0, str(Path(path).resolve().parent))  # as Python does for a script
    spec = importlib.util.spec_from_file_location("_recipe", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    names = [name for name in defined if name in tasks.commands]
    if len(names) != 1:
        raise ValueError(f"A recipe file must define exactly one task. Received: {path!r} with {len(names)}.")
    return names[0]
