"""MkDocs hook: a page of reference for each public room of the package, and one for the command line."""

import ast
from pathlib import Path

import click
from loading import quietly
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).parents[2] / "sdbnn_larq"
COMMAND_LINE = "command-line"
MODULES = ("evaluation", "optimizers")  # public, though no packages


def rooms() -> list[str]:
    """The public parts of the package: first the zoo, whose users need no other for what it exports of others."""
    packages = {file.parent.name for file in PACKAGE.glob("[a-z]*/__init__.py")} - {"cli"}
    return sorted({*packages, *MODULES}, key=lambda room: (room != "zoo", room))


def api_paths() -> list[str]:
    """The pages of reference, in the order of the navigation."""
    return [f"api/{page}.md" for page in (*rooms(), COMMAND_LINE)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    shown: set[str] = set()
    contents = [*(room_page(room, shown) for room in rooms()), command_line()]
    for path, content in zip(api_paths(), contents):
        files.append(File.generated(config, path, content=content))
    return files


def room_page(room: str, shown: set[str]) -> str:
    """Markdown with a mkdocstrings block for each public name of a room; adds to `shown` what it shows.

    What several rooms export is documented in the first.
    """
    tree = parsed(f"sdbnn_larq.{room}")
    paths = [definition(f"sdbnn_larq.{room}", name) for name in public_names(tree)]
    blocks = [f"::: {path}" for path in paths if path not in shown]
    shown.update(paths)
    return "\n\n".join([f"# sdbnn_larq.{room}", ast.get_docstring(tree) or "", *blocks])


def parsed(module: str) -> ast.Module:
    """The syntax tree of a module or package."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text("utf-8"))


def definition(module: str, name: str) -> str:
    """The full name by which the module that defines `name` knows it."""
    for node in parsed(module).body:
        if isinstance(node, ast.ImportFrom) and name in [alias.asname or alias.name for alias in node.names]:
            return definition(node.module or "", name)
    return f"{module}.{name}"


def public_names(tree: ast.Module) -> list[str]:
    """What `__all__` lists; without one, the module's own classes and functions."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return [name for name in ast.literal_eval(node.value) if isinstance(name, str)]
    own = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return [name for name in own if not name.startswith("_")]


def command_line() -> str:
    """What `--help` says of each command."""
    with quietly():
        from sdbnn_larq.cli import main

    return "\n\n".join(["# Command line", *_helps(main, "sdbnn", 2)])


def _helps(command: click.Command, name: str, level: int) -> list[str]:
    context = click.Context(command, info_name=name, max_content_width=100)
    parts = [] if name == "sdbnn" else [f"{'#' * level} {name}"]
    parts.append(f"```text\n{command.get_help(context)}\n```")
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            parts += _helps(command.commands[child], f"{name} {child}", level)
    return parts
