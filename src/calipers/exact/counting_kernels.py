"""Numba kernels of model counting: unit propagation with undo, and the components of what is left of a formula.

Literals are 2v (variable v false) and 2v + 1 (true); occurrences and clauses are ragged lists. A clause counts its true
and false literals; it is *active* while none is true. Everything is undone by the trail.
"""

from typing import NamedTuple

import numpy as np
from numba import njit


class Formula(NamedTuple):
    """Clauses and their state: `value` (V,) is −1 while unassigned; `trail` holds the assigned literals in order."""

    clause_ptr: np.ndarray
    clause: np.ndarray
    of_ptr: np.ndarray
    of: np.ndarray
    true: np.ndarray
    false: np.ndarray
    value: np.ndarray
    trail: np.ndarray


@njit(cache=True, nogil=True)
def assume(f, literal, length):
    """Assigns a literal and all that follows; returns the new length of the trail, negative on a contradiction."""
    head = length
    if f.value[literal >> 1] >= 0:
        return length if f.value[literal >> 1] == (literal & 1) else -length - 1
    f.value[literal >> 1] = literal & 1
    f.trail[length] = literal
    length += 1
    sound = True
    while head < length:
        lit = f.trail[head]
        head += 1
        for i in range(f.of_ptr[lit], f.of_ptr[lit + 1]):
            f.true[f.of[i]] += 1
        for i in range(f.of_ptr[lit ^ 1], f.of_ptr[(lit ^ 1) + 1]):
            c = f.of[i]
            f.false[c] += 1
            left = f.clause_ptr[c + 1] - f.clause_ptr[c] - f.false[c]
            if f.true[c] > 0 or left > 1 or not sound:
                continue
            unit = -1
            for j in range(f.clause_ptr[c], f.clause_ptr[c + 1]):
                other = f.clause[j]
                if f.value[other >> 1] < 0:
                    unit = other
                elif f.value[other >> 1] == (other & 1):
                    unit = -2  # assigned true, on the trail but not counted yet
                    break
            if unit == -1:
                sound = False
            elif unit >= 0:
                f.value[unit >> 1] = unit & 1
                f.trail[length] = unit
                length += 1
    return length if sound else -length - 1


@njit(cache=True, nogil=True)
def undo(f, length, back_to):
    """Takes back all assignments of the trail beyond `back_to`."""
    for t in range(length - 1, back_to - 1, -1):
        lit = f.trail[t]
        f.value[lit >> 1] = -1
        for i in range(f.of_ptr[lit], f.of_ptr[lit + 1]):
            f.true[f.of[i]] -= 1
        for i in range(f.of_ptr[lit ^ 1], f.of_ptr[(lit ^ 1) + 1]):
            f.false[f.of[i]] -= 1


@njit(cache=True, nogil=True)
def parts(f, variables, seen_var, seen_clause, stamp, out, ends):
    """Splits the unassigned of `variables` into components, each written to `out` as variables, then active clauses.

    `ends[2k], ends[2k + 1]` are where the variables and the clauses of component k end; both ascend. Variables in no
    active clause come first, ending at the returned second number. Returns (components, end of the free variables).
    """
    place = 0
    for v in variables:
        if f.value[v] < 0:
            lonely = True
            for lit in (2 * v, 2 * v + 1):
                for i in range(f.of_ptr[lit], f.of_ptr[lit + 1]):
                    if f.true[f.of[i]] == 0:
                        lonely = False
                        break
                if not lonely:
                    break
            if lonely:
                seen_var[v] = stamp
                out[place] = v
                place += 1
    free, count = place, 0
    for root in variables:
        if f.value[root] >= 0 or seen_var[root] == stamp:
            continue
        start = place
        out[place] = root
        seen_var[root] = stamp
        place += 1
        head, clauses = start, 0
        while head < place:
            v = out[head]
            head += 1
            for i in range(f.of_ptr[2 * v], f.of_ptr[2 * v + 2]):
                c = f.of[i]
                if f.true[c] > 0 or seen_clause[c] == stamp:
                    continue
                seen_clause[c] = stamp
                clauses += 1
                for j in range(f.clause_ptr[c], f.clause_ptr[c + 1]):
                    u = f.clause[j] >> 1
                    if f.value[u] < 0 and seen_var[u] != stamp:
                        seen_var[u] = stamp
                        out[place] = u
                        place += 1
        ends[2 * count] = place
        out[start:place].sort()
        first = place
        for t in range(start, first):
            v = out[t]
            for i in range(f.of_ptr[2 * v], f.of_ptr[2 * v + 2]):
                c = f.of[i]
                if seen_clause[c] == stamp:
                    seen_clause[c] = -stamp
                    out[place] = c
                    place += 1
        out[first:place].sort()
        ends[2 * count + 1] = place
        count += 1
    return count, free


@njit(cache=True, nogil=True)
def choose(f, variables, score):
    """The variable in the most active clauses, short ones counting more; `score` holds what conflicts have added."""
    best, at = -1.0, -1
    for v in variables:
        weight = score[v]
        for i in range(f.of_ptr[2 * v], f.of_ptr[2 * v + 2]):
            c = f.of[i]
            if f.true[c] == 0:
                left = f.clause_ptr[c + 1] - f.clause_ptr[c] - f.false[c]
                weight += 4.0 if left == 2 else 1.0
        if weight > best:
            best, at = weight, v
    return at
