"""The one anytime driver: it runs a method's answers until exactness, the gap, the time or Ctrl-C.

Whatever stops it, the best bracket so far is yielded last and holds. A time limit interrupts a step at work through
the same door as Ctrl-C (a timer signal, main thread only); elsewhere it is looked at between two answers.
"""

import contextlib
import math
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from calipers.core.answer import Answer, Grounds, Misleading, Result, Side, outward
from calipers.core.compiling import compiling
from calipers.core.method import AbstractMethod, Limits
from calipers.core.model import AbstractModel

_AGAIN = 0.25  # seconds from one ring of the alarm to the next, until it is heard


class _TimeUp(BaseException):
    """Raised inside a step when the deadline passes; never leaves this file."""


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raises `_TimeUp` in the main thread after `seconds`, and again until it is heard."""
    usable = math.isfinite(seconds) and threading.current_thread() is threading.main_thread()
    if not usable or signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, signal.SIG_IGN, None):
        yield
        return

    def ring(*_: object) -> None:
        if not compiling():
            raise _TimeUp

    def hush(lost: Any) -> None:  # raised inside a callback of the garbage collector: it will ring again
        if not isinstance(lost.exc_value, _TimeUp):
            shown(lost)

    away = False

    def put_away() -> None:
        nonlocal away
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook, away = shown, True

    before, shown = signal.signal(signal.SIGALRM, ring), sys.unraisablehook
    sys.unraisablehook = hush
    try:
        try:  # the bell may ring on the way in, at once if the time is up, and while it is being put away
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6), _AGAIN)
            yield
        finally:
            put_away()
    finally:
        if not away:  # within `_AGAIN` of a ring that cut the first one short: a bell left behind would end the process
            put_away()


def _stopped(answer: Answer, limits: Limits) -> Result | None:
    """Why to stop now, if anything says so."""
    if answer.exact:
        return Result.EXACT
    if math.isfinite(answer.gap) and answer.gap <= limits.gap:
        return Result.GAP_MET
    return Result.TIME_LIMIT if limits.seconds_left() <= 0 else None


def _asked_to_stop(error: BaseException | None) -> Result | None:
    """Whether an exception is the deadline or Ctrl-C, perhaps wrapped: compiled code raises SystemError from it."""
    while error is not None:
        if isinstance(error, _TimeUp):
            return Result.TIME_LIMIT
        if isinstance(error, KeyboardInterrupt):
            return Result.INTERRUPTED
        error = error.__cause__ or error.__context__
    return None


def iterate(
    model: AbstractModel,
    method: AbstractMethod,
    *,
    key: Any = None,
    limits: Limits = Limits(),
    start: Answer | None = None,
) -> Iterator[Answer]:
    """Yields the running intersection of a method's answers; the last one carries the result code.

    **Arguments:** `model`; `method`; `key`, a typed `jax.random.key` for random methods; `limits`; `start`, what is
    known of the same log Z already, to be intersected with the rest: nothing is run when it meets the gap.

    **Raises:** `Refusal` when the method will not take the model at all.
    """
    best = Answer() if start is None else start
    result = Result.GAP_MET if math.isfinite(best.gap) and best.gap <= limits.gap else None
    stream: Iterator[Answer] | None = None
    while result is None:
        try:
            with _alarm(limits.seconds_left()):
                if stream is None:
                    plan = method.plan(model, limits)
                    best, stream = best.but(plan=plan, result=Result.RUNNING), method.answers(model, plan, key)
                best = best & next(stream)
        except StopIteration:
            result = Result.EXHAUSTED if best.result is Result.RUNNING else best.result
        except BaseException as error:
            result = _asked_to_stop(error)
            if result is None:
                raise
        else:
            result = _stopped(best, limits)
            if result is None:
                yield best
    yield best.but(result=result)


def log_z(
    model: AbstractModel,
    method: AbstractMethod,
    *,
    key: Any = None,
    gap: float = 0.01,
    time_limit: float = 60.0,
    delta: float = 0.0,
    memory: float = 8e9,
    beliefs: bool = False,
    start: Answer | None = None,
    check: bool = True,
) -> Answer:
    """Brackets log Z of `model` by `method`.

    **Arguments:** `gap`, nats to aim for; `time_limit`, seconds of wall clock from this call; `delta`, the failure
    probability that statistical sides may spend (0: deterministic sides only); `memory`, bytes; `beliefs`, whether
    marginals are wanted too; `start`, what is known of the same log Z already; `check`, whether to raise rather than
    return an estimate that would mislead.

    **Returns:** the last and best `Answer`; its `result` says why the run stopped.

    **Raises:** `Refusal` when the method will not take the model; `Misleading`, which carries the answer, when `check`
    and the estimate failed its own checks.
    """
    limits = Limits(deadline=time.monotonic() + time_limit, gap=gap, delta=delta, memory=memory, beliefs=beliefs)
    answer = deque(iterate(model, method, key=key, limits=limits, start=start), maxlen=1).pop()
    if check and answer.result is Result.MISLEADING:
        raise Misleading(answer)
    return answer


def log_prob(model: AbstractModel, x: Any, method: AbstractMethod, **limits: Any) -> Answer:
    """Brackets log p(x) = log weight of x − log Z: exact, or as wide as the bracket on log Z.

    **Arguments:** `x`, one configuration as `model.log_weight` takes it; `method` and `limits` as in `log_z`.

    **Returns:** an `Answer` about log p(x), in nats.
    """
    answer, weight = log_z(model, method, **limits), float(model.log_weight(x))

    def turned(side: Side, sign: float) -> Side:
        value = outward(weight - side.value, 2.0**-50 * (abs(weight) + abs(side.value)), sign)
        return Side(value, side.grounds, side.delta, side.method, reason=side.reason, look=side.look)

    if weight == -math.inf:
        lower = upper = Side(-math.inf, Grounds.EXACT, method=repr(method))
        return Answer(lower, upper, value=-math.inf, result=Result.EXACT)
    assert answer.deterministic is not None
    below, above = answer.deterministic
    value = None if answer.value is None else weight - answer.value
    return Answer(
        turned(answer.upper, -1.0),
        turned(answer.lower, 1.0),
        value,
        result=answer.result,
        stats=answer.stats,
        plan=answer.plan,
        deterministic=(turned(above, -1.0), turned(below, 1.0)),
        spent=answer.spent,
    )
