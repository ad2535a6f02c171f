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
from typing import Any, ClassVar, NamedTuple

import numpy as np

from calipers.bounds.confidence import BettingSequence
from calipers.bounds.mini_bucket import MiniBucket, build_tree, improve
from calipers.bounds.proposal_tables import Proposal
from calipers.core.answer import Answer, Grounds, Result, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_tree import Run
from calipers.exact.ordering import adjacency, greedy_orders
from calipers.models.reduction import Reduced, as_reduced
from calipers.sampling.seeds import seed_of

_TRIAL_IBOUND, _TRIAL_SWEEPS = 8, 4  # at which orders are compared
_LADDER = (4, 8, 11, 14, 16, 18, 20, 22, 24, 26)
_CELL = 5e-8  # seconds a joint entry and sweep, forward and back; only plans depend on it
_PILOT, _PILOT_AT = 4096, 1 << 62  # samples that tune and choose, numbered apart from those that bound
_FOREVER = 10**9  # samples
_runs = itertools.count()  # no two runs share a look


class ImportanceSampling(AbstractMethod):
    """Both sides by sampling from mini-buckets of at most 2^(ibound + 1) entries, at failure probability δ.

    **Arguments:** `ibound`, log2 of the entries of the largest message, or None to widen as long as that is likely to
    save more sampling than it costs; `samples`, at most, or None for as many as the limits allow; `sweeps`,
    improvements of the mini-buckets at each size; `orders`, elimination orders to try.

    **Proves** both sides statistically, the upper also deterministically. Needs `limits.delta` > 0 and a `key`.
    """

    proves: ClassVar[Proves] = Proves.BOTH
    ibound: int | None = None
    samples: int | None = None
    sweeps: int = 20
    orders: int = 6

    def __check_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"samples is {self.samples}; at least one is needed")
        MiniBucket(self.ibound, self.sweeps, self.orders)  # refuses what makes no sense

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model; refuses when no failure probability was granted."""
        if limits.delta <= 0.0:
            raise Refusal("importance sampling gives statistical sides only; grant it a failure probability (delta)")
        reduced = as_reduced(model)
        size = "growing tables" if self.ibound is None else f"tables of 2^{self.ibound + 1} entries"
        text = f"Importance sampling from mini-buckets over {reduced.model.n} variables, {size}, δ = {limits.delta:g}."
        return Plan(text, reduced, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Deterministic upper sides first; then, batch by batch, both sides at δ."""
        if key is None:
            raise Refusal("importance sampling is random; give it a key, such as jax.random.key(0)")
        reduced, limits = plan.structure, plan.limits
        if reduced.log_constant == -math.inf:
            yield Answer(*exact_sides(-math.inf, 0.0, repr(self)), value=-math.inf, result=Result.EXACT, plan=plan)
            return
        seed = seed_of(key)
        order = yield from self._order(reduced, plan)
        pilot: Pilot | None = None
        for ibound in _LADDER if self.ibound is None else (self.ibound,):
            if pilot is not None and not self._worth_widening(pilot, reduced, order, ibound, limits):
                break
            run, answer = self._bounded(reduced, order, ibound, plan)
            yield answer
            if answer.exact:
                return
            pilot = _pilot(run, seed, limits)
        assert pilot is not None
        yield from self._sample(reduced, pilot, plan, seed)

    def _order(self, reduced: Reduced, plan: Plan) -> Generator[Answer, None, np.ndarray]:
        """Yields bounds along several orders, with small tables; returns the best order."""
        graph = adjacency(reduced.model.n, reduced.model.scopes, reduced.model.sizes)
        until = time.monotonic() + min(0.1 * max(plan.limits.seconds_left(), 0.0), 5.0)
        ibound = _TRIAL_IBOUND if self.ibound is None else min(self.ibound, _TRIAL_IBOUND)
        best, chosen = math.inf, np.arange(reduced.model.n)
        for order in greedy_orders(graph, self.orders, np.random.default_rng(0), until):
            tree = build_tree(reduced, order, ibound)
            for value, answer in self._mini_bucket()._sweep(reduced, tree, _TRIAL_SWEEPS, plan):
                yield answer
                if value < best:
                    best, chosen = value, order
            if not tree.split:
                break
        return chosen

    def _mini_bucket(self) -> MiniBucket:
        return MiniBucket(self.ibound, self.sweeps, self.orders)

    def _bounded(self, reduced: Reduced, order: np.ndarray, ibound: int, plan: Plan) -> tuple[Run, Answer]:
        """A run at its best shifts and weights, and the deterministic answer that it gives."""
        run = build_tree(reduced, order, ibound).run(list(reduced.model.log_tables()))
        best, kept = math.inf, (run.shifts.copy(), run.weights.copy())
        for value in improve(run, self.sweeps):
            if value < best:
                best, kept = value, (run.shifts.copy(), run.weights.copy())
        run.shifts[:], run.weights[:] = kept
        return run, self._mini_bucket()._answer(reduced, run, run.forward(), self.sweeps, plan)

    def _worth_widening(self, pilot: "Pilot", reduced: Reduced, order: np.ndarray, ibound: int, limits: Limits) -> bool:
        """Whether wider mini-buckets fit, and are likely to cost less than the sampling that is left to do."""
        tree = build_tree(reduced, order, ibound)
        cost = tree.cells * _CELL * (self.sweeps + 2)
        fits = 1.4 * tree.bytes < limits.memory and cost < 0.25 * limits.seconds_left()
        wanted = min(pilot.wanted, self.samples or _FOREVER)
        return fits and (cost < 0.2 or cost < 0.5 * wanted * pilot.seconds)

    def _sample(self, reduced: Reduced, pilot: "Pilot", plan: Plan, seed: int) -> Iterator[Answer]:
        """Batches of samples without end, or up to `samples`; both sides after each."""
        proposal, limits = pilot.proposal, plan.limits
        most = _FOREVER if self.samples is None else self.samples
        target = min(pilot.wanted, most)
        if self.samples is None:
            target = int(min(target, max(limits.seconds_left(), 1.0) / pilot.seconds))
        sequence = BettingSequence(pilot.weights, target, 0.5 * limits.delta, 0.5 * limits.delta)
        tally = Tally()
        look = ("importance sampling", seed, next(_runs))
        while tally.count < most:
            batch = min(proposal.block(), max(tally.count, 2048), most - tally.count)
            weights = np.exp(proposal.log_weights(seed, tally.count, batch))
            tally.add(weights)
            sequence.update(weights)
            yield self._answer(reduced, proposal, sequence, tally, plan, look)

    def _answer(
        self, reduced: Reduced, proposal: Proposal, sequence: BettingSequence, tally: "Tally", plan: Plan, look: tuple
    ) -> Answer:
        """What the confidence sequence says now, widened by the rounding of the weights and of U."""
        low, high = sequence.bounds()
        base = proposal.log_bound + reduced.log_constant
        error = proposal.error + reduced.error + 2.0**-50 * (abs(base) + 50.0)
        log_low = math.log(low - proposal.leak) if low > proposal.leak else -math.inf
        log_high = math.log(min(high + proposal.leak, 1.0))
        share, name = 0.5 * plan.limits.delta, repr(self)
        lower = Side(outward(base + log_low, error, -1.0), Grounds.STATISTICAL, share, name, look=(*look, "below"))
        upper = Side(outward(base + log_high, error, 1.0), Grounds.STATISTICAL, share, name, look=(*look, "above"))
        if log_low == -math.inf:
            reason = f"{tally.count} samples, of which {tally.positive} have positive weight, do not bound Z from below"
            lower = Side(-math.inf, Grounds.NONE, share, reason=reason, look=lower.look)
        value = base + math.log(tally.mean) if tally.total > 0.0 else None
        stats = {**tally.stats(), "sampled": int(proposal.needed.sum())}
        return Answer(lower, upper, value=value, stats=stats, plan=plan)


