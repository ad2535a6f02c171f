"""Ctrl-C and SIGTERM, heard once: the first ends the search and keeps the bracket; later ones are let go by.

An exception raised inside a callback of a foreign library (jax has one in the garbage collector) is swallowed there;
the signal is therefore sent again every quarter of a second until the command says that it has heard, as the driver's own
timer is, and Python's report of what was swallowed is left out. That holds for stops only: errors are reported.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """What was asked of the process: `asked`, a signal came; `heard`, the command is finishing because of it."""

    def __init__(self) -> None:
        self.asked = False
        self.heard = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.heard:
            return
        if not self.asked:
            self.asked = True
            threading.Thread(target=self._again, args=(signum,), daemon=True).start()
        raise KeyboardInterrupt

    def _again(self, signum: int) -> None:
        waiting = threading.Event()
        while not waiting.wait(0.25) and not self.heard:
            signal.raise_signal(signum)


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Within it the first SIGINT or SIGTERM raises `KeyboardInterrupt`; set `heard` when it has been acted on."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield interrupts
        return
    report = sys.unraisablehook

    def report_errors(swallowed: Any) -> None:
        if issubclass(swallowed.exc_type, Exception):  # a stop is a BaseException, and comes again
            report(swallowed)

    sys.unraisablehook = report_errors
    before = {s: signal.signal(s, interrupts) for s in _SIGNALS}
    try:
        yield interrupts
    finally:
        interrupts.heard = True
        sys.unraisablehook = report
        for s, handler in before.items():
            signal.signal(s, handler)
