"""Runs the notebooks and keeps their outputs in them, for the site and for code hosts.

    python docs/site/run_notebooks.py docs/notebooks/ten-minutes.ipynb
    python docs/site/run_notebooks.py docs/notebooks/your-photographs.ipynb --set photographs=/absolute/DIR

A cell with the tag "parameters" sets what `--set` may change, as `tests/test_notebooks.py` does; the notebook keeps
what its author wrote there.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

LIMIT = 1800  # seconds for a cell


def with_parameters(notebook: nbformat.NotebookNode, values: dict[str, Any]) -> nbformat.NotebookNode:
    """A copy whose cell with the tag "parameters" sets these values.

    # Raises
        ValueError: if that cell does not set one of them.
    """
    changed = nbformat.from_dict(notebook)
    (cell,) = [cell for cell in changed.cells if "parameters" in cell.metadata.get("tags", ())]
    for name, value in values.items():
        pattern, line = re.compile(rf"^{name} = .*$", re.MULTILINE), f"{name} = {value!r}"
        cell.source, count = pattern.subn(line.replace("\\", r"\\"), cell.source)
        if not count:
            raise ValueError(f"The cell of parameters must set `{name}`. Received: {cell.source!r}.")
    return changed


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Runs a notebook in a folder and gives it its outputs, without what libraries wrote to stderr."""
    client = NotebookClient(notebook, timeout=LIMIT, resources={"metadata": {"path": str(folder)}})
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)  # times, which differ in each run
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=TEXT", help="a parameter for this run")
    options = parser.parse_args()
    values = dict(setting.split("=", 1) for setting in options.set)
    notebook = nbformat.read(options.notebook, as_version=4)
    beside = options.notebook.resolve().parents[1]  # as deep as the notebook's own folder
    with tempfile.TemporaryDirectory(dir=beside) as folder:
        executed = run(with_parameters(notebook, values), Path(folder))
    for cell, done in zip(notebook.cells, executed.cells):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
    nbformat.write(notebook, options.notebook)


if __name__ == "__main__":
    main()
