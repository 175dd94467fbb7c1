"""The table of export targets: a new one is a folder beside `lce` and `openvino`, and a row here."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sdbnn_larq.convert.lce.export import to_lce
from sdbnn_larq.convert.lce.inspect import operations as lce_operations
from sdbnn_larq.convert.lce.run import load as load_lce
from sdbnn_larq.convert.openvino.export import to_openvino
from sdbnn_larq.convert.openvino.inspect import operations as openvino_operations
from sdbnn_larq.convert.openvino.run import load as load_openvino
from sdbnn_larq.convert.operation import Operation
from sdbnn_larq.convert.runtime import LoadedFile, require
from sdbnn_larq.convert.verification import Report


@dataclass(frozen=True)
class Target:
    """A runtime that networks are exported to.

    # Attributes
        name: what the command line calls it, and the extra that installs its runtime.
        module: of the runtime.
        suffixes: of the files of one network; the first is the file that users name.
        export: writes a network.
        load: reads a file into the runtime; it takes a path, `threads`, `precision` and `indirect`.
        operations: lists what a file computes.
        precisions: of float operations, that the runtime lets a user choose.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    export: Callable[..., Report]
    load: Callable[..., LoadedFile]
    operations: Callable[[Path], Iterator[Operation]]
    precisions: tuple[str, ...] = ("f32",)

    def require(self) -> None:
        """Imports the runtime.

        # Raises
            ImportError: naming the extra that installs it.
        """
        require(self.module, self.name)


TARGETS = {
    target.name: target
    for target in (
        Target("lce", "larq_compute_engine", (".tflite",), to_lce, load_lce, lce_operations),
        Target(
            "openvino",
            "openvino",
            (".xml", ".bin"),
            to_openvino,
            load_openvino,
            openvino_operations,
            ("f32", "bf16"),
        ),
    )
}


def target_of(path: str | os.PathLike) -> Target:
    """The target whose file this is.

    # Raises
        ValueError: if `path` is no file, or one of none.
    """
    path = Path(path)
    for target in TARGETS.values():
        if path.suffix == target.suffixes[0] and path.is_file():
            return target
    suffixes = " or ".join(target.suffixes[0] for target in TARGETS.values())
    raise ValueError(f"`path` must be a {suffixes} file. Received: path={str(path)!r}.")
