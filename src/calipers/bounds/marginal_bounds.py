"""Two-sided bounds on single-variable marginals p(x_i = s).

Exact where elimination is affordable. Otherwise from a clamped model (part_marginals.py), and from brackets of the
model restricted to each state,

    e^{L_s} / (e^{L_s} + Σ_{t≠s} e^{U_t})  ≤  p(x_i = s)  ≤  e^{U_s} / (e^{U_s} + Σ_{t≠s} e^{L_t}),

for the variables that are still widest, while time lasts. **Proves** both sides (docs/theorems.md, Theorem 10; computed
in float64, widened by the rounding estimates). **Cost** one search, then two methods a state and variable. **Fails**
never; a bound may be [0, 1].
**Source** Leisink & Kappen, *Bound propagation* (JAIR 2003) for the ratio of brackets.
"""

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from calipers.bounds.clamping import part_of
from calipers.bounds.cutset import choose
from calipers.bounds.frontier import Frontier
from calipers.bounds.guidance import beliefs, entropies
from calipers.bounds.mini_bucket import MiniBucket
from calipers.bounds.part_marginals import PartMarginals
from calipers.bounds.search import unchanged_by_flips
from calipers.bounds.sweeps import optimised
from calipers.bounds.tangent import Tangent
from calipers.core.iterate import log_z
from calipers.core.method import AbstractMethod, Limits, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_tree import BucketTree
from calipers.exact.elimination import Elimination
from calipers.exact.probing import sharpened
from calipers.models.reduction import Reduced, components, restrict

_UPPER = MiniBucket(ibound=8, sweeps=10, orders=2)
_LOWER = Tangent(width=8, starts=1, sweeps=20)
_DONE = 1e-3  # a variable whose bounds are this close is left alone


class MarginalBounds(NamedTuple):
    """`lower[i] ≤ p(x_i = ·) ≤ upper[i]`, shape (domains[i],) for every variable i; `exact` says if they meet."""

    lower: tuple[np.ndarray, ...]
    upper: tuple[np.ndarray, ...]
    exact: bool

    @property
    def width(self) -> float:
        """The largest distance between the two sides."""
        return max((float((u - l).max()) for l, u in zip(self.lower, self.upper, strict=True)), default=0.0)


def marginal_bounds(
    model: AbstractDiscreteModel,
    *,
    time_limit: float = 60.0,
    memory: float = 8e9,
    leaf_log2_size: int = 12,
    upper: MiniBucket = _UPPER,
    lower: AbstractMethod = _LOWER,
) -> MarginalBounds:
    """Bounds the marginals of every variable.

    **Arguments:** `time_limit`, seconds of wall clock; `memory` in bytes; `leaf_log2_size`, log2 of the tables of a
    clamped part; `upper` and `lower`, the methods that bound clamped models.

    **Returns:** `MarginalBounds`.

    **Raises:** `ValueError` when every configuration has weight zero: there are no marginals then.
    """
    begun = time.monotonic()
    limits = Limits(deadline=begun + time_limit, memory=memory, beliefs=True)
    reduced = sharpened(model, limits, backbone=True)
    if reduced.log_constant == -math.inf:
        raise ValueError("every configuration of this model has weight zero; it has no marginals")
    found = _exact(reduced, Limits(begun + 0.5 * time_limit, memory=memory, beliefs=True))
    if found is not None:
        return found
    sides, entropy = _Sides(reduced), entropies(beliefs(reduced))
    for part in components(reduced):
        share = 0.6 * limits.seconds_left() * len(part) / max(len(reduced.variables), 1)
        _by_parts(reduced, part, sides, entropy, leaf_log2_size, upper, time.monotonic() + share, memory)
    _by_states(reduced, sides, upper, lower, limits)
    return sides.lifted()


class _Sides:
    """The bounds so far, for the variables of the reduced model."""

    def __init__(self, reduced: Reduced):
        self.reduced = reduced
        self.low = [np.zeros(k) for k in reduced.model.sizes]
        self.high = [np.ones(k) for k in reduced.model.sizes]

    def narrow(self, i: int, low: np.ndarray, high: np.ndarray) -> None:
        """Intersects; and what the other states leave over bounds each state as well."""
        low, high = np.maximum(self.low[i], low), np.minimum(self.high[i], high)
        slack = 1e-15 * len(low)
        self.low[i] = np.maximum(low, 1.0 - (high.sum() - high) - slack)
        self.high[i] = np.minimum(high, 1.0 - (low.sum() - low) + slack)

    def lifted(self) -> MarginalBounds:
        """For the original model's variables; one in no factor takes its kept states with equal probability."""
        place = {int(v): i for i, v in enumerate(self.reduced.variables)}
        low: list[np.ndarray] = []
        high: list[np.ndarray] = []
        for v, (size, kept) in enumerate(zip(self.reduced.original.sizes, self.reduced.states, strict=True)):
            for sides, own in ((low, self.low), (high, self.high)):
                table = np.zeros(size)
                table[kept] = own[place[v]] if v in place else 1.0 / len(kept)
                sides.append(table)
        return MarginalBounds(tuple(low), tuple(high), False)


