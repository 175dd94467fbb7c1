"""The command `sdbnn`, outside the package because it has to act before that is imported and loads TensorFlow."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def _open_closed_streams() -> None:
    """Puts /dev/null in place of standard streams that are closed, lest the next opened file becomes one of them."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, this one
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode))  # noqa: SIM115


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
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


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ends the program at once on Ctrl-C: while libraries are loaded, an exception would be theirs to handle."""
    caught = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not if it is ignored
    if caught:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    yield
    if caught:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    """Runs the command line. After an error the program ends at once, without Python's normal shutdown.

    The shutdown would free what the error holds, TensorFlow's iterators among it. They wait for their workers, and
    workers that decode pictures wait for Python: a deadlock.
    """
    try:
        run()
    except SystemExit as end:
        if not end.code:
            raise
        status = end.code if isinstance(end.code, int) else 1
        if end.code != status:  # a message
            print(end.code, file=sys.stderr)
    except Exception:
        sys.excepthook(*sys.exc_info())
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it
            stream.flush()
    os._exit(status)


def run() -> None:
    """Loads the package and runs `sdbnn_larq.cli`; with a log level in the environment nothing is dropped."""
    try:
        with _interruptible():
            _open_closed_streams()
            # A file's name may be in no encoding.
            if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
                sys.stdout.reconfigure(errors="backslashreplace")
            loading = contextlib.nullcontext() if LEVEL in os.environ else quiet_loading()
            os.environ.setdefault(LEVEL, "3")
            try:
                with loading:
                    from sdbnn_larq.cli import main
            except ImportError as error:
                print(f"Error: {error}", file=sys.stderr)
                sys.exit(2)
        main()
    except KeyboardInterrupt:  # before the command line takes care of it, or after
        sys.exit(130)
