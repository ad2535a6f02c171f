"""Shrink first: the same log Z on fewer variables, fewer states and fewer factors.

    log Z(model) = log_constant + log Z(reduced model)

Observed variables take one state; states that propagation of zeros excludes go (models/propagation.py); what is left of
a table is cut out. A variable with one state leaves; a table that is the same everywhere becomes a constant; a factor
whose scope lies within another's is added into it; a variable in no table contributes log(its states).

Proves: equality, up to the rounding of few additions; log_constant = −inf proves that every weight is zero.
Cost: linear in the tables, but for repeated propagation; 10⁵ factors take about a second.
"""

import math
from collections.abc import Iterable
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from calipers.core.model import AbstractDiscreteModel
from calipers.models.factor_graph import FactorGraph
from calipers.models.nesting import add_tables, cut, find_hosts, lay_out, sort_scopes, survey
from calipers.models.propagation import Flat, flatten, has_zero_constant, keep_states, propagate, starts

_EPSILON = 2.0**-53


class Reduced(NamedTuple):
    """A smaller model, and how it lies in the original one of `n` variables.

    **Fields:** `model`, m variables of two states or more, every scope ascending, no evidence, β = 1, each variable in
    some factor; `variables`, shape (m,), their original numbers, ascending; `states`, for each *original* variable the
    kept states, ascending (all empty if every weight is zero); `members`, for each factor of `model` the original
    factors that were multiplied into it; `original`, the model it came from; `log_constant`, nats; `error`, the
    rounding that it may carry.
    """

    model: FactorGraph
    variables: np.ndarray
    states: tuple[np.ndarray, ...]
    members: tuple[tuple[int, ...], ...]
    original: FactorGraph
    log_constant: float
    error: float = 0.0

    def describe(self) -> str:
        """One line: what is left."""
        if self.log_constant == -math.inf:
            return "every configuration has weight zero, by propagation"
        m, sizes = len(self.variables), self.model.sizes
        if not m:
            return f"all {len(self.states)} variables are determined or free"
        return f"{m} of {len(self.states)} variables, {len(self.members)} factors, largest domain {max(sizes)}"


def reduce(graph: FactorGraph) -> Reduced:
    """The reduced form of a factor graph."""
    return restrict(graph, None)


def as_reduced(model: AbstractDiscreteModel | Reduced) -> Reduced:
    """The reduced form of any discrete model; one that is reduced already is returned as it is."""
    return model if isinstance(model, Reduced) else reduce(model.factor_graph())


def restrict(graph: FactorGraph, states: Iterable[np.ndarray] | None, flat: Flat | None = None) -> Reduced:
    """The reduced form of a factor graph whose variables may take only the given states.

    **Arguments:** `states`, for each variable the states it may take (None: all; the evidence holds as well); `flat`,
    what `flatten(graph)` gave, to be reused when one graph is restricted often.

    **Returns:** a `Reduced`; its `log_constant` is −inf when propagation proves that nothing is possible.

    **Raises:** `ValueError` when a state is not in the model.
    """
    if flat is None and states is None and has_zero_constant(graph):
        return _impossible(graph)
    flat = flatten(graph) if flat is None else flat
    alive = keep_states(flat, states, graph.evidence)
    if not propagate(flat, alive):
        return _impossible(graph)
    small, kept = _cut(flat, alive)
    top, varies, place = survey(small.sizes, small.scope_start, small.scope, small.table_start, small.logs)
    free = (place < 0) & (small.sizes > 1)
    constants = [*top[~varies].tolist(), *np.log(small.sizes[free]).tolist()]
    variables = np.flatnonzero(place >= 0)
    model, members = _merge(small, np.flatnonzero(varies), variables, place)
    kept_states = tuple([kept[a:b] for a, b in pairwise(small.state_start.tolist())])
    error = _EPSILON * (len(constants) + 2.0 * math.fsum(map(abs, constants)))
    return Reduced(model, variables, kept_states, members, graph, math.fsum(constants), error)


def components(reduced: Reduced) -> list[np.ndarray]:
    """The variables (numbers in `reduced.model`, ascending) of each connected component, by lowest variable."""
    m, scopes = len(reduced.variables), reduced.model.scopes
    first = np.array([scope[0] for scope in scopes for _ in scope], np.int64)
    other = np.array([v for scope in scopes for v in scope], np.int64)
    count, label = connected_components(coo_array((np.ones(len(first)), (first, other)), (m, m)), directed=False)
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1]) if m else []
    return sorted(parts, key=lambda part: int(part[0]))


