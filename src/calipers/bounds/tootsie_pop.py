"""The tootsie-pop algorithm: log Z of a ferromagnet from a count that is exactly Poisson.

    λ_0 = 1,   λ_{k+1} = λ_k + Exp(1) / H(x_k),   x_k ~ e^{−λ_k H} by perfect sampling;   N = first k with H(x_k) = 0
    N ~ Poisson(A),   A = log ζ(1)/ζ(∞),   log Z = log_scale + log ζ(∞) + A     (from the model to its ground states)

From independent spins to the model it is the same with λ_0 = 0, until λ > 1: then A = log ζ(0)/ζ(1). The shorter way is
taken. H is what is not satisfied (ferromagnet.py). **Proves** both sides with probability ≥ 1 − δ over the seed, with
no assumption about mixing and none about the variance of anything: the counts' law is known but for A, and a confidence
sequence for a Poisson mean may be read after every run for one δ, so that time-outs spend nothing (docs/theorems.md,
theorems S5–S7). With r runs the width is about 7 √(A/r) at δ = 0.01. **Cost** A + 1 perfect samples a run, hence
about 49 A²/width² of them. **Fails** by a wide interval where A² is large (`BidirectionalAnnealing` is then narrower by
far, if chains mix), by no interval where perfect sampling does not end, and refuses all but ferromagnets and what flips
of spins make of them. **Source** Huber & Schott, *Using TPA for Bayesian inference* (2010), *Random construction
of interpolating sets* (2014); Huber, *Approximation algorithms for the normalizing constant of Gibbs distributions*
(2015).
"""

import itertools
import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.bounds.confidence import PoissonSequence
from calipers.core.answer import Answer, Grounds, Result, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.sampling import generator
from calipers.sampling.ferromagnet import ULP, Ferromagnet, ferromagnet
from calipers.sampling.perfect import Coupler, PerfectSampling, Unfinished
from calipers.sampling.random_cluster_kernels import excess

_PILOT = 4  # runs at least, that only tune the confidence sequence
_looks = itertools.count()


