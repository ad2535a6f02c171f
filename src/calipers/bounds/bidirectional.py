"""Bidirectional annealing of a ferromagnet: below from a reference, above from perfect samples, by cluster moves.

    E[w] ≤ ζ(1)/ζ_0 from the reference to the model,   E[w′] = ζ_0/ζ(1) from perfect samples back to the reference

The reference is the ground states or blocks that are summed exactly, whichever is nearer (annealing_reference.py); the
moves are Swendsen–Wang (cluster_annealing.py). A betting confidence sequence bounds either mean from below. **Proves**
both sides with probability ≥ 1 − δ over the seed, with no assumption about mixing: slow chains widen the interval,
never falsify it; time-outs of the perfect sampler spend nothing (docs/theorems.md, theorems S2, S5 and S8). **Cost**
for a width of about 7 √(2τΛ²/t), t sweeps on each side, with Λ = ∫ √Var H dλ the way to the reference and τ the
autocorrelation time of H, and a perfect sample for every chain back. **Fails** by an open upper side where perfect
sampling does not end, by a wide bracket where cluster moves mix slowly; refuses all but ferromagnets and what flips of
spins make of them. **Source** Grosse, Ghahramani & Adams, *Sandwiching the marginal likelihood using bidirectional
Monte Carlo* (2015); Neal (2001); Propp & Wilson (1996); Waudby-Smith & Ramdas (2023).
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.bounds.annealing_budget import Budget, likely_weights
from calipers.bounds.annealing_pilot import Pilot, chosen
from calipers.bounds.annealing_reference import affordable_width, blocks, ground
from calipers.bounds.confidence import BettingSequence
from calipers.core.answer import Answer, Grounds, Result, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.sampling import generator
from calipers.sampling.cluster_annealing import anneal
from calipers.sampling.ferromagnet import ULP, Ferromagnet, ferromagnet
from calipers.sampling.perfect import PerfectSampling, Unfinished

_CEILING = 30.0  # nats above what is expected at which weights are cut, which only lowers their mean
_BATCH = 0.3  # seconds of chains each way between two answers
_looks = itertools.count()


class BidirectionalAnnealing(AbstractMethod):
    """Both sides of log Z of a ferromagnet at δ, from annealed chains and perfect samples.

    **Arguments:** `chains` each way, at most, or None for as many as the limits allow; `steps` of the schedule, one
    Swendsen–Wang sweep each, or None for what is likely to give the narrowest bracket; `width` of the blocks of the
    reference, None for the widest that are summed in a moment; `coupling` of the perfect samples, as in
    `PerfectSampling`.

    **Proves** both sides statistically. Needs `limits.delta` > 0 and a `key`.
    """

    proves: ClassVar[Proves] = Proves.BOTH
    chains: int | None = None
    steps: int | None = None
    width: int | None = None
    coupling: str = "auto"

    def __check_init__(self) -> None:
        for name, number, least in (("chains", self.chains, 1), ("steps", self.steps, 2), ("width", self.width, 1)):
            if number is not None and number < least:
                raise ValueError(f"{name} is {number}; it must be {least} or more")
        PerfectSampling(self.coupling)  # refuses what makes no sense

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Finds the gauge; refuses frustrated magnets, and when no failure probability was granted."""
        if limits.delta <= 0.0:
            raise Refusal("bidirectional annealing gives statistical sides only; grant it a δ (delta)")
        magnet = ferromagnet(model)
        PerfectSampling(self.coupling).coupler(magnet)  # refuses bonds in fields that point both ways
        text = f"Bidirectional annealing of {magnet.n} spins by cluster moves, δ = {limits.delta:g}."
        return Plan(text, magnet, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Nothing at first; then, batch by batch, both sides at δ. Exact when one block holds all."""
        if key is None:
            raise Refusal("bidirectional annealing is random; give it a key, such as jax.random.key(0)")
        magnet, limits, rng = plan.structure, plan.limits, generator(key)
        strips = blocks(magnet, affordable_width(magnet, limits) if self.width is None else self.width, limits)
        if not strips.magnet.bonds.costs.any():
            value = magnet.log_scale + strips.log_zeta
            sides = exact_sides(value, magnet.error + strips.error + ULP * abs(value), repr(self))
            yield Answer(*sides, value=value, result=Result.EXACT, plan=plan)
            return
        yield Answer(plan=plan)
        references = [strips, ground(magnet)] if magnet.aligned else [strips]
        couplers = [PerfectSampling(self.coupling).coupler(r.magnet, limits.deadline) for r in references]
        try:
            pilot, budget = chosen(references, couplers, limits, rng, self.steps, self.chains)
        except Unfinished as late:
            yield Answer(result=Result.TIME_LIMIT, stats={"perfect_sampling": str(late)}, plan=plan)
            return
        yield from Run(self, pilot, budget, plan, rng).answers()


class Run:
    """One experiment: a frozen schedule, two confidence sequences, answers after every batch."""

    def __init__(
        self, method: BidirectionalAnnealing, pilot: Pilot, budget: Budget, plan: Plan, rng: np.random.Generator
    ):
        self.method, self.pilot, self.budget, self.plan, self.rng = method, pilot, budget, plan, rng
        self.magnet: Ferromagnet = pilot.reference.magnet
        self.schedules = pilot.schedule, pilot.schedule[::-1].copy()
        weights, half = likely_weights(min(pilot.variance, 30.0)), 0.5 * plan.limits.delta
        self.sequences = [BettingSequence(weights, count, half, 0.0) for count in (budget.up, budget.down)]
        self.logs: tuple[list[float], list[float]] = ([], [])
        self.look, self.late = ("bidirectional annealing", next(_looks)), ""
        self.sources = rng.spawn(2)  # each way has its own, so that the size of batches decides nothing
        self.couplers = [PerfectSampling(method.coupling).coupler(self.magnet, plan.limits.deadline) for _ in range(2)]

    def answers(self) -> Iterator[Answer]:
        """Both sides after every batch."""
        most = math.inf if self.method.chains is None else self.method.chains
        while min(map(len, self.logs)) < most and not self.late:
            for way, pace in enumerate(self.pilot.paces):
                done = len(self.logs[way])
                self._batch(way, int(max(min(_BATCH / pace, most - done), min(1, most - done))))
            yield self._answer()

    def _batch(self, way: int, count: int) -> None:
        """Chains up from the reference (way 0), or down from perfect samples (way 1)."""
        sign, logs = 1.0 - 2.0 * way, np.zeros(count)
        try:
            for k in range(count):
                rng = self.sources[way].spawn(1)[0]
                spins = self._start(way, rng)
                logs[k] = anneal(self.magnet, self.schedules[way], spins, rng).logs[0]
        except Unfinished as late:
            self.late, logs = str(late), logs[:k]
        self.logs[way].extend(logs.tolist())
        self.sequences[way].update(np.exp(np.minimum(logs - sign * self.pilot.log_ratio, _CEILING)))

    def _start(self, way: int, rng: np.random.Generator) -> np.ndarray:
        """An exact draw where a chain begins, int8 (1, n)."""
        coupler = self.couplers[way]
        return self.pilot.reference.start(1, coupler, rng) if way == 0 else coupler.draw(1.0, rng)[None]

    def _answer(self) -> Answer:
        reference = self.pilot.reference
        base = self.magnet.log_scale + reference.log_zeta
        sizes = [abs(x) for logs in self.logs for x in logs if math.isfinite(x)]
        error = self.magnet.error + reference.error + 4.0 * ULP * abs(base)
        error += 2.0 * ULP * (self.magnet.m + len(self.pilot.schedule)) * max(sizes, default=0.0)
        lower, upper = (self._side(way, base, error) for way in range(2))
        means = [
            (1.0 - 2.0 * way) * (float(np.logaddexp.reduce(logs)) - math.log(len(logs)))
            for way, logs in enumerate(self.logs)
            if logs and max(logs) > -math.inf
        ]
        value = base + float(np.mean(means)) if means else None
        return Answer(lower, upper, value=value, stats=self._stats(), plan=self.plan)

    def _side(self, way: int, base: float, error: float) -> Side:
        """The side that the mean weight of one way bounds: the lower one by way 0, the upper one by way 1."""
        low, sign = self.sequences[way].bounds()[0], 2.0 * way - 1.0
        look, half = (*self.look, way), 0.5 * self.plan.limits.delta
        if low <= 0.0:
            reason = self.late or "the weights of the chains vary too much"
            return Side(sign * math.inf, Grounds.NONE, half, reason=reason, look=look)
        value = outward(base + self.pilot.log_ratio - sign * math.log(low), error, sign)
        return Side(value, Grounds.STATISTICAL, half, repr(self.method), look=look)

    def _stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = {"reference": self.pilot.reference.name, "steps": len(self.pilot.schedule) - 1}
        stats |= {"chains_up": len(self.logs[0]), "chains_down": len(self.logs[1])}
        stats |= {"log_weight_variance": self.pilot.variance, "perfect_samples": self.couplers[1].draws}
        return stats | ({"perfect_sampling": self.late} if self.late else {})
