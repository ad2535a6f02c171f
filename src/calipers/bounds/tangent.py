"""Block tangents: a lower bound on log Z for every discrete model, by structured mean field.

    log Z ≥ Σ_b H(Q_b) + ⟨θ⟩_Q,     Q = Π_b Q_b over blocks that elimination can afford      (GBF; the ELBO)

**Proves** a lower bound at every sweep; exact when one block holds everything. **Cost** a sweep eliminates every block
forward and backward. **Fails** never: a model without a configuration of non-zero weight is proved to be one. Factors
with zeros must lie inside blocks: where they would cross, variables are clamped to a feasible configuration
(`support.py`). **Source** Saul & Jordan (1996); Xing, Jordan & Russell, *Generalized mean field* (2003).
"""

import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from scipy.special import entr

from calipers.bounds.cover import covers, strengths
from calipers.bounds.guidance import beliefs, entropies
from calipers.bounds.support import softened
from calipers.bounds.trial import Trial
from calipers.core.answer import Answer, Grounds, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_tree import SECONDS_PER_LOG_CELL
from calipers.exact.elimination import impossible
from calipers.exact.feasible import feasible, has_zeros
from calipers.exact.kernels import ULP
from calipers.exact.ordering import best_order, order_cost
from calipers.exact.probing import sharpened
from calipers.models.reduction import Reduced, lift_states

_TICK = 0.1  # seconds of work without progress, after which control returns all the same
_WORTH = 20.0  # log2 of the cells of a sweep from which a better order is worth looking for


