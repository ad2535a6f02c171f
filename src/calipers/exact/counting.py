"""Weighted model counting: log Z of models with many zeros, however wide they are.

    W(F) = Σ over both values of a variable of w(literal) · Π over components of what propagation leaves of W(component)

Each table's zeros become clauses, its other entries weights of literals (weighted_formula.py). Contradictions teach
clauses; a component that was counted before is looked up, by its variables and its clauses, whole; a counter that
assumes the middle of a tree decomposition first races one that does not. **Proves** log Z, both sides, with a stated
rounding. **Cost** exponential in the worst case, but structure that no elimination order sees (unit propagation,
components that fall apart) is used. **Fails** by refusing models without zeros or with very many soft entries, and by
running out of time or room.
**Source** Sang et al., *Combining component caching and clause learning* (2004); Thurley, *sharpSAT* (2006).
"""

import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.core.answer import Answer, Result, exact_sides
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact import counting_kernels as kernels
from calipers.exact.clauses import assign, clauses_of, propagate
from calipers.exact.counting_guide import guide
from calipers.exact.counting_parts import ENTRIES, cache_of, parts_of
from calipers.exact.elimination import checkable
from calipers.exact.feasible import has_zeros
from calipers.exact.interaction import adjacency
from calipers.exact.kernels import ULP
from calipers.exact.ordering import best_order
from calipers.exact.probing import sharpened
from calipers.exact.weighted_formula import WeightedFormula, weighted_formula
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import Reduced

_LEARNED = 4_000_000  # literals of learned clauses
_ROOM = 1 << 28  # words for components that wait
_STEPS = 2000  # decisions between two looks at the clock
_TURN, _SHARES = 1.0, (1.0, 0.5)  # seconds of a round to begin with; of it each: unguided, and guided
_SOFT = 2_000  # values of tables beyond the least of each: more never came to an end


class ModelCounting(AbstractMethod):
    """Exact log Z of models with zeros, by search with propagation, learned clauses, components and a cache.

    **Proves** both sides exactly. **Raises** `Refusal` when no table has a zero, or time or room runs out.
    """

    proves: ClassVar[Proves] = Proves.EQUAL

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model and sees that it has constraints."""
        reduced = sharpened(model, limits, backbone=True)
        if reduced.model.n and not has_zeros(reduced.model):
            raise Refusal("model counting thrives on zeros; none of the tables has one")
        values = sum(len(np.unique(t[np.isfinite(t)])) - 1 for t in reduced.model.tables if t.ndim > 1)
        if values > _SOFT:
            raise Refusal(f"the tables have {values} values to tell apart; model counting takes up to {_SOFT}")
        text = f"Count the models of {len(reduced.model.scopes)} tables, as a weighted formula."
        return Plan(text, reduced, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One exact answer."""
        reduced: Reduced = plan.structure
        value, error, stats = -math.inf, 0.0, {}
        if reduced.log_constant > -math.inf:
            counter, count = _raced(reduced.model, plan.limits)
            value = count + reduced.log_constant
            stats = {"decisions": counter.decisions, "cached": counter.cached}
            if value > -math.inf:
                error = counter.error + reduced.error + ULP * abs(value)
        sides = exact_sides(value, error, repr(self), lambda: checkable(model))
        yield Answer(*sides, value=value, result=Result.EXACT, stats=stats, plan=plan)


def _raced(model: FactorGraph, limits: Limits) -> tuple["Counter", float]:
    """The count, by whichever is done first: one counter that is guided by a tree decomposition, or one that is not."""
    formula = weighted_formula(model)
    seconds = min(2.0, 0.05 * max(limits.seconds_left(), 0.0))
    counters = [Counter(formula, 0.15 * limits.memory, g) for g in (None, guidance_of(formula, seconds))]
    turn = _TURN
    while True:
        for counter, share in zip(counters, _SHARES, strict=True):
            count = counter.advance(min(turn * share, limits.seconds_left()))
            if count is not None:
                return counter, count
            if limits.seconds_left() <= 0.0:
                decisions = sum(c.decisions for c in counters)
                raise Refusal(f"the count did not end in time, after {decisions} decisions")
        turn *= 1.5


class Counter:
    """The count of a formula; `decisions` and `cached` tell what it took, `error` bounds the rounding.

    **Arguments:** `formula`; `memory` in bytes; `guidance`, scores of the variables, those that follow from others far
    below; None for no other guidance than that.
    """

    def __init__(self, formula: WeightedFormula, memory: float, guidance: np.ndarray | None = None):
        self.formula = found = formula
        n = len(found.weights)
        several = [clause for clause in found.clauses if len(clause) > 1]
        self._single = [clause[0] for clause in found.clauses if len(clause) == 1]
        self.possible = all(found.clauses) and found.constant > -math.inf
        with np.errstate(divide="ignore"):
            free = np.logaddexp(found.weights[:, 0], found.weights[:, 1])
        self._clauses, self._parts = clauses_of(several, n, _LEARNED), parts_of(several, n)
        self._cache = cache_of(memory)
        scores = np.where(found.chosen, 0.0 if guidance is None else guidance, -1e30)
        long = len(self._parts.start) - 1
        self._stack = kernels.stack_of(found.weights.ravel(), free, scores, long, _ROOM)
        self._begun = False
        self.n = n

    @property
    def decisions(self) -> int:
        """Variables assumed so far."""
        return int(self._stack.state[kernels.DECISIONS])

    @property
    def cached(self) -> int:
        """Components remembered now."""
        return int(self._cache.state[ENTRIES])

    @property
    def error(self) -> float:
        """Every variable is decided once on the way to a sum, and each step rounds a log of at most `largest`."""
        largest = float(self._stack.largest[0]) + abs(self.formula.constant)
        return 4.0 * ULP * (self.n + 2.0) * (largest + 4.0) + self.formula.error

    def count(self) -> float:
        """log of the weighted count of all models, however long it takes."""
        while (count := self.advance(1.0)) is None:
            pass
        return count

    def advance(self, seconds: float) -> float | None:
        """Goes on for some time: the log count, if that was the end.

        **Raises:** `Refusal` when room runs out.
        """
        work = (self._clauses, self._parts, self._cache, self._stack)
        until, outcome = time.monotonic() + seconds, kernels.WORKING
        if not self._begun:
            self._begun = True
            if not self._propagated():
                return -math.inf
            outcome = kernels.WORKING if kernels.split(*work) else kernels.FULL
        while outcome == kernels.WORKING:
            outcome = kernels.run(*work, _STEPS)
            if outcome == kernels.WORKING and time.monotonic() > until:
                return None
        if outcome == kernels.FULL:
            raise Refusal(f"components outgrew the room for them after {self.decisions} decisions")
        return float(self._stack.sums[0, 0]) + self.formula.constant

    def _propagated(self) -> bool:
        """Assigns what single literals say, and all that follows; whether that is possible."""
        d = self._clauses
        for literal in self._single if self.possible else ():
            if d.value[literal] < 0:
                assign(d, literal, -1, 0)
            self.possible = self.possible and d.value[literal] == 1
        return self.possible and propagate(d, 0) < 0


def guidance_of(formula: WeightedFormula, seconds: float) -> np.ndarray:
    """Scores by a tree decomposition that takes so long to find."""
    n = len(formula.weights)
    scopes = [tuple(sorted({x >> 1 for x in clause})) for clause in formula.clauses]
    return guide(adjacency(n, scopes), best_order([2] * n, scopes, seconds=seconds).order)
