"""Signals that end a run, once it has saved what it can."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator


class Signals:
    """SIGINT and SIGTERM: at once, or while `deferred` kept until `pending` is looked at.

    `pending` is set in either case: libraries swallow an exit that comes at a bad moment.
    """

    def __init__(self):
        self.deferred = False
        self.pending: int | None = None

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Handlers of this object inside the block; a second signal does not wait.

        Python has handlers in its main thread alone: elsewhere signals stay with whoever started the thread.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number, frame):
            at_once = not self.deferred or self.pending
            self.pending = number
            if at_once:
                self.exit_if_pending()

        old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def exit_if_pending(self) -> None:
        if self.pending:
            sys.exit(128 + self.pending)
