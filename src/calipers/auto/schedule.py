"""Who goes next: several streams of answers about one log Z, and time that should go where the bracket closes.

Each stream is run until it has answered once, in the order given. From then on the next turn goes to the stream with
the largest predicted gain per second: what the bracket gained by it over its last seconds (a window that grows with
its own running time, since wider regions take longer to pay), with a little credit for being untried. A stream that
has had less than its fair share by a wide margin goes first whatever its rate: methods that grow their tables gain in
steps.
Proves nothing by itself; costs nothing.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from calipers.core.answer import Answer

_WINDOW = (0.5, 0.3)  # a rate looks back this many seconds of the stream's own time, or this share of it
_LEAST = 0.08  # of the time so far, shared by all streams: what each gets at least
_CREDIT = 0.05  # nats, halving with every second that a stream has run


class Stream:
    """A named sequence of answers with its account: seconds spent, and nats gained of late."""

    def __init__(self, name: str, answers: Iterator[Answer]):
        self.name, self.answers = name, answers
        self.spent = 0.0
        self._recent: deque[tuple[float, float]] = deque()

    def book(self, seconds: float, gain: float) -> None:
        """Enters one turn, and forgets those beyond the window."""
        self.spent += seconds
        self._recent.append((seconds, gain))
        window, held = max(_WINDOW[0], _WINDOW[1] * self.spent), sum(s for s, _ in self._recent)
        while len(self._recent) > 1 and held - self._recent[0][0] > window:
            held -= self._recent.popleft()[0]

    def rate(self) -> float:
        """Predicted nats per second of the next turn; infinite before the first."""
        if not self._recent:
            return math.inf
        seconds, gain = (sum(column) for column in zip(*self._recent, strict=True))
        return (gain + _CREDIT * 0.5**self.spent) / max(seconds, 1e-6)


def alternate(streams: Sequence[Stream], clock: Callable[[], float] = time.monotonic) -> Iterator[Answer]:
    """Answers of all streams until every one has ended, each turn given to the most promising."""
    live, best = list(streams), Answer()
    while live:
        stream = _next(live)
        begun = clock()
        answer = next(stream.answers, None)
        seconds = clock() - begun
        if answer is None:
            live.remove(stream)
            continue
        better = best & answer
        stream.book(seconds, _gain(best, better))
        best = better
        yield answer


def _next(live: Sequence[Stream]) -> Stream:
    total = sum(s.spent for s in live)
    starved = min(live, key=lambda s: s.spent)
    if starved.spent < _LEAST * total / len(live):
        return starved
    return max(live, key=Stream.rate)


def _gain(before: Answer, after: Answer) -> float:
    """Nats by which the bracket closed; a side's first finite value counts as one."""
    gain = 0.0
    for old, new in ((before.lower.value, after.lower.value), (before.upper.value, after.upper.value)):
        gain += abs(new - old) if math.isfinite(new - old) else float(new != old)
    return gain