class Pilot(NamedTuple):
    """A proposal, weights of samples that bound nothing, seconds a sample, and how many samples the gap may need."""

    proposal: Proposal
    weights: np.ndarray
    seconds: float
    wanted: int


def _pilot(run: Run, seed: int, limits: Limits) -> Pilot:
    """Draws a few samples and applies the law in the header."""
    proposal = Proposal(run, math.fsum(run.shed))
    proposal.log_weights(seed, _PILOT_AT, 16)  # compiles
    began = time.perf_counter()
    weights = np.exp(proposal.log_weights(seed, _PILOT_AT, _PILOT))
    seconds = (time.perf_counter() - began) / _PILOT
    return Pilot(proposal, weights, seconds, samples_wanted(weights, limits.gap))


def samples_wanted(weights: np.ndarray, gap: float) -> int:
    """How many samples are likely to bring both sides within `gap` nats, judging by some weights in [0, 1]."""
    mean = float(weights.mean())
    if mean <= 0.0 or gap <= 0.0:
        return _FOREVER
    spread = float(weights.var()) / mean**2
    return int(min(1.2 * max(4 * 13.0 * spread / gap**2, 2 * 6.5 / mean / gap, 2000.0), _FOREVER))


class Tally:
    """Running sums of weights in [0, 1]."""

    def __init__(self) -> None:
        self.count, self.positive, self.total, self.squares = 0, 0, 0.0, 0.0

    def add(self, weights: np.ndarray) -> None:
        """Counts further weights."""
        self.count += len(weights)
        self.positive += int((weights > 0.0).sum())
        self.total += float(weights.sum())
        self.squares += float(weights @ weights)

    @property
    def mean(self) -> float:
        """The mean weight."""
        return self.total / self.count

    def stats(self) -> dict[str, Any]:
        """Samples, those of positive weight, effective samples, cv², and the standard error of the log of the mean."""
        effective = self.total**2 / self.squares if self.squares > 0.0 else 0.0
        spread = max(self.count / effective - 1.0, 0.0) if effective else math.inf
        error = math.sqrt(spread / self.count)
        return {"samples": self.count, "positive": self.positive, "ess": effective, "cv2": spread, "std_error": error}
