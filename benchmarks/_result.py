"""Prints a benchmark's result, and writes it if a file was named."""

import json
from pathlib import Path
from typing import Any


def print_result(result: Any, output: str | None) -> None:
    """As JSON, to stdout and to the file `output`."""
    text = json.dumps(result, indent=2)
    print(text)
    if output:
        Path(output).write_text(text + "\n")
