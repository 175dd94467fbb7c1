"""The package, loaded without the messages of the libraries below it."""

import contextlib
import os
import warnings
from collections.abc import Iterator

from sdbnn_command import quiet_loading


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Drops what libraries say while they are imported inside the block; MkDocs would show every warning."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_loading(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
