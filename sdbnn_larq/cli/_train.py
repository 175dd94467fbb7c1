"""`sdbnn train`: runs a task with fields that are given as text."""

from sdbnn_larq import recipes
from sdbnn_larq.cli._fields import parse_fields
from sdbnn_larq.recipes import task_class

__all__ = ["run_task", "task_class"]  # recipes that `sdbnn tune` wrote import `task_class` from here


def run_task(task: str, config: tuple[str, ...]) -> None:
    """Runs a task.

    # Arguments
        task: as for `recipes.run`.
        config: `key=value` for each field to set.

    # Raises
        ValueError: if there is no such task, or if a field or value does not fit.
    """
    recipes.run(task, **parse_fields(config, task_class(task)))
