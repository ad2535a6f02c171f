"""Propagation of zeros: which states of which variables can still have positive weight.

A state of v is kept iff in every factor over v some entry with that state is positive and has only kept states
(generalised arc consistency). The largest such set is unique, whatever the order of work, so anyone who repeats the
propagation finds the same states. What is proved: every configuration with a state outside it has weight zero.

Cost: one pass over the tables that hold zeros, then again over those whose variables lost a state.
Source: Mackworth, Consistency in networks of relations (1977), in the form of a worklist.
"""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.models.factor_graph import FactorGraph

_STEP = 10_000_000  # entries looked at between two chances to interrupt


class Flat(NamedTuple):
    """A factor graph in flat arrays: item a of a ragged list lies at `start[a]:start[a + 1]`; β is multiplied in.

    State x of variable v has place `state_start[v] + x`; `logs` are the tables one after another.
    """

    sizes: np.ndarray
    state_start: np.ndarray
    scope_start: np.ndarray
    scope: np.ndarray
    table_start: np.ndarray
    logs: np.ndarray


def flatten(graph: FactorGraph) -> Flat:
    """The tables and scopes of a factor graph, without its evidence, in flat arrays.

    **Raises:** `ValueError` when a log is NaN or +inf, or leaves float64 when β multiplies it.
    """
    sizes, logs = np.array(graph.sizes, np.int64), flat_logs(graph)
    scope = np.fromiter(chain.from_iterable(graph.scopes), np.int64)
    arity = np.fromiter(map(len, graph.scopes), np.int64, len(graph.scopes))
    entries = np.array([t.size for t in graph.tables], np.int64)
    return Flat(sizes, starts(sizes), starts(arity), scope, starts(entries), logs)


def flat_logs(graph: FactorGraph) -> np.ndarray:
    """The log tables one after another, β multiplied in.

    **Raises:** as `flatten`.
    """
    logs = np.concatenate([np.zeros(0), *graph.tables], axis=None, dtype=np.float64)  # None: of any shape, row by row
    zero = logs == -np.inf
    if graph.beta != 1.0:
        with np.errstate(over="ignore"):
            logs = np.where(zero, logs, graph.beta * np.where(zero, 0.0, logs))
    if not (np.isfinite(logs) | zero).all():
        raise ValueError("a log table holds NaN, +inf or a log beyond float64; logs are finite, or -inf for a zero")
    return logs


def has_zero_constant(graph: FactorGraph) -> bool:
    """Whether a table without variables is zero, and with it every weight: seen without a look at the others."""
    return any(not scope and table == -np.inf for scope, table in zip(graph.scopes, graph.tables, strict=True))


@njit(cache=True, nogil=True)
def starts(lengths):
    """Where each item of a ragged list starts, and where the last one ends."""
    out = np.zeros(len(lengths) + 1, np.int64)
    for i in range(len(lengths)):
        out[i + 1] = out[i] + lengths[i]
    return out


def keep_states(flat: Flat, states: Iterable[np.ndarray] | None, evidence: Iterable[tuple[int, int]]) -> np.ndarray:
    """Marks, one a state, of the states that are in `states` (None: all) and agree with the evidence."""
    alive = np.ones(flat.state_start[-1], np.bool_)
    if states is not None:
        lists = [np.asarray(kept, np.int64) for kept in states]
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        kept = np.concatenate([np.zeros(0, np.int64), *lists])
        if len(lists) != len(flat.sizes) or not ((kept >= 0) & (kept < np.repeat(flat.sizes, lengths))).all():
            raise ValueError(f"{len(lists)} lists of states do not fit the {len(flat.sizes)} variables' domains")
        alive[:] = False
        alive[kept + np.repeat(flat.state_start[:-1], lengths)] = True
    _observe(flat.state_start, np.array(list(evidence), np.int64).reshape(-1, 2), alive)
    return alive


@njit(cache=True, nogil=True)
def _observe(state_start, evidence, alive):
    """Leaves the observed states alone alive, those of them that were."""
    for i in range(len(evidence)):
        first, last = state_start[evidence[i, 0]], state_start[evidence[i, 0] + 1]
        for s in range(first, last):
            alive[s] &= s == first + evidence[i, 1]


