"""Time goes where the bracket closes, nobody starves, and every answer comes through."""

import itertools

from calipers.auto.schedule import Stream, alternate
from calipers.core.answer import Answer, Grounds, Side


class Clock:
    """Seconds that pass only when a stream works."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def climbing(clock, seconds, gains, start=0.0):
    """A lower bound that rises by each of `gains`, `seconds` a step."""
    value = start
    for gain in gains:
        clock.now += seconds
        value += gain
        yield Answer(lower=Side(value, Grounds.COMPUTED, method="climb"))


def falling(clock, seconds, gains, start=1e6):
    value = start
    for gain in gains:
        clock.now += seconds
        value -= gain
        yield Answer(upper=Side(value, Grounds.COMPUTED, method="fall"))


def test_every_answer_comes_through_and_each_stream_begins_in_order():
    clock = Clock()
    streams = [Stream("a", climbing(clock, 1.0, [1.0] * 5)), Stream("b", falling(clock, 1.0, [1.0] * 7))]
    answers = list(alternate(streams, clock))
    assert len(answers) == 12
    assert answers[0].lower.method == "climb"
    assert answers[1].upper.method == "fall"


def test_the_steeper_side_gets_the_time():
    clock = Clock()
    slow = Stream("slow", climbing(clock, 0.1, itertools.repeat(1e-4), start=-100.0))
    steep = Stream("steep", falling(clock, 0.1, itertools.repeat(2.0), start=400.0))
    answers = alternate([slow, steep], clock)
    for _ in range(90):
        next(answers)
    assert steep.spent > 5 * slow.spent


def test_nobody_starves():
    """A method whose widths pay late gets its turn although it has gained nothing so far."""
    clock = Clock()
    late = Stream("late", climbing(clock, 0.1, itertools.chain([0.0] * 90, itertools.repeat(3.0)), start=-4000.0))
    steady = Stream("steady", falling(clock, 0.1, itertools.repeat(0.1), start=1000.0))
    answers = alternate([late, steady], clock)
    for _ in range(900):
        next(answers)
    assert late.spent > steady.spent


def test_a_stream_that_forgets_old_gains():
    stream = Stream("x", iter(()))
    stream.book(0.1, 50.0)
    for _ in range(30):
        stream.book(0.1, 0.0)
    assert stream.rate(gap=1.0) < 1.0


def test_streams_that_creep_share_the_time():
    clock = Clock()
    streams = [Stream(str(k), climbing(clock, 0.1 * (k + 1), itertools.repeat(1e-6), start=-9.0)) for k in range(3)]
    answers = alternate([*streams, Stream("top", falling(clock, 0.1, [0.0] * 5, start=9.0))], clock)
    for _ in range(300):
        next(answers)
    assert max(s.spent for s in streams) < 1.3 * min(s.spent for s in streams)


def test_a_stream_may_run_alone_for_a_while():
    clock = Clock()
    stream = Stream("x", climbing(clock, 0.5, itertools.repeat(1.0)))
    assert len(list(stream.alone(2.2, clock))) == 5
    (only,) = Stream("y", climbing(clock, 0.5, [1.0])).alone(9.0, clock)
    assert only.lower.value == 1.0
