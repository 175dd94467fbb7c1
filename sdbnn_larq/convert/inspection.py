"""What an exported file computes, operation by operation, so that nobody has to guess whether a layer stayed 1-bit."""

import os
from dataclasses import dataclass
from pathlib import Path

from sdbnn_larq.convert.operation import BINARY, Operation
from sdbnn_larq.convert.targets import target_of


@dataclass(frozen=True)
class Inspection:
    """The operations of an exported file, in the order of computation.

    # Attributes
        bytes: size of the file, or of both files of OpenVINO's.
        binary_share: 1-bit share of the multiplications with an addition, 0 to 1.
    """

    operations: tuple[Operation, ...]
    bytes: int

    @property
    def binary_share(self) -> float:
        macs = sum(operation.macs for operation in self.operations)
        return sum(operation.macs for operation in self.operations if operation.precision == BINARY) / max(macs, 1)


def inspect(path: str | os.PathLike) -> Inspection:
    """Lists the operations of a file that `to_lce` or `to_openvino` wrote, or another of these formats.

    !!! example
        ```python
        sdbnn_larq.convert.to_openvino(model, "resnet20.xml")
        inspection = sdbnn_larq.convert.inspect("resnet20.xml")
        print(f"{inspection.binary_share:.1%} of {len(inspection.operations)} operations' MACs")
        ```

    # Arguments
        path: a `.tflite` file or OpenVINO's `.xml`.

    # Returns
        An inspection: the operations, the 1-bit share and the size.

    # Raises
        ImportError: if it is OpenVINO's file and OpenVINO is not installed.
        ValueError: if `path` is no such file.
    """
    path = Path(path)
    target = target_of(path)
    try:
        operations = tuple(target.operations(path))
        return Inspection(operations, sum(path.with_suffix(suffix).stat().st_size for suffix in target.suffixes))
    except ImportError:
        raise
    except Exception as error:  # the readers raise many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise ValueError(f"`path` must be a whole {path.suffix} file. Received: {str(path)!r}: {reason}") from error