class Tangent(AbstractMethod):
    """The GBF bound of a trial made of independent blocks, each eliminated exactly.

    **Arguments:** `width`, log2 of the largest table of a block, or None to grow it while time and memory last;
    `starts`, starting points at each width; `sweeps`, at most, over the blocks; `tolerance`, nats of progress below
    which a start is finished; `seed` of the starting points.

    **Proves** a lower bound.
    """

    proves: ClassVar[Proves] = Proves.LOWER
    width: int | None = None
    starts: int = 3
    sweeps: int = 50
    tolerance: float = 1e-4
    seed: int = 0

    def __check_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise ValueError(f"width is {self.width}; give log2 of a table size, 1 or more")
        if self.starts < 1 or self.sweeps < 1:
            raise ValueError(f"starts is {self.starts} and sweeps {self.sweeps}; both must be at least 1")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model; blocks are chosen one width at a time."""
        reduced = sharpened(model, limits, backbone=True)
        width = "growing" if self.width is None else f"of at most 2^{self.width} entries a table"
        return Plan(f"Tangents over blocks {width}, {reduced.model.n} variables.", reduced, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """An answer whenever the bound moves."""
        reduced, random = plan.structure, np.random.default_rng(self.seed)
        if reduced.log_constant == -math.inf:
            yield impossible(reduced, repr(self), plan)
            return
        best = -math.inf
        leaders: list[Trial] = []  # the best trial so far steers where the next ones are clamped
        guide = beliefs(reduced) if has_zeros(reduced.model) else []
        for trial, width, attempt in self._trials(reduced, leaders, guide, random, plan.limits):
            if trial is None:
                yield impossible(reduced, repr(self), plan)
                return
            told = time.monotonic()
            for value, error in self._climb(trial, self._starting(trial, attempt, random)):
                if value + trial.reduced.log_constant > best + 1e-7:
                    best, leaders[:] = value + trial.reduced.log_constant, [trial]
                    yield self._answer(trial, value, error, width, plan)
                elif time.monotonic() > told + _TICK:
                    yield Answer(plan=plan)
                else:
                    continue
                told = time.monotonic()

    def _trials(
        self,
        reduced: Reduced,
        leaders: list[Trial],
        guide: list[np.ndarray],
        random: np.random.Generator,
        limits: Limits,
    ) -> Iterator[tuple[Trial | None, int, int]]:
        """Trials with their width and the number of the start; ever wider, then at the widest that fits, again."""
        hard, trial = has_zeros(reduced.model), None
        width, step = self._first_width(reduced), 0 if self.width is not None else 4 if hard else 2
        while True:  # clamping anew takes a while, so that with zeros widths grow fast, with one start each
            for attempt in range(1 if hard and step else self.starts):
                if hard or attempt == 0:
                    trial = self._trial(reduced, leaders[0] if leaders else None, guide, width, random)
                    if trial is not None and self.width is None and not _fits(trial, limits):
                        break
                yield trial, width, attempt
                assert trial is not None
                if len(trial.blocks) <= 1 and trial.reduced is reduced:
                    return  # one block holds everything: that was log Z
            else:
                if step == 0 and (self.width is not None or not hard):
                    return
                width += step
                continue
            if not hard or width <= self._first_width(reduced):
                return
            width, step = width - max(step, 1), 0

    def _first_width(self, reduced: Reduced) -> int:
        """Room for pairs of the largest variables."""
        return math.ceil(2 * math.log2(max(reduced.model.sizes, default=2))) if self.width is None else self.width

    def _trial(
        self,
        reduced: Reduced,
        leader: Trial | None,
        guide: list[np.ndarray],
        width: int,
        random: np.random.Generator,
    ) -> Trial | None:
        """The blocks at this width, on a support that no crossing factor forbids; None if nothing is feasible."""
        cells = 2.0**width
        if not has_zeros(reduced.model):
            model = reduced.model
            return Trial(reduced, covers(model.domains, model.scopes, cells, strengths(model.tables))[0].orders)
        modes, cost = _steer(leader, guide, reduced, random)
        point = feasible(reduced.model, phases=modes, seed=int(random.integers(1 << 31)))
        if point is None:
            return None
        soft = softened(reduced, lift_states(reduced, point), cells, cost)
        first = [_cheap(soft.reduced, soft.first_order)] if len(soft.first_order) else []
        return Trial(soft.reduced, first + _induced(soft.reduced, soft.outside, cells))

    def _starting(self, trial: Trial, attempt: int, random: np.random.Generator) -> list[np.ndarray]:
        """Marginals to begin from: uniform first, then random ones."""
        if attempt == 0:
            return [np.full(k, 1.0 / k) for k in trial.reduced.model.sizes]
        return [random.dirichlet(np.full(k, 0.3)) for k in trial.reduced.model.sizes]

    def _climb(self, trial: Trial, marginals: list[np.ndarray]) -> Iterator[tuple[float, float]]:
        """Sweeps to a fixed point; yields the bound and its rounding estimate after each sweep."""
        trial.start(marginals)
        last = -math.inf
        for _ in range(self.sweeps):
            trial.sweep()
            value, error = trial.bound()
            yield value, error
            if not value > last + self.tolerance or not trial.crossing:
                return
            last = value

    def _answer(self, trial: Trial, value: float, error: float, width: int, plan: Plan) -> Answer:
        total = value + trial.reduced.log_constant
        error += trial.reduced.error + ULP * abs(total)
        name = repr(Tangent(width, self.starts, self.sweeps, self.tolerance, self.seed))
        stats = {"width": width, "blocks": len(trial.blocks), "cells": trial.cells}
        lower = Side(outward(total, error, -1.0), Grounds.COMPUTED, method=name, witness=trial.snapshot())
        return Answer(lower=lower, stats=stats, plan=plan)


def _cheap(reduced: Reduced, order: np.ndarray) -> np.ndarray:
    """`order`, or a cheaper one of the same variables if a short search finds it."""
    place = {int(v): i for i, v in enumerate(np.sort(order))}
    scopes = [s for s in (tuple(place[v] for v in s if v in place) for s in reduced.model.scopes) if s]
    sizes = reduced.model.domains[np.sort(order)]
    known = order_cost(sizes, scopes, [place[int(v)] for v in order])
    if known.log2_total < _WORTH:
        return order
    found = best_order(sizes, scopes, seconds=0.1)
    return np.sort(order)[found.order] if found.log2_total < known.log2_total else order


def _induced(reduced: Reduced, variables: np.ndarray, cells: float) -> list[np.ndarray]:
    """Orders of the blocks of the sub-model on `variables`."""
    if len(variables) == 0:
        return []
    place = {int(v): i for i, v in enumerate(variables)}
    scopes = [tuple(place[v] for v in s if v in place) for s in reduced.model.scopes]
    cover = covers(reduced.model.domains[variables], [s for s in scopes if s], cells)[0]
    return [variables[order] for order in cover.orders]


def _fits(trial: Trial, limits: Limits) -> bool:
    """Whether a few sweeps at this width fit the time and the memory left."""
    return trial.bytes < limits.memory and 12 * trial.cells * SECONDS_PER_LOG_CELL < limits.seconds_left()


def _steer(
    leader: Trial | None, guide: list[np.ndarray], reduced: Reduced, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The states to prefer, and how much each original variable would lose by a clamp: belief propagation's word, and
    that of the best trial so far.
    """
    cost = 0.1 + 0.1 * random.random(len(reduced.states))
    cost[reduced.variables] += entropies(guide)
    modes = np.array([int(np.argmax(b)) for b in guide], np.int64)
    if leader is None:
        return modes, cost
    inner = {int(v): m for v, m in zip(leader.reduced.variables, leader.marginals(), strict=True)}
    for i, v in enumerate(reduced.variables.tolist()):
        kept, marginal = leader.reduced.states[v], inner.get(v, np.ones(1))
        modes[i] = int(np.searchsorted(reduced.states[v], kept[int(np.argmax(marginal))]))
        cost[v] += float(entr(marginal).sum())
    return modes, cost
