"""The search of a model counter: branch, propagate, split into components, look up, learn (numba kernels).

Each level of the stack sums one component over both values of one variable. A contradiction teaches a clause and zeroes
its branch. Learned clauses are consequences of the whole formula: while one component has no solution they may make
another's count too small, so everything remembered since that branch began is taken back when it turns out empty
(Sang et al. 2004, §4). **Source** Thurley, *sharpSAT* (2006).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.exact.clauses import TRAIL, assign, crowded, forget, learn, propagate, undo
from calipers.exact.counting_parts import ENTRIES, component, forget_since, hashed, look_up, remember

LEVEL, DATA, WAITING, DECISIONS = range(4)  # places of `Stack.state`
COMPONENT, CHOICE, BRANCH, BEFORE, CHILDREN, FLOOR, MARK = range(7)  # columns of `Stack.levels`
WORKING, DONE, FULL = range(3)


class Stack(NamedTuple):
    """Levels of the search, components that wait and where they lie in `data`, log counts of branches.

    `sums[level]` is the branch at work, then the first one; `weights` are of literals, `free` of unconstrained
    variables, `guide` is added to each variable's score. `largest` is the largest |log count| met.
    """

    levels: np.ndarray
    sums: np.ndarray
    waiting: np.ndarray
    hashes: np.ndarray
    data: np.ndarray
    weights: np.ndarray
    free: np.ndarray
    guide: np.ndarray
    score: np.ndarray
    largest: np.ndarray
    state: np.ndarray


def stack_of(weights: np.ndarray, free: np.ndarray, guide: np.ndarray, long: int, room: int) -> Stack:
    """An empty stack for a formula with so many long clauses, with the component of all variables at its root."""
    n = len(free)
    data = np.zeros(min((n + 2) * (n + long + 8), room), np.int32)
    data[0], data[1], data[2 : 2 + n] = n, 0, np.arange(n)
    stack = Stack(
        np.zeros((n + 3, 7), np.int64), np.zeros((n + 3, 2)), np.zeros(n + 3, np.int64), np.zeros(n + 3, np.uint64),
        data, weights, free, guide, np.zeros(n), np.ones(1), np.array([0, 2 + n, 0, 0]),
    )  # fmt: skip
    stack.levels[0, FLOOR] = 2 + n
    return stack


@njit(cache=True, nogil=True)
def split(d, p, cache, s):
    """Adds to the level's branch what is assigned, free or remembered; the other components wait. False: no room."""
    level = s.state[LEVEL]
    at = s.levels[level, COMPONENT]
    p.state[0] += 1
    stamp, total, widest = p.state[0], 0.0, s.state[WAITING]
    for q in range(at + 2, at + 2 + s.data[at]):
        v = s.data[q]
        if d.value[2 * v] >= 0:
            total += s.weights[2 * v + d.value[2 * v + 1]]
            continue
        if p.seen[v] == stamp:
            continue
        begin = s.state[DATA]
        if begin + s.data[at] + s.data[at + 1] + 8 > len(s.data):
            return False
        end = component(p, d.value, v, stamp, s.data[begin:])
        if s.data[begin] == 1 and s.data[begin + 1] == 0:
            total += s.free[v]
            continue
        words = s.data[begin : begin + end]
        h = hashed(words)
        e = look_up(cache, words, h)
        if e >= 0:
            total += cache.counts[e]
            if total == -np.inf:
                break
            continue
        w = s.state[WAITING]
        s.waiting[w], s.hashes[w] = begin, h
        s.state[DATA], s.state[WAITING] = begin + end, w + 1
        if s.data[begin] > s.data[s.waiting[widest]]:
            widest = w
    first = s.levels[level, CHILDREN]
    if widest > first and widest < s.state[WAITING]:  # the largest waits longest
        s.waiting[first], s.waiting[widest] = s.waiting[widest], s.waiting[first]
        s.hashes[first], s.hashes[widest] = s.hashes[widest], s.hashes[first]
    s.sums[level, 0] += total
    return True


@njit(cache=True, nogil=True)
def _choose(d, p, s, at):
    """The literal to assume first in the component at `at`: of the variable that occurs, argues, separates most."""
    first, last = at + 2, at + 2 + s.data[at]
    for q in range(first, last):
        v = s.data[q]
        s.score[v] = d.activity[v] / d.bump[0] + s.guide[v]
        for i in range(p.near_ptr[v], p.near_ptr[v + 1]):
            s.score[v] += d.value[2 * p.near[i]] < 0
    for q in range(last, last + s.data[at + 1]):
        c = s.data[q]
        for k in range(p.start[c], p.start[c + 1]):
            s.score[p.literals[k] >> 1] += 1.0
    best = s.data[first]
    for q in range(first, last):
        if s.score[s.data[q]] > s.score[best]:
            best = s.data[q]
    return 2 * best + 1


