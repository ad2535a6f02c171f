"""The driver: what stops it, and that the best bracket so far survives."""

import itertools
import math
import signal
import time

import jax
import numpy as np
import pytest

import calipers as cal
from calipers.core.answer import Answer, Grounds, Result, Side
from calipers.core.iterate import iterate, log_prob, log_z
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal

MODEL = cal.Ising.chain(3, beta=0.5)


class Slow(AbstractMethod):
    """Narrows a bracket around zero by halves, `pause` seconds a step; `stumble` raises Ctrl-C at that step."""

    proves = Proves.BOTH
    pause: float = 0.0
    stumble: int = -1

    def plan(self, model, limits=Limits()):
        return Plan("wait", limits=limits)

    def answers(self, model, plan, key=None):
        for step in range(60):
            if step == self.stumble:
                raise KeyboardInterrupt
            width = 2.0**-step
            yield Answer(
                Side(-width, Grounds.COMPUTED, method="Slow()"), Side(width, Grounds.COMPUTED, method="Slow()")
            )
            time.sleep(self.pause)


def test_it_stops_at_the_gap():
    answer = log_z(MODEL, Slow(), gap=0.1)
    assert answer.result is Result.GAP_MET
    assert 0.05 <= answer.gap <= 0.1


def test_a_deadline_interrupts_a_step_at_work():
    begun = time.monotonic()
    answer = log_z(MODEL, Slow(pause=30.0), gap=0.0, time_limit=0.3)
    assert answer.result is Result.TIME_LIMIT
    assert time.monotonic() - begun < 10.0
    assert answer.gap == 2.0


def test_ctrl_c_keeps_the_bracket():
    answer = log_z(MODEL, Slow(stumble=3), gap=0.0)
    assert answer.result is Result.INTERRUPTED
    assert answer.gap == 0.5


def test_it_ends_when_the_method_does():
    assert log_z(MODEL, Slow(), gap=0.0).result is Result.EXHAUSTED
    assert log_z(MODEL, cal.Elimination(), gap=0.0).result is Result.EXACT


def test_answers_never_widen():
    answers = list(iterate(MODEL, cal.Auto(), limits=Limits()))
    assert all(
        a.lower.value <= b.lower.value and a.upper.value >= b.upper.value for a, b in itertools.pairwise(answers)
    )


def test_refusals_and_errors_come_through():
    with pytest.raises(Refusal):
        log_z(cal.Ising.square((12, 12), beta=1.0), cal.Enumeration())

    class Broken(Slow):
        def answers(self, model, plan, key=None):
            raise ZeroDivisionError
            yield

    with pytest.raises(ZeroDivisionError):
        log_z(MODEL, Broken())


def test_log_prob_sums_to_one():
    total = sum(
        math.exp(log_prob(MODEL, [a, b, c], cal.Elimination()).value) for a in (0, 1) for b in (0, 1) for c in (0, 1)
    )
    assert total == pytest.approx(1.0, abs=1e-12)


def test_log_prob_is_bracketed_when_log_z_is():
    magnet = cal.Ising.square((4, 4), beta=0.4, field=0.1)
    exact = log_prob(magnet, [0] * 16, cal.Elimination()).value
    below = log_prob(magnet, [0] * 16, cal.MeanField())
    assert below.upper.value >= exact
    assert below.lower.value == -math.inf


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timer signals")
def test_no_alarm_is_left_behind():
    """Deadlines of microseconds ring on the way into a step, inside it and on the way out; a bell left on kills."""
    before = signal.getsignal(signal.SIGALRM)
    for step in range(1500):
        limits = Limits(deadline=time.monotonic() + step * 1e-7)
        assert list(iterate(MODEL, Slow(), limits=limits))[-1].result in (Result.TIME_LIMIT, Result.EXHAUSTED)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGALRM) is before


def test_log_prob_keeps_both_brackets_and_the_delta_that_was_spent():
    magnet = cal.Ising.square((4, 4), coupling="pm1", field="gauss:0.1", seed=1)
    x = np.zeros(magnet.n, int)
    exact = cal.log_prob(magnet, x, cal.Elimination()).value
    method = cal.ImportanceSampling(ibound=2, samples=5000)
    answer = cal.log_prob(magnet, x, method, key=jax.random.key(0), delta=0.01, gap=0.0)
    assert answer.delta == pytest.approx(0.01)
    assert answer.lower.value <= exact <= answer.upper.value
    assert answer.deterministic[0].value <= exact
    assert answer.deterministic[0].grounds is Grounds.COMPUTED
    assert answer.deterministic[1].value == math.inf
