"""What every exact query stands on: a reduced model laid out as a bucket tree whose messages are all kept.

    p(x) = Π_b p(x_b | rest_b),     p(x_b | rest_b) = exp(joint_b(rest_b, x_b) − λ_b(rest_b))

After one forward pass the buckets, read from the last to the first, are the factors of p: the chain rule along the
elimination order. Samples, most probable configurations, moments and joint marginals are all walks over it.
**Cost** that of elimination, and memory for all messages. **Fails** by refusing, with the estimate, what does not fit;
`Impossible` when every configuration has weight zero. **Source** Dechter, *Bucket elimination* (1999).
"""

import functools
import math
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from calipers.core.method import Limits, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_tree import BucketTree, Run
from calipers.exact.ordering import best_order, order_cost
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import Reduced, as_reduced

Scope = tuple[int, ...]
Statistic = Iterable[tuple[Sequence[int], ArrayLike]]  # f(x) = Σ_a f_a(x_a), as pairs (scope, table of values)

SECONDS_PER_CELL = 2e-8  # of a pass in log space, measured on one 2026 core; only refusals depend on it
_FEW, _MANY, _CHEAP, _LARGE = (
    8,
    32,
    20.0,
    5000,
)  # orders tried; log2 entries where few are enough; sites where many cost


class Impossible(ValueError):
    """Every configuration of the model has weight zero: there is no distribution to ask about."""

    def __init__(self) -> None:
        super().__init__("every configuration of this model has weight zero (contradictory evidence, or zero tables)")


class Layout(NamedTuple):
    """A reduced model as a bucket tree over the variables that are neither fixed by evidence nor by zeros.

    **Fields:** `reduced`; `active`, shape (m,), the original number of each tree variable; `place`, shape (n,), its
    inverse, −1 for a fixed variable; `tree`; `tables`, the log table of each tree scope; `log_constant`, nats, what is
    to be added to the tree's log Z; `slots`, the number of the table with a given scope.
    """

    reduced: Reduced
    active: np.ndarray
    place: np.ndarray
    tree: BucketTree
    tables: list[np.ndarray]
    log_constant: float
    slots: dict[Scope, int]

    def run(self) -> Run:
        """A finished forward pass. Raises `Impossible` when elimination finds no configuration of positive weight."""
        run = self.tree.run(self.tables)
        if run.forward() == -math.inf:
            raise Impossible
        return run

    def inner(self, scope: Sequence[int]) -> Scope:
        """The tree variables, ascending, among the original variables `scope`."""
        return _inner(self.place, scope)

    def span(self, scope: Sequence[int]) -> slice:
        """Where in the arena the table lies that original variables `scope` were given when the tree was laid out."""
        slot = self.slots[self.inner(scope)]
        at = self.tree.table_at[slot]
        return slice(at, at + self.tables[slot].size)

    def restrict(self, scope: Sequence[int], table: ArrayLike) -> np.ndarray:
        """A table over original variables, cut to the kept states, its axes in the order of `inner(scope)`."""
        cut = np.asarray(table, np.float64)[np.ix_(*(self.reduced.states[v] for v in scope))]
        places = [int(self.place[v]) for v in scope]
        cut = cut.reshape([k for k, p in zip(cut.shape, places, strict=True) if p >= 0])
        return cut.transpose(np.argsort([p for p in places if p >= 0]).astype(int))

    def lift(self, states: np.ndarray) -> np.ndarray:
        """Original states, shape (S, n), of tree states, shape (m, S)."""
        lifted = np.empty((len(self.reduced.states), states.shape[1]), states.dtype)
        for v, (kept, p) in enumerate(zip(self.reduced.states, self.place.tolist(), strict=True)):
            lifted[v] = kept[0] if p < 0 else states[p] if len(kept) == kept[-1] + 1 else kept[states[p]]
        return lifted.T