def propagate(flat: Flat, alive: np.ndarray) -> bool:
    """Lowers the marks `alive`, in place, to the fixpoint.

    **Returns:** whether every variable has a state left and every factor an entry; if not, every weight is zero.
    """
    zero, hard, of_start, of, possible = _constraints(*flat, alive)
    if not possible:
        return False
    waiting = np.flatnonzero(hard)
    if not len(waiting):
        return True
    ring = np.zeros(len(hard), np.int64)
    ring[: len(waiting)] = waiting
    head = np.array([0, len(waiting), 0], np.int64)
    seen = np.zeros(len(alive), np.int64)
    fixed = flat.state_start, flat.scope_start, flat.scope, flat.table_start, zero, of_start, of
    while head[1] > 0:
        if not _propagate(*fixed, alive, ring, head, hard, seen, _STEP):
            return False
    return True


@njit(cache=True, nogil=True)
def _constraints(sizes, state_start, scope_start, scope, table_start, logs, alive):
    """Entries that are zero, factors that have one, those of each variable (ragged); if all variables have a state."""
    n, count = len(sizes), len(table_start) - 1
    zero, hard, of_start = np.zeros(len(logs), np.bool_), np.zeros(count, np.bool_), np.zeros(n + 1, np.int64)
    possible = True
    for v in range(n):
        live = False
        for s in range(state_start[v], state_start[v + 1]):
            live |= alive[s]
        possible &= live
    for f in range(count):
        for e in range(table_start[f], table_start[f + 1]):
            zero[e] = logs[e] == -np.inf
            hard[f] |= zero[e]
        if hard[f]:
            for i in range(scope_start[f], scope_start[f + 1]):
                of_start[scope[i] + 1] += 1
    for v in range(n):
        of_start[v + 1] += of_start[v]
    of, place = np.empty(of_start[n], np.int64), of_start.copy()
    for f in range(count):
        if hard[f]:
            for i in range(scope_start[f], scope_start[f + 1]):
                of[place[scope[i]]] = f
                place[scope[i]] += 1
    return zero, hard, of_start, of, possible


@njit(cache=True, nogil=True)
def _support(state_start, scope, zero, alive, seen, stamp):
    """Stamps every state that an entry of kept states supports. Returns the entries looked at, and if any was found."""
    k = len(scope)
    place, missing = np.empty(k, np.int64), 0
    for j in range(k):
        place[j] = state_start[scope[j]]
        for s in range(state_start[scope[j]], state_start[scope[j] + 1]):
            missing += alive[s]
    found = False
    for e in range(len(zero)):
        live = not zero[e]
        for j in range(k):
            if not live:
                break
            live = alive[place[j]]
        if live:
            found = True
            for j in range(k):
                if seen[place[j]] != stamp:
                    seen[place[j]] = stamp
                    missing -= 1
            if missing == 0:
                return e + 1, found
        for j in range(k - 1, -1, -1):
            place[j] += 1
            if place[j] < state_start[scope[j] + 1]:
                break
            place[j] = state_start[scope[j]]
    return len(zero), found


@njit(cache=True, nogil=True)
def _propagate(state_start, scope_start, scope, table_start, zero, of_start, of, alive, ring, head, queued, seen, step):
    """Works off the ring of waiting factors; `head` = (first, number waiting, stamp). False: nothing is possible."""
    work = 0
    while head[1] > 0 and work < step:
        f = ring[head[0]]
        head[0] = (head[0] + 1) % len(ring)
        head[1] -= 1
        head[2] += 1
        queued[f] = False
        own = scope[scope_start[f] : scope_start[f + 1]]
        table = zero[table_start[f] : table_start[f + 1]]
        looked, found = _support(state_start, own, table, alive, seen, head[2])
        work += looked
        if not found:
            return False
        for v in own:
            lost = False
            for s in range(state_start[v], state_start[v + 1]):
                if alive[s] and seen[s] != head[2]:
                    alive[s] = False
                    lost = True
            for i in range(of_start[v], of_start[v + 1] if lost else of_start[v]):
                g = of[i]
                if g != f and not queued[g]:
                    queued[g] = True
                    ring[(head[0] + head[1]) % len(ring)] = g
                    head[1] += 1
    return True
