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
    sizes = np.array(graph.sizes, np.int64)
    logs = np.concatenate([np.zeros(0), *[np.asarray(t).reshape(-1) for t in graph.tables]])
    zero = np.isneginf(logs)
    if graph.beta != 1.0:
        with np.errstate(over="ignore"):
            logs = np.where(zero, logs, graph.beta * np.where(zero, 0.0, logs))
    if not (np.isfinite(logs) | zero).all():
        raise ValueError("a log table holds NaN, +inf or a log beyond float64; logs are finite, or -inf for a zero")
    scope = np.fromiter(chain.from_iterable(graph.scopes), np.int64)
    arity = np.fromiter(map(len, graph.scopes), np.int64, len(graph.scopes))
    entries = np.fromiter((t.size for t in graph.tables), np.int64, len(graph.tables))
    return Flat(sizes, starts(sizes), starts(arity), scope, starts(entries), logs)


def starts(lengths: np.ndarray) -> np.ndarray:
    """Where each item of a ragged list starts, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


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
    for v, state in evidence:
        own = alive[flat.state_start[v] : flat.state_start[v + 1]]
        possible = own[state]
        own[:] = False
        own[state] = possible
    return alive


def propagate(flat: Flat, alive: np.ndarray) -> bool:
    """Lowers the marks `alive`, in place, to the fixpoint.

    **Returns:** whether every variable has a state left and every factor an entry; if not, every weight is zero.
    """
    if not np.logical_or.reduceat(alive, flat.state_start[:-1]).all():
        return False
    factors = np.arange(len(flat.table_start) - 1)
    zero = np.isneginf(flat.logs)
    hard = np.logical_or.reduceat(zero, flat.table_start[:-1]) if len(factors) else np.zeros(0, np.bool_)
    if not hard.any():
        return True
    owner = np.repeat(factors, np.diff(flat.scope_start))
    kept = np.flatnonzero(hard[owner])
    order = kept[np.argsort(flat.scope[kept], kind="stable")]
    of_start = starts(np.bincount(flat.scope[order], minlength=len(flat.sizes)))
    ring = np.zeros(len(factors), np.int64)
    ring[: np.count_nonzero(hard)] = factors[hard]
    head = np.array([0, np.count_nonzero(hard), 0], np.int64)
    seen = np.zeros(len(alive), np.int64)
    fixed = flat.state_start, flat.scope_start, flat.scope, flat.table_start, zero, of_start, owner[order]
    while head[1] > 0:
        if not _propagate(*fixed, alive, ring, head, hard, seen, _STEP):
            return False
    return True


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
