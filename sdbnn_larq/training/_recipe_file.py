"""Checksums of a user's recipe file and of what it imports from its folder, by which a run knows them again."""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

INSTALLED = ("site-packages", "dist-packages")  # folders of packages, whose versions tell them


def checksum_of_recipe(task: type) -> str | None:
    """A checksum of the user's recipe file, without its comments; `None` for a recipe of this package.

    Of a program that Python runs, the statements that call something do not count.
    """
    module = _module_of(task)
    return _checksum(_code(module)) if module else None


def checksum_of_imports(task: type) -> str | None:
    """A checksum of the files that a user's recipe file imports from its folder, and of those that they import.

    `None` if there are none, and for a recipe of this package. Comments do not count.
    """
    module = _module_of(task)
    if module is None:
        return None
    found: dict[str, ModuleType] = {}
    left = [module]
    while left:
        for name in _imported_by(left.pop()):
            other = sys.modules.get(name)
            if other and name not in found and other is not module and _lies_beside(other, module):
                found[name] = other
                left.append(other)
    codes = [name.encode() + b"\n" + _code(other) for name, other in sorted(found.items())]
    return _checksum(b"\n".join(codes)) if codes else None


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _module_of(task: type) -> ModuleType | None:
    """The module that defines a task, if it is a file of the user's."""
    module = sys.modules.get(task.__module__)
    return module if module and not task.__module__.startswith("sdbnn_larq.") and _file(module) else None


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file and Path(file).is_file() else None


def _lies_beside(other: ModuleType, module: ModuleType) -> bool:
    """Whether a module is, or lies in a package that is, in the folder of another."""
    first, (file, beside) = other.__name__.partition(".")[0], (_file(other), _file(module))
    if file is None or beside is None or first == "sdbnn_larq" or beside.parent.name in INSTALLED:
        return False
    return file.parent == beside.parent or (beside.parent / first) in file.parents


def _parsed(module: ModuleType) -> ast.Module | None:
    """A module's syntax tree; `None` of one that is compiled or has IPython's magics."""
    file = _file(module)
    try:
        tree = ast.parse(file.read_bytes()) if file else None
    except (SyntaxError, ValueError):
        return None
    if tree and module.__name__ == "__main__":
        tree.body = [node for node in tree.body if not isinstance(node, ast.Expr) and not _asks_for_main(node)]
    return tree


def _asks_for_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _code(module: ModuleType) -> bytes:
    """What a module's file says, without comments."""
    tree, file = _parsed(module), _file(module)
    if tree is None:
        return file.read_bytes() if file else b""
    return ast.dump(tree).replace(", type_params=[]", "").encode()  # which Python 3.12 added


def _imported_by(module: ModuleType) -> Iterator[str]:
    """Names of all that a module may import, packages above them included."""
    tree = _parsed(module)
    for node in ast.walk(tree) if tree else ():
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (module.__package__ or not node.level):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), module.__package__)
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
