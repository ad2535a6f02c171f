"""Who goes next: several streams of answers about one log Z, and time that should go where the bracket closes.

Each stream is run until it has answered once and has had its *opening*, a time that it needs to get going (to grow its
tables to a size that tells, say), in the order given. From then on the next turn goes to the stream with
the largest predicted gain per second. That is what the bracket gained by it over its last seconds (a window that grows
with its own running time, since wider regions take longer to pay), but never less than hope says: running it for as
long again as it has run may close a twentieth of the gap. So a steep stream keeps the time while it is steep, and
streams that creep share it evenly: methods that grow their tables gain in steps. Proves nothing by itself; costs
nothing.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from calipers.core.answer import Answer

_WINDOW = (0.5, 0.3)  # a rate looks back this many seconds of the stream's own time, or this share of it
_HOPE = 0.05  # of the gap
_QUICK = 0.5  # seconds, below which running times count as this


class Stream:
    """A named sequence of answers with its account: seconds spent, and nats gained of late; `opening` in seconds."""

    def __init__(self, name: str, answers: Iterator[Answer], opening: float = 0.0):
        self.name, self.answers, self.opening = name, answers, opening
        self.spent = 0.0
        self._recent: deque[tuple[float, float]] = deque()

    def book(self, seconds: float, gain: float) -> None:
        """Enters one turn, and forgets those beyond the window."""
        self.spent += seconds
        self._recent.append((seconds, gain))
        window, held = max(_WINDOW[0], _WINDOW[1] * self.spent), sum(s for s, _ in self._recent)
        while len(self._recent) > 1 and held - self._recent[0][0] > window:
            held -= self._recent.popleft()[0]

    def alone(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[Answer]:
        """Its answers until it has run for `seconds`, with nobody else between."""
        while self.spent < seconds:
            begun = clock()
            answer = next(self.answers, None)
            if answer is None:
                return
            self.book(clock() - begun, 0.0)
            yield answer

    @property
    def opens(self) -> bool:
        """Whether it has not answered yet, or is in its opening."""
        return not self._recent or self.spent < self.opening

    def rate(self, gap: float) -> float:
        """Predicted nats per second of the next turn, with `gap` nats still open."""
        seconds, gain = (sum(column) for column in zip(*self._recent, strict=True))
        return max(gain / max(seconds, 1e-6), _HOPE * gap / (_QUICK + self.spent))


def alternate(streams: Sequence[Stream], clock: Callable[[], float] = time.monotonic) -> Iterator[Answer]:
    """Answers of all streams until every one has ended, each turn given to the most promising."""
    live, best = list(streams), Answer()
    while live:
        first = next((s for s in live if s.opens), None)
        stream = first or max(live, key=lambda s: (s.rate(best.gap), -s.spent))
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


def _gain(before: Answer, after: Answer) -> float:
    """Nats by which the bracket closed; a side's first finite value counts as one."""
    gain = 0.0
    for old, new in ((before.lower.value, after.lower.value), (before.upper.value, after.upper.value)):
        gain += abs(new - old) if math.isfinite(new - old) else float(new != old)
    return gain
