"""Weighted mini-bucket elimination: an upper bound on log Z for every discrete model.

    Σ_x Π_r f_r(x) ≤ Π_r (Σ_x f_r(x)^{1/w_r})^{w_r},   w_r > 0,  Σ_r w_r ≥ 1      (Hölder)

applied in every bucket whose joint table would exceed 2^(ibound + 1) entries. Cost shifting between the mini-buckets of
a variable (tables that add up to zero) and their weights are free choices, improved by moment matching and by the
conditional entropies; the bound holds at every sweep. **Proves** an upper bound; when no bucket is split, log Z itself.
**Cost** a sweep touches every joint entry twice or thrice. **Fails** never, but stays wide where the width is far
above the i-bound. **Source** Liu & Ihler, *Bounding the partition function using Hölder's inequality* (2011).
"""

import itertools
import math
from collections.abc import Generator, Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.bounds.sweeps import build_tree, improve, prepare
from calipers.bounds.tournament import candidates, tournament
from calipers.core.answer import Answer, Grounds, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import Bucket, Decomposition
from calipers.exact.bucket_tree import SECONDS_PER_LOG_CELL, BucketTree, Run
from calipers.exact.elimination import impossible
from calipers.exact.kernels import ULP
from calipers.exact.probing import sharpened
from calipers.models.reduction import Reduced

_FIRST = 4  # the i-bound to grow from
_PASSES = 8  # that must fit the time left: fewer would not beat the size before


class MiniBucket(AbstractMethod):
    """An upper bound from mini-buckets of at most 2^(ibound + 1) entries.

    **Arguments:** `ibound`, log2 of the entries of the largest message, or None to grow it while time and memory
    last; `sweeps`, improvements of shifts and weights at each size; `orders`, greedy elimination orders to try at small
    sizes, of which the best is kept.

    **Proves** an upper bound (both sides exactly when no bucket needs splitting).
    """

    proves: ClassVar[Proves] = Proves.UPPER
    ibound: int | None = None
    sweeps: int = 20
    orders: int = 6

    def __check_init__(self) -> None:
        if self.ibound is not None and self.ibound < 0:
            raise ValueError(f"ibound is {self.ibound}; give log2 of a table size, 0 or more")
        if self.sweeps < 0:
            raise ValueError(f"sweeps is {self.sweeps}; it cannot be negative")
        if self.orders < 1:
            raise ValueError(f"orders is {self.orders}; at least one is needed")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model; orders are tried and trees built one size at a time."""
        reduced = sharpened(model, limits)
        size = "growing" if self.ibound is None else f"2^{self.ibound + 1}"
        text = f"Weighted mini-buckets over {reduced.model.n} variables, {size} tables, {self.sweeps} sweeps a size."
        return Plan(text, reduced, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """An answer whenever the bound moves: small tables along several orders, then larger ones along the best."""
        reduced = plan.structure
        if reduced.log_constant == -math.inf:
            yield impossible(reduced, repr(self), plan)
            return
        order = yield from self._tournament(reduced, plan)
        if order is None:
            return
        for ibound in self._sizes():
            tree = build_tree(reduced, order, ibound)
            if tree.bytes > plan.limits.memory:
                return
            if self.ibound is None and _PASSES * tree.cells * SECONDS_PER_LOG_CELL > plan.limits.seconds_left():
                return
            for _, answer in self._sweep(reduced, prepare(reduced, order, ibound), self.sweeps, plan):
                yield answer
            if not tree.split:
                return

    def _tournament(self, reduced: Reduced, plan: Plan) -> Generator[Answer, None, np.ndarray | None]:
        """The order that is best at small sizes, None if one was exact; an answer whenever the bound moves."""
        orders = list(candidates(reduced, self.orders, plan.limits))
        matches = tournament(reduced, orders, self.ibound, plan.limits)
        best = math.inf
        while True:
            try:
                value, run = next(matches)
            except StopIteration as stop:
                return stop.value
            if value < best - 1e-7 or not run.tree.split:
                best = value
                yield self.answer(reduced, run, value, 3, plan)
            if not run.tree.split or value == -math.inf:
                return None

    def _sizes(self) -> Iterator[int]:
        """The i-bounds to climb."""
        yield from itertools.count(_FIRST, 2) if self.ibound is None else (self.ibound,)

    def _sweep(self, reduced: Reduced, run: Run, sweeps: int, plan: Plan) -> Iterator[tuple[float, Answer]]:
        """Sweeps over one tree; yields each improvement with its bound."""
        best = math.inf
        for sweep, value in enumerate(improve(run, sweeps)):
            if value < best - 1e-7 or value == -math.inf:
                best = value
                yield value, self.answer(reduced, run, value, sweep, plan)

    def answer(self, reduced: Reduced, run: Run, value: float, sweep: int, plan: Plan) -> Answer:
        """The answer that an evaluated run gives; `value` is its bound on log Z of the reduced model."""
        tree, total = run.tree, value + reduced.log_constant
        error = run.error + reduced.error + (ULP * abs(total) if math.isfinite(total) else 0.0)
        ibound = max(0, round(math.log2(tree.max_cells)) - 1)
        name = repr(MiniBucket(ibound, self.sweeps, self.orders))
        stats = {"ibound": ibound, "sweeps": sweep, "cells": tree.cells, "split": sum(len(g) > 1 for g in tree.groups)}
        if not tree.split or total == -math.inf:
            lower, upper = exact_sides(total, error, name, snapshot(reduced, run))
            return Answer(lower, upper, value=total, stats=stats, plan=plan)
        upper = Side(outward(total, error, 1.0), Grounds.COMPUTED, method=name, witness=snapshot(reduced, run))
        return Answer(upper=upper, stats=stats, plan=plan)


def snapshot(reduced: Reduced, run: Run) -> Any:
    """A function that writes the witness of the run as it stands now."""
    tree, weights, shifts, own = run.tree, run.weights.copy(), run.shifts.copy(), len(reduced.members)
    masks = run.tables(own)
    return lambda: Decomposition(reduced.states, tuple(_buckets(reduced, tree, weights, shifts, masks)))


def _buckets(
    reduced: Reduced, tree: BucketTree, weights: np.ndarray, shifts: np.ndarray, masks: list[np.ndarray]
) -> Iterator[Bucket]:
    """The mini-buckets in the original model's variables and factor numbers; masks are extra tables."""
    name, own = reduced.variables.tolist(), len(reduced.members)
    place, at = 0, 0
    for group, common, size in zip(tree.groups, tree.common, tree.shift_size, strict=True):
        scope, shape = tuple(name[v] for v in common), [int(tree.sizes[v]) for v in common]
        for bucket in group:
            extra = [(scope, shifts[at : at + size].reshape(shape))] if size else []
            extra += [(tuple(name[v] for v in tree.scopes[a]), masks[a - own]) for a in bucket.tables if a >= own]
            factors = tuple(f for a in bucket.tables if a < own for f in reduced.members[a])
            yield Bucket(name[bucket.variable], float(weights[place]), factors, tuple(extra), int(tree.parents[place]))
            place, at = place + 1, at + size
