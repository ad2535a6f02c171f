"""Elimination along a tree of regions, from its leaves to its root, and the inverse from the root to the leaves.

The front of a region holds the terminals that its two parts leave over. The pairs that the two parts share are
eliminated, and the Schur complement goes to the parent; terminals without a good pivot are *delayed*: they stay in the
front of the parent. Schur complements and inverses wait on stacks, so that memory is that of the factor.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.exact.planar_kernels import eliminate, expand, room


class Fronts(NamedTuple):
    """The tree of regions in postorder (children before parents), t regions, and the fronts of all of them in a row.

    `left`, `right` (t,), −1 at a single city; `start` (t+1,), where fronts begin in `terminals` and `up`; `pairs` (t,),
    how many terminals are to be eliminated here: both ends of an edge, side by side, first; `up`, the place in the
    parent's front, for the others.
    """

    left: np.ndarray
    right: np.ndarray
    start: np.ndarray
    pairs: np.ndarray
    terminals: np.ndarray
    up: np.ndarray


class Factor(NamedTuple):
    """What elimination leaves: rows of pivots, and where in its front each place was."""

    rows: np.ndarray  # the rows u, v of each region's pivots, one region after another
    at: np.ndarray  # (t+1,) where each region's rows begin
    places: np.ndarray  # original places of the terminals that could be eliminated, in the order after pivoting
    place: np.ndarray  # (t+1,) where each region's places begin
    done: np.ndarray  # (t,) how many were eliminated
    late: np.ndarray  # (t,) how many came in delayed from the parts


@njit(cache=True, nogil=True)
def _delayed(fronts, late, done, t):
    """How many terminals region t could have eliminated, but delayed."""
    return fronts.pairs[t] + late[t] - done[t] if t >= 0 else 0


@njit(cache=True, nogil=True)
def _places(fronts, late, done, parent, t):
    """Where the terminals that region t left over stand in its parent's front: delayed ones, then the boundary."""
    own, rest = fronts.pairs[parent], _delayed(fronts, late, done, t)
    before = _delayed(fronts, late, done, fronts.left[parent]) if t == fronts.right[parent] else 0
    first, last = fronts.start[t] + fronts.pairs[t], fronts.start[t + 1]
    up = np.empty(rest + last - first, np.int64)
    for i in range(rest):
        up[i] = own + before + i
    for i in range(first, last):
        a = fronts.up[i]
        up[rest + i - first] = a if a < own else a + late[parent]
    return up


@njit(cache=True, nogil=True)
def _fill_city(F, f, terminals, city, short):
    for i in range(f):
        h = terminals[i]
        for j in range(i + 1, f):
            g = terminals[j]
            F[i, j] = short[h] * short[g] * (1.0 if city[h] < city[g] else -1.0)


@njit(cache=True, nogil=True)
def _fill_part(F, stack, top, up):
    """Enters a part's Schur complement, which lies on the stack from `top`."""
    m = len(up)
    for i in range(m):
        a = up[i]
        for j in range(i + 1, m):
            b, x = up[j], stack[top + i * m + j]
            if a < b:
                F[a, b] = x
            else:
                F[b, a] = -x


@njit(cache=True, nogil=True)
def _assemble(F, f, fronts, late, done, t, city, short, long, stack, top):
    """The front of region t before elimination; returns the new top of the stack."""
    F[:] = 0.0
    mine = fronts.terminals[fronts.start[t] : fronts.start[t + 1]]
    if fronts.left[t] < 0:
        _fill_city(F, f, mine, city, short)
    else:
        for child in (fronts.right[t], fronts.left[t]):
            up = _places(fronts, late, done, t, child)
            top -= len(up) * len(up)
            _fill_part(F, stack, top, up)
    for i in range(0, fronts.pairs[t], 2):
        F[i, i + 1] += oriented(long, mine[i])
    return top


@njit(cache=True, nogil=True, inline="always")
def oriented(long, h):
    """The entry from terminal h to the other end of its edge."""
    return long[h >> 1] if h & 1 == 0 else -long[h >> 1]


@njit(cache=True, nogil=True)
def _parity(sequence):
    """The sign of a permutation."""
    seen, sign = np.zeros(len(sequence), np.bool_), 1.0
    for first in range(len(sequence)):
        i = first
        while not seen[i]:
            seen[i] = True
            i = sequence[i]
            sign = -sign if i != first else sign
    return sign


