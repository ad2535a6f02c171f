"""Ctrl-C between two steps: the first asks a long run to stop where it stands, the second raises `KeyboardInterrupt`.

Nothing is raised inside compiled code or its compiler. Only where Python's own handler is in place, in the main thread;
elsewhere nothing is changed. Runs inside runs share the outermost one's.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Asked:
    """`stop` is whether Ctrl-C came."""

    def __init__(self) -> None:
        self.stop = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True


@contextlib.contextmanager
def stopping_politely() -> Iterator[Asked]:
    """Within it the first Ctrl-C sets `stop`."""
    asked, before = Asked(), signal.getsignal(signal.SIGINT)
    if isinstance(before, Asked):
        yield before
    elif before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield asked
    else:
        signal.signal(signal.SIGINT, asked)
        try:
            yield asked
        finally:
            signal.signal(signal.SIGINT, before)
