"""The command `sdbnn`, outside the package because it has to act before that is imported and loads TensorFlow."""

import contextlib
import os
import sys
from collections.abc import Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextlib.contextmanager
def _quiet_loading() -> Iterator[None]:
    """Drops what TensorFlow's libraries write to stderr while they are loaded, whatever their log level."""
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def main() -> None:
    """Loads the package and runs `sdbnn_larq.cli`; with a log level in the environment nothing is dropped."""
    loading = contextlib.nullcontext() if LEVEL in os.environ else _quiet_loading()
    os.environ.setdefault(LEVEL, "3")
    try:
        with loading:
            from sdbnn_larq.cli import main
    except ImportError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    main()