def _exact(reduced: Any, limits: Limits) -> MarginalBounds | None:
    """From elimination, if it fits the limits."""
    method = Elimination(order_seconds=0.5)
    try:
        answer = next(method.answers(reduced, method.plan(reduced, limits)))
    except (Refusal, MemoryError):
        return None
    if answer.belief is None:
        return None if answer.value != -math.inf else _nothing()
    slack = 4.0 * math.expm1(answer.gap) + 1e-12
    low = tuple(np.clip(m * (1.0 - slack), 0.0, 1.0) for m in answer.belief.marginals)
    high = tuple(np.clip(m * (1.0 + slack), 0.0, 1.0) for m in answer.belief.marginals)
    return MarginalBounds(low, high, True)


def _nothing() -> MarginalBounds:
    raise ValueError("every configuration of this model has weight zero; it has no marginals")


def _by_parts(
    reduced: Reduced,
    part: np.ndarray,
    sides: _Sides,
    entropy: np.ndarray,
    log2_size: int,
    upper: MiniBucket,
    until: float,
    memory: float,
) -> None:
    """A search over clamped parts of one component, until it is done or `until` has come."""
    model, ibound = part_of(reduced.model, part), 8 if upper.ibound is None else upper.ibound
    cut = choose(model, log2_size, entropy[part])
    parts = PartMarginals(model, cut)
    if len(cut.variables) == 0:  # one part is all: exact
        value = float(parts.log_masses(np.zeros((1, 0)))[0][0])
        for i, low, high in zip(part.tolist(), *parts.shares(value + parts.error, 1.0), strict=True):
            sides.narrow(i, low, high)
        return
    order = np.concatenate([cut.order, cut.variables[::-1]])
    run = BucketTree.build(model.domains, list(model.scopes), order, max_cells=2.0 ** (ibound + 1)).run(
        list(model.log_tables())
    )
    bound = optimised(run, upper.sweeps)
    chosen = np.zeros(model.n, bool)
    chosen[cut.variables] = True
    if bound == -math.inf:
        return
    halved = unchanged_by_flips(model, np.ones(model.n, bool))
    frontier = Frontier(
        run, chosen, bound, memory=min(memory / 4.0, 5e8), halved=halved, evaluate=parts.log_masses, batch=4
    )
    while not frontier.done and time.monotonic() < until:
        frontier.grow(5_000)
    lows, highs = parts.shares(frontier.bracket()[1] + parts.error, 2.0 if halved else 1.0)
    for i, low, high in zip(part.tolist(), lows, highs, strict=True):
        sides.narrow(i, low, high)


def _by_states(reduced: Reduced, sides: _Sides, upper: AbstractMethod, lower: AbstractMethod, limits: Limits) -> None:
    """Brackets of the model restricted to each state of a variable, the widest variables first."""
    widths = np.array([float((h - l).max()) for l, h in zip(sides.low, sides.high, strict=True)])
    wide = [int(i) for i in np.argsort(-widths, kind="stable") if widths[i] > _DONE]
    for done, i in enumerate(wide):
        left = limits.seconds_left()
        if left <= 0.0:
            return
        seconds = left / (len(wide) - done) / reduced.model.sizes[i]
        brackets = [clamped(reduced, {i: s}, upper, lower, seconds) for s in range(reduced.model.sizes[i])]
        sides.narrow(i, *ratios(np.array([b[0] for b in brackets]), np.array([b[1] for b in brackets])))


def clamped(
    reduced: Reduced, held: Mapping[int, int], upper: AbstractMethod, lower: AbstractMethod, seconds: float
) -> tuple[float, float]:
    """A bracket of log Z with some variables of the reduced model each `held` in one state."""
    states = list(reduced.states)
    for i, state in held.items():
        v = int(reduced.variables[i])
        states[v] = reduced.states[v][state : state + 1]
    small = restrict(reduced.original, states)
    answers = [log_z(small, method, time_limit=0.5 * seconds) for method in (upper, lower)]  # type: ignore[arg-type]
    return max(a.lower.value for a in answers), min(a.upper.value for a in answers)


def ratios(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on e^{z_s} / Σ e^{z_t} where low ≤ z ≤ high."""
    return np.array([_ratio(low, high, s) for s in range(len(low))]), np.array(
        [_ratio(high, low, s) for s in range(len(low))]
    )


def _ratio(mine: np.ndarray, others: np.ndarray, s: int) -> float:
    """e^{mine_s} / (e^{mine_s} + Σ_{t≠s} e^{others_t}); 0 or 1 when one part is nothing or everything."""
    rest = [float(x) for t, x in enumerate(others) if t != s]
    top = max([float(mine[s]), *rest])
    if mine[s] == -math.inf:
        return 0.0
    if math.isinf(top):
        return 1.0 if mine[s] == math.inf else 0.0
    return float(_share(float(mine[s]), rest, top))


def _share(value: float, rest: Iterable[float], top: float) -> float:
    own = math.exp(value - top)
    return own / (own + math.fsum(math.exp(x - top) for x in rest))