@njit(cache=True, nogil=True)
def _second(d, p, cache, s, clause):
    """Turns the level to its second branch; `clause` is what the first one taught, if anything. False: no room."""
    level = s.state[LEVEL]
    row = s.levels[level]
    undo(d, row[BEFORE])
    s.sums[level, 1], s.sums[level, 0] = s.sums[level, 0], -np.inf
    row[BRANCH], row[MARK] = 1, cache.state[ENTRIES]
    s.state[WAITING], s.state[DATA] = row[CHILDREN], row[FLOOR]
    if clause >= 0:
        literal = d.literals[d.start[clause]]
        if d.value[literal] == 0:
            return True
        if d.value[literal] < 0:
            assign(d, literal, clause, level)
            conflict = propagate(d, level)
            if conflict >= 0:
                learn(d, conflict)
                return True
    other = row[CHOICE] ^ 1
    if d.value[other] == 0:
        return True
    if d.value[other] < 0:
        assign(d, other, -1, level)
        conflict = propagate(d, level)
        if conflict >= 0:
            learn(d, conflict)
            return True
    s.sums[level, 0] = 0.0
    return split(d, p, cache, s)


@njit(cache=True, nogil=True)
def _open(d, p, cache, s):
    """Begins the component that was put to wait last. False: no room."""
    w = s.state[WAITING] - 1
    s.state[WAITING], s.state[LEVEL] = w, s.state[LEVEL] + 1
    s.state[DECISIONS] += 1
    level = s.state[LEVEL]
    row = s.levels[level]
    row[COMPONENT], row[CHOICE] = s.waiting[w], _choose(d, p, s, s.waiting[w])
    row[BRANCH], row[BEFORE], row[MARK] = 0, d.state[TRAIL], cache.state[ENTRIES]
    row[CHILDREN], row[FLOOR] = w + 1, s.state[DATA]  # the component itself stays where it lies, and so does its hash
    s.state[WAITING] = w + 1
    s.sums[level] = 0.0
    assign(d, row[CHOICE], -1, level)
    conflict = propagate(d, level)
    if conflict < 0:
        return split(d, p, cache, s)
    s.sums[level, 0] = -np.inf
    return _second(d, p, cache, s, learn(d, conflict))


@njit(cache=True, nogil=True)
def _close(d, cache, s):
    """Ends a level: its component is remembered, and counts in the branch below."""
    level = s.state[LEVEL]
    row = s.levels[level]
    undo(d, row[BEFORE])
    a, b = max(s.sums[level, 0], s.sums[level, 1]), min(s.sums[level, 0], s.sums[level, 1])
    total = a if b == -np.inf else a + np.log1p(np.exp(b - a))
    if total > -np.inf:
        s.largest[0] = max(s.largest[0], abs(total))
    at, w = row[COMPONENT], row[CHILDREN] - 1
    words = s.data[at : at + 2 + s.data[at] + s.data[at + 1]]
    if remember(cache, words, s.hashes[w], total):
        s.levels[: level + 1, MARK] = 0
    s.state[LEVEL], s.state[WAITING] = level - 1, w
    s.state[DATA] = at if at + len(words) == row[FLOOR] else row[FLOOR]
    s.sums[level - 1, 0] += total


@njit(cache=True, nogil=True)
def run(d, p, cache, s, steps):
    """Up to `steps` decisions; returns WORKING, DONE (`sums[0, 0]` is the log count) or FULL."""
    until = s.state[DECISIONS] + steps
    while s.state[DECISIONS] < until:
        if crowded(d):
            forget(d)
        level = s.state[LEVEL]
        empty = s.sums[level, 0] == -np.inf
        if empty:
            s.state[WAITING] = s.levels[level, CHILDREN]
            forget_since(cache, s.levels[level, MARK])
        if s.state[WAITING] > s.levels[level, CHILDREN]:
            if not _open(d, p, cache, s):
                return FULL
        elif level == 0:
            return DONE
        elif s.levels[level, BRANCH] == 0:
            if not _second(d, p, cache, s, -1):
                return FULL
        else:
            _close(d, cache, s)
    return WORKING
