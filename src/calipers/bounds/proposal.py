"""Importance sampling with bounded weights: both sides of log Z at δ, for every discrete model.

    log Z = log U + log E[Y],    Y = Π_v Π_r q_r^{w_r} / Σ_r w_r q_r ∈ [0, 1],    x ~ Π_v Σ_r w_r q_r(x_v | rest)

U is a mini-bucket bound, q its proposal (proposal_tables.py); a betting confidence sequence for E[Y] (confidence.py)
may be read after every batch for one δ. **Proves** both sides with probability ≥ 1 − δ over the seed, with no
assumption about mixing (docs/theorems.md, theorems S1 and S2), beside the deterministic side U. With G = log U − log Z
and cv² the squared coefficient of variation of Y,

    log Z − lower ≈ √(13 cv²/n),    upper − log Z ≈ log(1 + max(√(13 cv²/n), 6.5 e^G/n)).

**Cost** the mini-buckets, then about 20 ns a mini-bucket and sample. **Fails** to say much while n is below cv² or e^G:
with G above 17 or so the upper side stays near U. **Source** Liu, Fisher & Ihler, *Probabilistic variational bounds for
graphical models* (2015); Waudby-Smith & Ramdas (2023).
"""

import itertools
import math
import time
from collections.abc import Generator, Iterator
from typing import Any, ClassVar

from calipers.bounds.confidence import BettingSequence
from calipers.bounds.frontier import Frontier
from calipers.bounds.mini_bucket import MiniBucket
from calipers.bounds.proposal_climb import best_run, cost_of_best_run
from calipers.bounds.proposal_pilot import FOREVER, Pilot, Tally, take_pilot
from calipers.bounds.proposal_tables import Proposal
from calipers.bounds.search import joined
from calipers.bounds.search_kernels import EXPANDED
from calipers.bounds.strata import Strata
from calipers.bounds.tournament import candidates
from calipers.core.answer import Answer, Grounds, Result, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_tree import Run
from calipers.exact.kernels import ULP
from calipers.exact.probing import sharpened
from calipers.exact.sampling import generator
from calipers.models.reduction import Reduced

_LADDER = (6, 9, 12, 14, 16, 18, 20, 22, 24, 26)
_TRIAL_IBOUND = 8  # to compare orders
_CHEAP = 0.2  # seconds that wider tables may take unasked
_FIRST_LOOK = 0.1  # of δ, for a bracket before wide mini-buckets are thought of
_HOPELESS = 40.0  # nats of bound above the mean weight; if that is left at medium size, sampling will not do
_EXPANSIONS = 50_000  # prefixes, before the search is judged for the first time
_runs = itertools.count()  # no two runs share a look