class TootsiePop(AbstractMethod):
    """Both sides of log Z of a ferromagnet at δ, from Poisson counts.

    **Arguments:** `runs`, at most, or None for as many as the limits allow; `coupling` of the perfect samples, as in
    `PerfectSampling`.

    **Proves** both sides statistically. Needs `limits.delta` > 0 and a `key`.
    """

    proves: ClassVar[Proves] = Proves.BOTH
    runs: int | None = None
    coupling: str = "auto"

    def __check_init__(self) -> None:
        if self.runs is not None and self.runs < 1:
            raise ValueError(f"runs is {self.runs}; at least one is needed")
        PerfectSampling(self.coupling)  # refuses what makes no sense

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Finds the gauge; refuses frustrated magnets, and when no failure probability was granted."""
        if limits.delta <= 0.0:
            raise Refusal("the tootsie-pop algorithm gives statistical sides only; grant it a δ (delta)")
        magnet = ferromagnet(model)
        PerfectSampling(self.coupling).coupler(magnet)
        text = f"Tootsie-pop algorithm by perfect sampling of {magnet.n} spins, δ = {limits.delta:g}."
        return Plan(text, magnet, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Nothing at first; then, batch by batch, both sides at δ."""
        if key is None:
            raise Refusal("the tootsie-pop algorithm is random; give it a key, such as jax.random.key(0)")
        magnet, limits, rng = plan.structure, plan.limits, generator(key)
        if not magnet.m:
            value = magnet.log_scale + magnet.n * math.log(2.0)
            yield Answer(
                *exact_sides(value, magnet.error + ULP * abs(value), repr(self)), value=value, result=Result.EXACT
            )
            return
        yield Answer(plan=plan)
        coupler = PerfectSampling(self.coupling).coupler(magnet, limits.deadline)
        try:
            cold = magnet.aligned and _colder_is_shorter(magnet, coupler, rng)
            yield from self._runs(coupler, cold, plan, rng)
        except Unfinished as late:
            yield Answer(result=Result.TIME_LIMIT, stats={"perfect_sampling": str(late)}, plan=plan)

    def _runs(self, coupler: Coupler, cold: bool, plan: Plan, rng: np.random.Generator) -> Iterator[Answer]:
        """Runs in batches; the bracket after each."""
        limits, look = plan.limits, ("tootsie-pop", next(_looks))
        began, pilot = time.perf_counter(), list[int]()
        while len(pilot) < _PILOT or self._more(len(pilot), time.perf_counter() - began, limits):
            pilot.append(run(coupler, cold, rng))
        guess, pace = float(np.mean(pilot)), (time.perf_counter() - began) / len(pilot)
        wanted = guess * (7.0 / limits.gap) ** 2 if limits.gap > 0.0 else math.inf
        target = min(wanted, max(limits.seconds_left(), 0.0) / pace, 1e12) if self.runs is None else self.runs
        sequence = PoissonSequence(guess, target, len(pilot), limits.delta)
        while self.runs is None or sequence.count < self.runs:
            batch = max(int(min(0.5 / pace, max(sequence.count // 4, 1))), 1)
            batch = batch if self.runs is None else min(max(self.runs // 16, 1), self.runs - sequence.count)
            for _ in range(batch):
                sequence.update(1, run(coupler, cold, rng))
            yield self._answer(sequence, coupler, cold, plan, look)

    def _more(self, pilots: int, seconds: float, limits: Limits) -> bool:
        """Whether the pilot should go on: a sixteenth of the runs, or a part of the time."""
        return seconds < 0.04 * min(limits.seconds_left(), 100.0) if self.runs is None else pilots < self.runs // 16

    def _answer(self, sequence: PoissonSequence, coupler: Coupler, cold: bool, plan: Plan, look: tuple) -> Answer:
        magnet, mean = coupler.magnet, sequence.total / sequence.count
        sign = 1.0 if cold else -1.0
        base = magnet.log_scale + (magnet.free if cold else magnet.n) * math.log(2.0)
        low, high = sorted(base + sign * a for a in sequence.bounds())
        error = magnet.error + 4.0 * ULP * (abs(base) + mean)
        delta, name = plan.limits.delta, repr(self)
        lower = Side(outward(low, error, -1.0), Grounds.STATISTICAL, delta, name, look=look)
        upper = Side(outward(high, error, 1.0), Grounds.STATISTICAL, delta, name, look=look)
        stats: dict[str, Any] = {
            "runs": sequence.count,
            "poisson_mean": mean,
            "from": "model" if cold else "independent spins",
        }
        stats |= {"perfect_samples": coupler.draws, "sweeps": coupler.sweeps}
        stats["std_error"] = math.sqrt(mean / sequence.count)
        return Answer(lower, upper, value=base + sign * mean, stats=stats, plan=plan)


def run(coupler: Coupler, cold: bool, rng: np.random.Generator) -> int:
    """One run: from λ = 1 to the ground states (`cold`), or from λ = 0 to 1; its count."""
    bonds, scale, count = coupler.magnet.bonds, 1.0 if cold else 0.0, 0
    while True:
        energy = excess(bonds, coupler.draw(scale, rng))
        wait = rng.standard_exponential()
        scale = scale + wait / energy if energy > 0.0 else math.inf
        if math.isinf(scale) or (not cold and scale > 1.0):
            return count
        count += 1


def _colder_is_shorter(magnet: Ferromagnet, coupler: Coupler, rng: np.random.Generator) -> bool:
    """Whether log ζ(1)/ζ(∞) is likely less than log ζ(0)/ζ(1); they add up to (n − free) log 2."""
    hot = 0.25 * float(magnet.cost.sum()) + 0.5 * excess(magnet.bonds, coupler.draw(1.0, rng))  # the mean of both ends
    return hot > 0.5 * (magnet.n - magnet.free) * math.log(2.0)