def lay_out(
    model: AbstractDiscreteModel,
    scopes: Iterable[Sequence[int]] = (),
    limits: Limits = Limits(),
    *,
    copies: float = 2.0,
) -> Layout:
    """Lays out a model for queries.

    **Arguments:** `scopes`, sets of original variables that need a table of their own; `copies`, how many numbers
    are kept for each entry of a message, for the memory's sake.

    **Raises:** `Refusal` with the estimate when it would not fit; `Impossible` when propagation excludes everything.
    """
    reduced = as_reduced(model)
    if reduced.log_constant == -math.inf:
        raise Impossible
    kept = np.array([len(s) for s in reduced.states], np.int64)
    loose = np.setdiff1d(np.flatnonzero(kept > 1), reduced.variables)  # in no factor, free to take any state
    active = np.concatenate([reduced.variables, loose]).astype(np.int64)
    place = np.full(len(kept), -1)
    place[active] = np.arange(len(active))
    own = list(reduced.model.scopes)
    wanted = dict.fromkeys(_inner(place, s) for s in scopes)
    probes = [s for s in wanted if s and s not in set(own)]
    sizes = kept[active]
    tree = _tree(sizes, own + probes, _order(tuple(sizes.tolist()), tuple(own + probes)), limits, copies)
    tables = [*reduced.model.log_tables(), *(np.zeros([sizes[v] for v in s]) for s in probes)]
    constant = reduced.log_constant - float(np.log(kept[loose]).sum())
    return Layout(reduced, active, place, tree, tables, constant, {s: a for a, s in enumerate(own + probes)})


@functools.lru_cache(maxsize=16)
def _order(sizes: tuple[int, ...], scopes: tuple[Scope, ...]) -> np.ndarray:
    """An order in whose search the clock has no say, so that a seed always gives the same samples."""
    found = best_order(sizes, scopes, seconds=math.inf, trials=_FEW)
    if found.log2_total > _CHEAP:
        found = best_order(sizes, scopes, seconds=math.inf, trials=_MANY if len(sizes) <= _LARGE else 2 * _FEW)
    found.order.flags.writeable = False
    return found.order


def _inner(place: np.ndarray, scope: Sequence[int]) -> Scope:
    return tuple(sorted(int(place[v]) for v in scope if place[v] >= 0))


def _tree(sizes: np.ndarray, scopes: list[Scope], order: np.ndarray, limits: Limits, copies: float) -> BucketTree:
    """The tree along `order`; refuses when memory or time would not do."""
    cost = order_cost(sizes, scopes, order)
    seconds = 2.0 ** min(cost.log2_total, 1000.0) * SECONDS_PER_CELL  # beyond float64 for the widest
    largest = f"largest table 2^{cost.log2_largest:.1f} entries, about {seconds:.2g} s a pass"
    least = 8.0 * copies * 2.0 ** min(cost.log2_largest - np.log2(max(sizes, default=2)), 1000.0)
    if least > limits.memory:
        raise Refusal(f"elimination needs {least / 1e9:.3g} GB: {largest}; {limits.memory / 1e9:.3g} GB allowed")
    if seconds > limits.seconds_left():
        raise Refusal(f"elimination would not finish in time: {largest}, {limits.seconds_left():.3g} s left")
    tree = BucketTree.build(sizes, scopes, order, keep=True)
    needed = 8.0 * copies * tree.arena_size
    if needed > limits.memory:
        raise Refusal(f"elimination needs {needed / 1e9:.3g} GB: {largest}; {limits.memory / 1e9:.3g} GB allowed")
    return tree


def until(time_limit: float = 60.0, memory: float = 8e9) -> Limits:
    """Limits of a query: `time_limit`, seconds of wall clock from now; `memory`, bytes."""
    return Limits(deadline=time.monotonic() + time_limit, memory=memory)


def log_weights(graph: FactorGraph, states: np.ndarray) -> np.ndarray:
    """The log weight of each configuration, states of shape (S, n) → (S,), in nats; the evidence is not looked at."""
    total = np.zeros(len(states))
    for scope, table in zip(graph.scopes, graph.log_tables(), strict=True):
        total += table[tuple(states[:, v] for v in scope)] if scope else table
    return total
