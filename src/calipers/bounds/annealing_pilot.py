"""Pilot runs of bidirectional annealing: which reference, which schedule, how many steps and chains.

Everything that is chosen here is frozen before the chains that count, and from random numbers that are not theirs.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from calipers.bounds.annealing_budget import Budget, best_budget
from calipers.bounds.annealing_reference import Reference
from calipers.core.method import Limits
from calipers.sampling.cluster_annealing import anneal, even_schedule
from calipers.sampling.perfect import Coupler

_CHAINS, _STEPS = 8, 200
_TIME, _ENDLESS = 0.42, 60.0  # the share of the time for each side; seconds, where there is no limit


class Pilot(NamedTuple):
    """A way to a reference: `schedule` from there to the model; about log ζ(1)/ζ_0; the variance of log w."""

    reference: Reference
    coupler: Coupler
    schedule: np.ndarray
    log_ratio: float
    variance: float
    step: float  # seconds a step and chain
    draws: tuple[float, float]  # seconds of a start

    @property
    def paces(self) -> tuple[float, float]:
        """Seconds a chain takes, up and down."""
        chain = self.step * len(self.schedule)
        return self.draws[0] + chain, self.draws[1] + chain

    @property
    def work(self) -> float:
        """The variance of log w times the steps."""
        return self.variance * len(self.schedule)


def chosen(
    references: Sequence[Reference], couplers: Sequence[Coupler], limits: Limits, rng: np.random.Generator,
    steps: int | None, chains: int | None,
) -> tuple[Pilot, Budget]:  # fmt: skip
    """The nearest reference, a schedule to it, and what to spend; `steps` and `chains` where they are given.

    **Raises:** `Unfinished` when a perfect sample was not done in time.
    """
    began = time.monotonic(), time.thread_time()
    pilots = [_first(r, c, rng) for r, c in zip(references, couplers, strict=True)]
    pilot = min(pilots, key=lambda p: p.work * (p.step if steps is None else 1.0))
    if steps is None:
        half = _budget(pilot, limits, _busy(*began)).steps
        pilot = _respaced(pilot, min(max(half // 4, _STEPS), half), rng)
        budget = _budget(pilot, limits, _busy(*began))
    else:
        budget = Budget(steps, 100, 100, 0.0)
    schedule = _stretched(pilot.schedule, budget.steps)
    pilot = pilot._replace(schedule=schedule, variance=pilot.work / len(schedule))
    return pilot, budget._replace(up=chains or budget.up, down=chains or budget.down)


def _busy(wall: float, cpu: float) -> float:
    """CPU seconds that this thread got for a second on the clock, since then."""
    return min(max((time.thread_time() - cpu) / max(time.monotonic() - wall, 1e-9), 0.05), 1.0)


def _budget(pilot: Pilot, limits: Limits, busy: float) -> Budget:
    left = limits.seconds_left()
    seconds = _TIME * busy * (left if left < 1e9 else _ENDLESS)
    return best_budget(pilot.work, 0.5 * limits.delta, seconds, pilot.step, pilot.draws, 0.8 * limits.gap)


def _first(reference: Reference, coupler: Coupler, rng: np.random.Generator) -> Pilot:
    """A pilot on a schedule that knows nothing of the model yet."""
    schedule = reference.schedule(_STEPS)
    anneal(reference.magnet, schedule[-3:], reference.start(1, coupler, rng), rng, record=True)  # loads the kernels
    below = _seconds(lambda: reference.start(4, coupler, rng)) / 4.0
    above = _seconds(lambda: [coupler.draw(1.0, rng) for _ in range(5)]) / 5.0
    return _respaced(Pilot(reference, coupler, schedule, 0.0, 0.0, 0.0, (below, above)), _STEPS, rng)


def _respaced(pilot: Pilot, steps: int, rng: np.random.Generator) -> Pilot:
    """The schedule spaced by the spread of H on a pilot run of so many steps, and judged by the weights of another."""
    magnet, reference, coupler = pilot.reference.magnet, pilot.reference, pilot.coupler
    old = _stretched(pilot.schedule, max(steps, _STEPS // 4))
    found = anneal(magnet, old, reference.start(_CHAINS, coupler, rng), rng, record=True)
    schedule, spins = even_schedule(old, found.energies, steps), reference.start(_CHAINS, coupler, rng)
    logs = np.zeros(0)

    def judge() -> None:
        nonlocal logs
        logs = anneal(magnet, schedule, spins, rng).logs

    step = _seconds(judge) / (_CHAINS * len(schedule))
    variance = float(logs.var(ddof=1))
    ratio = float(logs.mean()) + 0.5 * min(variance, 30.0)  # as if log w were normal
    return pilot._replace(schedule=schedule, log_ratio=ratio, variance=variance, step=max(step, 1e-8))


def _seconds(work: Callable[[], object]) -> float:
    """CPU seconds that something takes: other programs do not disturb the choice."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _stretched(schedule: np.ndarray, steps: int) -> np.ndarray:
    """The same way in so many steps."""
    finite = schedule[np.isfinite(schedule)]
    ends = schedule[: len(schedule) - len(finite)]  # ∞, or none
    places = np.linspace(0.0, 1.0, max(steps + 1 - len(ends), 2))
    return np.concatenate([ends, np.interp(places, np.linspace(0.0, 1.0, len(finite)), finite)])
