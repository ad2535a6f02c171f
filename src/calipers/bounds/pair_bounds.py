"""Two-sided bounds on the joint marginals p(x_i = s, x_j = t) of pairs of variables, and on ⟨s_i s_j⟩.

    e^{L_st} / (e^{L_st} + Σ_{others} e^{U}) ≤ p(x_i = s, x_j = t) ≤ e^{U_st} / (e^{U_st} + Σ_{others} e^{L})

with a bracket [L_st, U_st] of log Z for each way to hold both variables; for ⟨s_i s_j⟩ = 2 p(x_i = x_j) − 1 the cells
with equal states and those with different ones are added up first. **Proves** both sides (docs/theorems.md, Theorem 10:
the cells divide the sum). **Cost** two methods a cell and pair; variables that are clamped often leave models that
are exact. **Fails** never; a bound may be [0, 1].
**Source** Leisink & Kappen, *Bound propagation* (JAIR 2003).
"""

import itertools
import math
import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from calipers.bounds.marginal_bounds import clamped, ratios
from calipers.bounds.mini_bucket import MiniBucket
from calipers.bounds.tangent import Tangent
from calipers.core.method import AbstractMethod, Limits
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.probing import sharpened
from calipers.models.reduction import Reduced

_UPPER = MiniBucket(ibound=14, sweeps=20, orders=2)
_LOWER = Tangent(width=14, starts=1, sweeps=20)


class PairBounds(NamedTuple):
    """`lower ≤ p(x_i = ·, x_j = ·) ≤ upper`, both of shape (domains[i], domains[j]), and bounds on p(x_i = x_j)."""

    lower: np.ndarray
    upper: np.ndarray
    equal: tuple[float, float]

    @property
    def correlation(self) -> tuple[float, float]:
        """Bounds on ⟨s_i s_j⟩ of two spins."""
        return 2.0 * self.equal[0] - 1.0, 2.0 * self.equal[1] - 1.0


def pair_bounds(
    model: AbstractDiscreteModel,
    pairs: Iterable[tuple[int, int]],
    *,
    time_limit: float = 60.0,
    memory: float = 8e9,
    upper: AbstractMethod = _UPPER,
    lower: AbstractMethod = _LOWER,
) -> dict[tuple[int, int], PairBounds]:
    """Bounds the joint marginals of pairs of variables.

    **Arguments:** `pairs`, of variables, two different ones each; `time_limit`, seconds of wall clock, shared evenly;
    `memory` in bytes; `upper` and `lower`, the methods that bound clamped models.

    **Returns:** `PairBounds` for each pair.

    **Raises:** `ValueError` when every configuration has weight zero, or a pair is not of two variables of the model.
    """
    wanted = list(dict.fromkeys(tuple(pair) for pair in pairs))
    for i, j in wanted:
        if i == j or not (0 <= i < model.n and 0 <= j < model.n):
            raise ValueError(f"({i}, {j}) is not a pair of two different variables among {model.n}")
    until = time.monotonic() + time_limit
    reduced = sharpened(model, Limits(deadline=until, memory=memory), backbone=True)
    if reduced.log_constant == -math.inf:
        raise ValueError("every configuration of this model has weight zero; it has no marginals")
    found = {}
    for done, (i, j) in enumerate(wanted):
        seconds = max(until - time.monotonic(), 0.0) / (len(wanted) - done)
        found[i, j] = _pair(reduced, i, j, upper, lower, seconds)
    return found


def _pair(reduced: Reduced, i: int, j: int, upper: AbstractMethod, lower: AbstractMethod, seconds: float) -> PairBounds:
    """Brackets of all cells, and what follows."""
    place = {int(v): k for k, v in enumerate(reduced.variables)}
    sizes = len(reduced.states[i]), len(reduced.states[j])
    low, high = np.empty(sizes), np.empty(sizes)
    known: dict[tuple[tuple[int, int], ...], tuple[float, float]] = {}
    for cell in itertools.product(*map(range, sizes)):
        # a variable in no factor, or with one state, is as likely in each: it need not be held
        held = {place[v]: s for v, s in zip((i, j), cell, strict=True) if v in place}
        key = tuple(sorted(held.items()))
        if key not in known:
            known[key] = clamped(reduced, held, upper, lower, seconds / low.size)
        low[cell], high[cell] = known[key]
    down, up = ratios(low.ravel(), high.ravel())
    shape = int(reduced.original.sizes[i]), int(reduced.original.sizes[j])
    below, above = np.zeros(shape), np.zeros(shape)
    cells = np.ix_(reduced.states[i], reduced.states[j])
    below[cells], above[cells] = down.reshape(sizes), up.reshape(sizes)
    same = reduced.states[i][:, None] == reduced.states[j][None, :]
    least, most = (np.array([np.logaddexp.reduce(x[m], initial=-np.inf) for m in (same, ~same)]) for x in (low, high))
    slack = 1e-15 * low.size
    equal = ratios(least, most)
    return PairBounds(below, above, (max(float(equal[0][0]) - slack, 0.0), min(float(equal[1][0]) + slack, 1.0)))
