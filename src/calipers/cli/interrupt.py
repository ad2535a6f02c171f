"""Ctrl-C and SIGTERM, heard once: the first ends the search and keeps the bracket; later ones are let go by.

Three traps. An exception raised in a callback of a foreign library is swallowed there (jax has one in the garbage
collector): the signal is sent again every quarter of a second until it is heard, and Python's report of the swallowed
stop (never of an error) is left out. One raised while extension modules are imported can crash the interpreter: stops
are held back meanwhile. And a library may turn it into an exception of its own: after a signal, any counts as the stop.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from calipers.core.compiling import compiling

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """What was asked of the process. `asked`: a signal came; `hear()` says that it has been acted on."""

    def __init__(self) -> None:
        self.asked = False
        self._heard = threading.Event()
        self._holding = False
        self._again: threading.Thread | None = None

    def hear(self) -> None:
        """The command is finishing; nothing is raised from here on."""
        self._heard.set()

    def close(self) -> None:
        """Ends the sending of signals, before the handlers go."""
        self.hear()
        if self._again is not None:
            self._again.join()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A stop within it is raised at its end."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self.asked and not self._heard.is_set():
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def stops(self) -> Iterator[None]:
        """A stop within it, or what a library made of it, ends the block and is heard."""
        try:
            yield
        except KeyboardInterrupt:
            self.asked = True
            self.hear()
        except Exception:
            if not self.asked:
                raise
            self.hear()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self._heard.is_set():
            return
        if not self.asked:
            self.asked = True
            self._again = threading.Thread(target=self._repeat, args=(signum,), daemon=True)
            self._again.start()
        if not self._holding and not compiling():
            raise KeyboardInterrupt

    def _repeat(self, signum: int) -> None:
        main = threading.main_thread().ident
        while main is not None and not self._heard.wait(0.25):
            signal.pthread_kill(main, signum)  # to that thread: it may be waiting in the system


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Within it the first SIGINT or SIGTERM raises `KeyboardInterrupt`."""
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
        interrupts.close()
        sys.unraisablehook = report
        for s, handler in before.items():
            signal.signal(s, handler)
