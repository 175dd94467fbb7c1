"""What an inspection says of one operation of an exported file."""

from dataclasses import dataclass

BINARY = "1-bit"


@dataclass(frozen=True)
class Operation:
    """One operation of an exported file.

    # Attributes
        name: what the file calls its output.
        kind: the runtime's name for what it does.
        precision: in which it computes, `"1-bit"` or the type of its output.
        macs: multiplications with an addition, for one image.
        bytes: of the constants that only it, or it first, takes.
    """

    name: str
    kind: str
    precision: str
    macs: int
    bytes: int
