"""Which errors were foreseen: a user reads those in one line, and of any other sees where it arose."""

import dis
import re

import click
from zookeeper.core.utils import ConfigurationError

# This package, and the libraries that check values which reach them as the user gave them.
CHECKING = ("sdbnn_larq", "zookeeper", "larq_zoo", "tensorflow_datasets")
LONGEST = 600  # characters of a line
NOT_GIVEN = re.compile(r"No configuration value found for annotated field '\w+\.([\w.]+)' of type .*")  # zookeeper's


def is_foreseen(error: BaseException) -> bool:
    """Whether an error says what is wrong with an input, rather than with the program.

    Such an error comes from the `raise` statement of a check, or from the operating system: a missing file, a full
    disk. An error of the same type out of any other operation, e.g. `int("x")` or a call of TensorFlow, is a bug.
    """
    if isinstance(error, ConfigurationError) or (isinstance(error, OSError) and error.errno is not None):
        return True
    trace = error.__traceback__
    if trace is None or not isinstance(error, ValueError | TypeError | OSError | ImportError):
        return False
    while trace.tb_next:
        trace = trace.tb_next
    package = trace.tb_frame.f_globals.get("__name__", "").partition(".")[0]
    operation = dis.opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]]
    return package in CHECKING and operation == "RAISE_VARARGS"


def one_line(error: BaseException) -> str:
    """The first paragraph of an error's message as one line, without terminal codes."""
    message = error.format_message() if isinstance(error, click.ClickException) else str(error)
    paragraph = click.unstyle(message).strip().split("\n\n")[0]
    text = " ".join(line.strip() for line in paragraph.splitlines()) or type(error).__name__
    text = NOT_GIVEN.sub(r"`\1` must be given, as \1=VALUE. Received: none.", text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