class ImportanceSampling(AbstractMethod):
    """Both sides by sampling from mini-buckets of at most 2^(ibound + 1) entries, at failure probability δ.

    **Arguments:** `ibound`, log2 of the entries of the largest message, or None to widen as long as that is likely to
    save more sampling than it costs; `samples`, at most, or None for as many as the limits allow; `sweeps`,
    improvements of the mini-buckets at each size; `orders`, elimination orders to try; `search`, whether to search
    best-first beforehand, and sample what is left, where a trial says that this pays.

    **Proves** both sides statistically, the upper also deterministically. Needs `limits.delta` > 0 and a `key`.
    """

    proves: ClassVar[Proves] = Proves.BOTH
    ibound: int | None = None
    samples: int | None = None
    sweeps: int = 20
    orders: int = 6
    search: bool = True

    def __check_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"samples is {self.samples}; at least one is needed")
        self._mini_bucket()  # refuses what makes no sense

    def _mini_bucket(self) -> MiniBucket:
        return MiniBucket(self.ibound, self.sweeps, self.orders)

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model; refuses when no failure probability was granted."""
        if limits.delta <= 0.0:
            raise Refusal("importance sampling gives statistical sides only; grant it a failure probability (delta)")
        reduced = sharpened(model, limits)
        size = "growing tables" if self.ibound is None else f"tables of 2^{self.ibound + 1} entries"
        text = f"Importance sampling from mini-buckets over {reduced.model.n} variables, {size}, δ = {limits.delta:g}."
        return Plan(text, reduced, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Deterministic upper sides first; then, batch by batch, both sides at δ."""
        if key is None:
            raise Refusal("importance sampling is random; give it a key, such as jax.random.key(0)")
        reduced = plan.structure
        if reduced.log_constant == -math.inf:
            yield Answer(*exact_sides(-math.inf, 0.0, repr(self)), value=-math.inf, result=Result.EXACT, plan=plan)
            return
        seed = int(generator(key).integers(0, 2**62))
        found = yield from self._prepared(reduced, plan, seed)
        if found is None:
            return
        known, pilot, run, share = found
        if self.search:
            pilot, searched = self._searched(reduced, pilot, run, plan, seed)
            known = known & searched
        if known.exact:
            yield known
            return
        most = FOREVER if self.samples is None else self.samples
        for answer in self._sample(reduced, pilot, plan, seed, share, most):
            yield known & answer

    def _prepared(
        self, reduced: Reduced, plan: Plan, seed: int
    ) -> Generator[Answer, None, tuple[Answer, Pilot, Run, float] | None]:
        """Climbs the sizes; a first look on the way, for a little of δ, if that takes more than a moment.

        **Returns:** what is known, a pilot on the last run, that run, and the share of δ that is left; None when log Z
        came out exactly.
        """
        limits, share = plan.limits, 1.0
        left = list(candidates(reduced, self.orders, limits))
        known, pilot, run = Answer(plan=plan), None, None
        for rung, ibound in enumerate(self._sizes()):
            left = left[: -(-self.orders // 2**rung)]
            if pilot is not None:
                cost = cost_of_best_run(reduced, left, ibound, self.sweeps, limits)
                if not self._pays(cost, pilot, ibound, limits):
                    break
                if cost > _CHEAP and self.samples is None and share == 1.0:
                    share = 1.0 - _FIRST_LOOK
                    for answer in self._sample(
                        reduced, pilot, plan, seed + 1, _FIRST_LOOK, int(0.3 / pilot.pace) + 1000
                    ):
                        yield known & answer
            run, value, left = best_run(reduced, left, ibound, self.sweeps, limits)
            answer = self._mini_bucket().answer(reduced, run, value, self.sweeps, plan)
            known = known & answer
            if answer.exact:
                yield known
                return None
            pilot = take_pilot(Strata(Proposal(run, math.fsum(run.shed))), seed, limits.gap)
        assert pilot is not None
        assert run is not None
        return known, pilot, run, share

    def _sizes(self) -> tuple[int, ...]:
        if self.ibound is None:
            return _LADDER
        return (_TRIAL_IBOUND, self.ibound) if self.ibound > _TRIAL_IBOUND else (self.ibound,)

    def _pays(self, cost: float, pilot: Pilot, ibound: int, limits: Limits) -> bool:
        """Whether wider mini-buckets are likely to cost less than the sampling that is left to do."""
        if math.isinf(cost) or self.ibound is not None or cost < _CHEAP:
            return math.isfinite(cost)
        if pilot.excess > _HOPELESS and ibound > _LADDER[2]:
            return False
        return cost < min(0.25 * limits.seconds_left(), 0.5 * pilot.seconds(self.samples))

    def _searched(self, reduced: Reduced, pilot: Pilot, run: Run, plan: Plan, seed: int) -> tuple[Pilot, Answer]:
        """Longer and longer searches, as long as that pays; the best pilot, and the deterministic sides."""
        proposal, limits, known = pilot.strata.proposal, plan.limits, Answer()
        if pilot.seconds(self.samples) < _CHEAP or run.tree.sizes.max() > 256:
            return pilot, known
        frontier = Frontier(run, proposal.needed, proposal.log_bound, memory=min(0.2 * limits.memory, 1e9))
        expansions, spent, best = _EXPANSIONS, 0.0, pilot
        while spent < min(0.2 * limits.seconds_left(), 0.5 * best.seconds(self.samples)) and not frontier.done:
            began = time.monotonic()
            frontier.grow(expansions)
            if not frontier.done:
                found = take_pilot(Strata(proposal, frontier), seed, limits.gap)
                best = min(found, best, key=lambda p: p.seconds(self.samples))
            spent += time.monotonic() - began
            expansions = int(1.5 * frontier.prefixes.counts[EXPANDED])
        return best, joined(reduced, [frontier], 0.0, run.error, repr(self), {}, plan)

    def _sample(
        self, reduced: Reduced, pilot: Pilot, plan: Plan, seed: int, share: float, most: int
    ) -> Iterator[Answer]:
        """Batches of up to `most` samples for `share` of δ; both sides after each."""
        strata, limits = pilot.strata, plan.limits
        target = min(pilot.wanted, most)
        if self.samples is None:
            target = int(min(target, max(limits.seconds_left(), 1.0) / pilot.pace))
        side = 0.5 * share * limits.delta
        sequence = BettingSequence(pilot.weights, target, side, side)
        tally, look = Tally(), ("importance sampling", seed, next(_runs))
        while tally.count < most:
            batch = min(strata.proposal.block(), max(tally.count, 2048), most - tally.count)
            weights = strata.weights(seed, tally.count, batch)
            tally.add(weights)
            sequence.update(weights)
            yield self._answer(reduced, strata, sequence, tally, side, look)

    def _answer(
        self, reduced: Reduced, strata: Strata, sequence: BettingSequence, tally: Tally, share: float, look: tuple
    ) -> Answer:
        """What the confidence sequence says now, widened by the rounding of the weights and of U."""
        low, high = strata.sides(*sequence.bounds())
        name = repr(self)
        shift = reduced.log_constant
        error = reduced.error + ULP * abs(shift)
        lower = Side(outward(low + shift, error, -1.0), Grounds.STATISTICAL, share, name, look=(*look, "below"))
        upper = Side(outward(high + shift, error, 1.0), Grounds.STATISTICAL, share, name, look=(*look, "above"))
        if low == -math.inf:
            reason = f"{tally.count} samples, of which {tally.positive} have positive weight, do not bound Z from below"
            lower = Side(-math.inf, Grounds.NONE, share, reason=reason, look=lower.look)
        total = strata.total(tally.mean)
        value = strata.proposal.log_bound + shift + math.log(total) if total > 0.0 else None
        scale = strata.open * tally.mean / total if total > 0.0 else math.inf  # the share of Z that is sampled
        stats = {**tally.stats(scale), "sampled": len(strata.proposal.variables), "leaves": strata.leaves}
        return Answer(lower, upper, value=value, stats=stats)