@njit(cache=True, nogil=True)
def forward(fronts, city, short, long):
    """log |Pf A|, the sign of Pf A (0 when a pivot is missing), and the factor.

    **Arguments:** `city` (d,), each terminal's place in its city; `short` (d,), weights of terminals; `long` (e,),
    signed weights of edges from terminal 2e to 2e + 1.
    """
    count, terminals = len(fronts.left), len(city)
    front, stack, top = np.empty(1024), np.empty(1024), 0
    waiting, depth = np.empty(1024, np.int64), 0  # names of delayed terminals
    rows, places = np.empty(1024), np.empty(terminals + 64, np.int64)
    at, place = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    done, late = np.zeros(count, np.int64), np.zeros(count, np.int64)
    sequence, length, sign, total = np.empty(terminals, np.int64), 0, 1.0, np.zeros(2)
    for t in range(count):
        own = fronts.pairs[t]
        late[t] = _delayed(fronts, late, done, fronts.left[t]) + _delayed(fronts, late, done, fronts.right[t])
        ne = own + late[t]
        f = ne + fronts.start[t + 1] - fronts.start[t] - own
        front = room(front, np.int64(0), f * f)
        F = front[: f * f].reshape(f, f)
        top = _assemble(F, f, fronts, late, done, t, city, short, long, stack, top)
        depth -= late[t]
        first = fronts.start[t]
        names = np.concatenate((fronts.terminals[first : first + own], waiting[depth : depth + late[t]]))
        order = np.arange(ne)
        k, turned = eliminate(F, ne, f, order, names, total)
        done[t], sign = k, sign * turned
        sequence[length : length + k] = names[:k]
        length += k
        places = room(places, place[t], ne)
        place[t + 1] = place[t] + ne
        places[place[t] : place[t + 1]] = order
        waiting = room(waiting, depth, ne - k)
        waiting[depth : depth + ne - k] = names[k:]
        depth += ne - k
        rows = room(rows, at[t], k * f)
        at[t + 1] = at[t] + k * f
        rows[at[t] : at[t + 1]] = F[:k].ravel()
        stack = room(stack, top, (f - k) * (f - k))
        stack[top : top + (f - k) * (f - k)] = F[k:, k:].copy().ravel()
        top += (f - k) * (f - k)
    if length < terminals or not np.isfinite(total[0]):
        sign = 0.0
    else:
        sign *= _parity(sequence)
    return total[0], sign, Factor(rows, at, places, place, done, late)


@njit(cache=True, nogil=True)
def inverse_front(fronts, factor, t, front, stack, top, x, y):
    """The inverse on the front of region t, from that on what it left over, which lies on the stack below `top`.

    **Returns:** the front's places in the order after pivoting, where each original place went, and the rounding.
    """
    k, ne = factor.done[t], fronts.pairs[t] + factor.late[t]
    f = ne + fronts.start[t + 1] - fronts.start[t] - fronts.pairs[t]
    m = f - k
    G = front[: f * f].reshape(f, f)
    G[k:, k:] = stack[top - m * m : top].reshape(m, m)
    rounded = expand(G, factor.rows[factor.at[t] : factor.at[t + 1]].reshape(k, f), k, f, x, y)
    back = np.arange(f)
    for i in range(ne):
        back[factor.places[factor.place[t] + i]] = i
    return G, back, rounded


@njit(cache=True, nogil=True)
def hand_down(fronts, factor, t, G, back, stack, top):
    """Puts the inverse on what each part of region t left over on the stack, the left part below the right."""
    if fronts.left[t] < 0:
        return stack, top
    for child in (fronts.left[t], fronts.right[t]):
        up = back[_places(fronts, factor.late, factor.done, t, child)]
        m = len(up)
        stack = room(stack, top, m * m)
        for i in range(m):
            for j in range(m):
                stack[top + i * m + j] = G[up[i], up[j]]
        top += m * m
    return stack, top


@njit(cache=True, nogil=True)
def largest_front(fronts, factor):
    """The size of the largest front, delayed terminals included."""
    most = 1
    for t in range(len(fronts.left)):
        most = max(most, fronts.start[t + 1] - fronts.start[t] + factor.late[t])
    return most


@njit(cache=True, nogil=True)
def backward(fronts, factor, long):
    """The probability (long_e G_{2e+1, 2e}) that each long edge is used, (e,), and the sum of all that was rounded."""
    most = largest_front(fronts, factor)
    front, x, y = np.empty(most * most), np.empty(most), np.empty(most)
    used, stack, top, total = np.zeros(len(long)), np.empty(1024), np.int64(0), 0.0
    for t in range(len(fronts.left) - 1, -1, -1):
        G, back, rounded = inverse_front(fronts, factor, t, front, stack, top, x, y)
        m = len(back) - factor.done[t]
        top -= m * m
        total += rounded
        for i in range(0, fronts.pairs[t], 2):
            h = fronts.terminals[fronts.start[t] + i]
            used[h >> 1] = G[back[i + 1], back[i]] * oriented(long, h)
        stack, top = hand_down(fronts, factor, t, G, back, stack, top)
    return used, total
