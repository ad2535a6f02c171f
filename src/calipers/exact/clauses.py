"""Clauses under propagation: two watched literals each, and clauses learned from conflicts (numba kernels).

Literals are 2v (variable v false) and 2v + 1 (true); `value` of a literal is 1, 0 or −1 while unassigned. A clause that
is learned is a consequence of the others by resolution (first unique implication point), so that whatever it implies
holds in every solution; it serves propagation alone. **Source** Moskewicz et al., *Chaff* (DAC 2001); Marques-Silva &
Sakallah, *GRASP* (1999); Eén & Sörensson, *An extensible SAT-solver* (2003).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

TRAIL, HEAD, COUNT, GIVEN, ROOM, STAMP = range(6)  # places of `state`
_BUMP, _KEPT = 1.05, 8  # growth of a bump of activity; learned clauses this short are never forgotten


class Clauses(NamedTuple):
    """Clauses `literals[start[c] : start[c] + size[c]]`, the first two watched, and what is assigned.

    `first[l]` heads the list of watches of literal l, `next` continues it: watch 2c + s is position s of clause c.
    `trail` holds the true literals in order; `reason` and `level` are of variables. `state` counts: assigned,
    propagated, clauses, given clauses, literals used, stamps.
    """

    literals: np.ndarray
    start: np.ndarray
    size: np.ndarray
    first: np.ndarray
    next: np.ndarray
    value: np.ndarray
    reason: np.ndarray
    level: np.ndarray
    trail: np.ndarray
    activity: np.ndarray
    bump: np.ndarray
    seen: np.ndarray
    learned: np.ndarray
    state: np.ndarray


def clauses_of(given: list[list[int]], n: int, room: int) -> Clauses:
    """A database of clauses (coded, each of two literals or more) over n variables, with room for learned ones."""
    used, count = sum(map(len, given)), len(given)
    most = count + room // 4
    literals, size = np.zeros(used + room, np.int32), np.zeros(most, np.int32)
    literals[:used] = [x for clause in given for x in clause]
    size[:count] = [len(clause) for clause in given]
    start = np.zeros(most, np.int64)
    start[1:count] = np.cumsum(size[: count - 1]) if count > 1 else []
    found = Clauses(
        literals, start, size, np.full(2 * n, -1), np.full(2 * most, -1), np.full(2 * n, -1, np.int8),
        np.full(n, -1), np.zeros(n, np.int64), np.zeros(n + 1, np.int32), np.zeros(n), np.ones(1),
        np.zeros(n, np.int64), np.zeros(n + 2, np.int32), np.array([0, 0, count, count, used, 0]),
    )  # fmt: skip
    for c in range(count):
        _watch(found, c)
    return found


@njit(cache=True, nogil=True)
def _watch(d, c):
    """Enters both watches of clause c."""
    for side in range(2):
        literal = d.literals[d.start[c] + side]
        d.next[2 * c + side] = d.first[literal]
        d.first[literal] = 2 * c + side


@njit(cache=True, nogil=True)
def assign(d, literal, reason, level):
    """Makes an unassigned literal true."""
    v = literal >> 1
    d.value[literal], d.value[literal ^ 1] = 1, 0
    d.reason[v], d.level[v] = reason, level
    d.trail[d.state[TRAIL]] = literal
    d.state[TRAIL] += 1


@njit(cache=True, nogil=True)
def undo(d, length):
    """Takes back all assignments beyond the first `length`."""
    for t in range(length, d.state[TRAIL]):
        literal = d.trail[t]
        d.value[literal] = d.value[literal ^ 1] = -1
    d.state[TRAIL] = d.state[HEAD] = length


@njit(cache=True, nogil=True)
def propagate(d, level):
    """Assigns all that follows; returns a clause that became false, or −1."""
    while d.state[HEAD] < d.state[TRAIL]:
        false = d.trail[d.state[HEAD]] ^ 1
        d.state[HEAD] += 1
        w, before = d.first[false], -1
        while w >= 0:
            c, after = w >> 1, d.next[w]
            base = d.start[c]
            here = base + (w & 1)
            other = d.literals[base + 1 - (w & 1)]
            moved = False
            if d.value[other] != 1:
                for k in range(base + 2, base + d.size[c]):
                    literal = d.literals[k]
                    if d.value[literal] != 0:
                        d.literals[k], d.literals[here] = false, literal
                        if before < 0:
                            d.first[false] = after
                        else:
                            d.next[before] = after
                        d.next[w] = d.first[literal]
                        d.first[literal] = w
                        moved = True
                        break
                if not moved:
                    if d.value[other] == 0:
                        return c
                    assign(d, other, c, level)
            if not moved:
                before = w
            w = after
    return -1


@njit(cache=True, nogil=True)
def learn(d, conflict):
    """Learns from a false clause; returns the new clause, its first literal the only one of its level, or −1.

    −1: nothing new, or no room for it.
    """
    d.state[STAMP] += 1
    stamp, top = d.state[STAMP], 0
    for k in range(d.start[conflict], d.start[conflict] + d.size[conflict]):
        top = max(top, d.level[d.literals[k] >> 1])
    if top == 0:
        return -1
    length, waiting, at, c, steps = 1, 0, d.state[TRAIL] - 1, conflict, 0
    while True:
        for k in range(d.start[c], d.start[c] + d.size[c]):
            literal = d.literals[k]
            v = literal >> 1
            if d.seen[v] == stamp or d.level[v] == 0:
                continue
            d.seen[v] = stamp
            d.activity[v] += d.bump[0]
            if d.level[v] >= top:
                waiting += 1
            else:
                d.learned[length] = literal
                length += 1
        at = _latest(d, at, stamp, top)
        literal, waiting = d.trail[at], waiting - 1
        while waiting > 0 and d.reason[literal >> 1] < 0:  # a second choice at this level: it stays in the clause
            d.learned[length] = literal ^ 1
            length, at = length + 1, _latest(d, at - 1, stamp, top)
            literal, waiting = d.trail[at], waiting - 1
        if waiting == 0:
            break
        at, c, steps = at - 1, d.reason[literal >> 1], steps + 1
    _tick(d)
    d.learned[0] = literal ^ 1
    if steps == 0:
        return -1
    return _keep(d, _minimised(d, length, stamp))


@njit(cache=True, nogil=True, inline="always")
def _latest(d, at, stamp, top):
    """The last place of the trail, not beyond `at`, with a marked variable of level `top`."""
    while d.seen[d.trail[at] >> 1] != stamp or d.level[d.trail[at] >> 1] < top:
        at -= 1
    return at


@njit(cache=True, nogil=True)
def _tick(d):
    """Makes later bumps count more."""
    d.bump[0] *= _BUMP
    if d.bump[0] > 1e100:
        d.activity[:] *= 1e-100
        d.bump[0] *= 1e-100


@njit(cache=True, nogil=True)
def _minimised(d, length, stamp):
    """Drops literals of `learned` that the others imply; the latest of the rest comes second. Returns the length."""
    kept = 1
    for k in range(1, length):
        v = d.learned[k] >> 1
        c = d.reason[v]
        implied = c >= 0
        if implied:
            for q in range(d.start[c], d.start[c] + d.size[c]):
                u = d.literals[q] >> 1
                if d.seen[u] != stamp and d.level[u] > 0:
                    implied = False
                    break
        if not implied:
            d.learned[kept] = d.learned[k]
            kept += 1
    for k in range(2, kept):
        if d.level[d.learned[k] >> 1] > d.level[d.learned[1] >> 1]:
            d.learned[1], d.learned[k] = d.learned[k], d.learned[1]
    return kept


@njit(cache=True, nogil=True)
def _keep(d, length):
    """Stores the learned clause; a single literal is not watched and so not stored."""
    c, used = d.state[COUNT], d.state[ROOM]
    if length < 2 or c == len(d.size) or used + length > len(d.literals):
        return -1
    d.literals[used : used + length] = d.learned[:length]
    d.start[c], d.size[c] = used, length
    d.state[COUNT], d.state[ROOM] = c + 1, used + length
    _watch(d, c)
    return c


@njit(cache=True, nogil=True)
def crowded(d):
    """Whether little room is left for learned clauses."""
    return 10 * d.state[COUNT] > 9 * len(d.size) or 10 * d.state[ROOM] > 9 * len(d.literals)


@njit(cache=True, nogil=True)
def forget(d):
    """Forgets the older half of the long learned clauses that are no reasons at the moment."""
    count, given = d.state[COUNT], d.state[GIVEN]
    if count == given:
        return
    locked = np.zeros(count, np.bool_)
    for t in range(d.state[TRAIL]):
        c = d.reason[d.trail[t] >> 1]
        if c >= 0:
            locked[c] = True
    place = np.arange(count)
    kept, used = given, d.start[given]
    for c in range(given, count):
        if locked[c] or d.size[c] <= _KEPT or 2 * (c - given) > count - given:
            size, start = d.size[c], d.start[c]
            for k in range(size):
                d.literals[used + k] = d.literals[start + k]
            place[c], d.start[kept], d.size[kept] = kept, used, size
            kept, used = kept + 1, used + size
    d.state[COUNT], d.state[ROOM] = kept, used
    for t in range(d.state[TRAIL]):
        v = d.trail[t] >> 1
        if d.reason[v] >= 0:
            d.reason[v] = place[d.reason[v]]
    d.first[:] = -1
    for c in range(kept):
        _watch(d, c)