def lift_states(reduced: Reduced, x: np.ndarray) -> np.ndarray:
    """States of the original variables, shape (..., n), from states of the reduced ones, shape (..., m).

    A variable that is free takes its first kept state; whatever it takes has the same weight.

    **Raises:** `ValueError` when every weight is zero, so that there is nothing to lift.
    """
    if reduced.log_constant == -math.inf:
        raise ValueError("every configuration of this model has weight zero; there are no states to lift")
    x = np.asarray(x, np.int64)
    start = starts(np.array([len(kept) for kept in reduced.states], np.int64))
    kept = np.concatenate([np.zeros(0, np.int64), *reduced.states])
    lifted = np.broadcast_to(kept[start[:-1]], (*x.shape[:-1], len(reduced.states))).copy()
    lifted[..., reduced.variables] = kept[start[reduced.variables] + x]
    return lifted


def _impossible(graph: FactorGraph) -> Reduced:
    """Nothing is left: every weight is zero."""
    nothing = np.zeros(0, np.int64)
    empty = FactorGraph.of_parts((), (), ())
    return Reduced(empty, nothing, (nothing,) * len(graph.sizes), (), graph, -math.inf)


def _cut(flat: Flat, alive: np.ndarray) -> tuple[Flat, np.ndarray]:
    """The model on the kept states, without its one-state variables in scopes; and the kept states, ragged."""
    old = flat.scope_start, flat.scope, flat.table_start
    sizes, start, kept, scope_start, scope, table_start = lay_out(flat.sizes, flat.state_start, *old, alive)
    logs = flat.logs
    if len(kept) < len(alive):
        logs = np.empty(table_start[-1])
        cut(*old, flat.logs, flat.sizes, start, kept, table_start, logs)
    return Flat(sizes, start, scope_start, scope, table_start, logs), kept


def _merge(
    small: Flat, factors: np.ndarray, variables: np.ndarray, place: np.ndarray
) -> tuple[FactorGraph, tuple[tuple[int, ...], ...]]:
    """Multiplies nested factors together, over `variables`, numbered anew by `place`; each result with its members."""
    sizes = small.sizes[variables]
    flat, ends = sort_scopes(small.scope_start, small.scope, place).tolist(), small.scope_start.tolist()
    scopes, hosts = _group(sizes, [tuple(flat[ends[a] : ends[a + 1]]) for a in factors.tolist()])
    order = np.argsort(hosts, kind="stable")
    hosts, listed = hosts[order], factors[order]
    scope_start, scope = _ragged(scopes)
    shape = sizes.tolist()
    shapes = [[shape[v] for v in s] for s in scopes]
    table_start = starts(np.array([math.prod(s) for s in shapes], np.int64))
    out = np.zeros(table_start[-1])
    old = small.scope_start, small.scope, small.table_start, small.logs
    add_tables(small.sizes, listed, hosts, *old, scope_start, variables[scope], table_start, out)
    cuts = pairwise(table_start.tolist())
    tables = tuple([out[a:b].reshape(s) for s, (a, b) in zip(shapes, cuts, strict=True)])
    numbers, members = listed.tolist(), starts(np.bincount(hosts, minlength=len(scopes))).tolist()
    model = FactorGraph.of_parts(tuple(shape), tuple(scopes), tables)
    return model, tuple([tuple(numbers[a:b]) for a, b in pairwise(members)])


def _group(sizes: np.ndarray, scopes: list[tuple[int, ...]]) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """The scopes that lie in no other, by their first factor; and for each factor which of them it goes to."""
    number: dict[tuple[int, ...], int] = {}
    group = np.array([number.setdefault(s, len(number)) for s in scopes], np.int64)
    distinct = list(number)
    if len(set(map(len, distinct))) < 2:
        return distinct, group
    host = find_hosts(sizes, *_ragged(distinct))
    host = np.where(host < 0, np.arange(len(host)), host)[group]
    place: dict[int, int] = {}
    hosts = np.array([place.setdefault(g, len(place)) for g in host.tolist()], np.int64)
    return [distinct[g] for g in place], hosts


def _ragged(scopes: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Where each scope starts, and the scopes as one flat vector."""
    return starts(np.array([len(s) for s in scopes], np.int64)), np.fromiter(chain.from_iterable(scopes), np.int64)
