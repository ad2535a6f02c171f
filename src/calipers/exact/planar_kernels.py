"""Kernels of the Pfaffian: skew-symmetric elimination along a tree of regions, and the inverse on the same fronts.

The front of a region holds the terminals that its two parts leave over. The pairs that the two parts share are
eliminated, two rows at a time, and the Schur complement goes to the parent:

    F_ij ← F_ij − (u_i v_j − v_i u_j) / α,   α = F_pq,  u = F_p·,  v = F_q·;    log |Pf A| = Σ log |α|

A pivot must be at least `THRESHOLD` of the largest entry of its row (Bunch 1982); terminals without one are delayed:
they stay in the front of the parent. Backwards, the inverse G of A comes down the tree: with G known on the rest,

    G_p· = v G / α,  G_q· = −u G / α,  G_pq = −1/α + (u G v)/α².

Cost: f² a pivot, f the size of the front; about three times that backwards. The sum that `backward` returns is
Σ |G_ij| × (all that was added into F_ij, in magnitude): times the unit roundoff, it is the first-order rounding error.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

THRESHOLD = 0.3


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
def _room(pool, used, more):
    """The pool, or a copy twice as large when `more` would not fit behind `used`."""
    if used + more <= len(pool):
        return pool
    grown = np.empty(2 * (used + more), pool.dtype)
    grown[:used] = pool[:used]
    return grown


@njit(cache=True, nogil=True)
def _swap(F, a, b, f):
    """Exchanges places a < b of a skew matrix of which the upper triangle is kept."""
    for j in range(a):
        F[j, a], F[j, b] = F[j, b], F[j, a]
    for j in range(a + 1, b):
        F[a, j], F[j, b] = -F[j, b], -F[a, j]
    F[a, b] = -F[a, b]
    for j in range(b + 1, f):
        F[a, j], F[b, j] = F[b, j], F[a, j]


@njit(cache=True, nogil=True)
def _find_pair(F, k, ne, f):
    """The first row p whose largest entry inside the block is large enough, and its place q; (−1, −1) if none is."""
    for p in range(k, ne):
        inside, outside, q = 0.0, 0.0, -1
        for j in range(k, p):
            if abs(F[j, p]) > inside:
                inside, q = abs(F[j, p]), j
        for j in range(p + 1, ne):
            if abs(F[p, j]) > inside:
                inside, q = abs(F[p, j]), j
        for j in range(ne, f):
            outside = max(outside, abs(F[p, j]))
        if q >= 0 and inside >= THRESHOLD * outside:
            return min(p, q), max(p, q)
    return -1, -1


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "arcp"})
def _update(F, k, f):
    inverse = 1.0 / F[k, k + 1]
    for i in range(k + 2, f):
        a, b = F[k, i] * inverse, F[k + 1, i] * inverse
        for j in range(i + 1, f):
            F[i, j] -= a * F[k + 1, j] - b * F[k, j]


@njit(cache=True, nogil=True)
def _take(F, stack, top, first, m, up):
    """Adds a part's Schur complement, m × m on top of the stack, into the front."""
    for i in range(m):
        a = up[i]
        for j in range(i + 1, m):
            b, x = up[j], stack[top + i * m + j]
            if a < b:
                F[a, b] = x
            else:
                F[b, a] = -x


@njit(cache=True, nogil=True)
def _places(fronts, t, own, late, offset, rest, up):
    """Where the terminals that region t left over stand in its parent's front: `rest` delayed ones, the boundary."""
    for i in range(rest):
        up[i] = own + offset + i
    for i in range(fronts.start[t] + fronts.pairs[t], fronts.start[t + 1]):
        a = fronts.up[i]
        up[rest + i - fronts.start[t] - fronts.pairs[t]] = a if a < own else a + late
    return rest + fronts.start[t + 1] - fronts.start[t] - fronts.pairs[t]


@njit(cache=True, nogil=True)
def _fill_city(F, f, terminals, city, short):
    for i in range(f):
        h = terminals[i]
        for j in range(i + 1, f):
            g = terminals[j]
            F[i, j] = short[h] * short[g] * (1.0 if city[h] < city[g] else -1.0)


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
    """log |Pf A|, the sign of Pf A, and the factor.

    **Arguments:** `city` (d,), each terminal's place in its city; `short` (d,), weights of terminals; `long` (e,),
    signed weights of edges from terminal 2e to 2e + 1.
    """
    count, terminals = len(fronts.left), len(city)
    front, stack, top = np.empty(1024), np.empty(1024), 0
    ids, id_top = np.empty(1024, np.int64), 0  # terminals that were delayed
    rows, places = np.empty(1024), np.empty(terminals + 64, np.int64)
    at, place = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    done, late = np.zeros(count, np.int64), np.zeros(count, np.int64)
    sequence, length = np.empty(terminals, np.int64), 0
    value, lost, sign = 0.0, 0.0, 1.0  # `lost`: what the sum of logs lost to rounding (Kahan)
    up = np.empty(64, np.int64)
    for t in range(count):
        own, boundary = fronts.pairs[t], fronts.start[t + 1] - fronts.start[t] - fronts.pairs[t]
        left, right, mine = fronts.left[t], fronts.right[t], fronts.terminals[fronts.start[t] : fronts.start[t + 1]]
        if left >= 0:
            rests = (own_rest(fronts, late, done, left), own_rest(fronts, late, done, right))
            late[t] = rests[0] + rests[1]
        ne = own + late[t]
        f = ne + boundary
        front = _room(front, 0, f * f)
        F = front[: f * f].reshape(f, f)
        F[:] = 0.0
        name = np.empty(ne, np.int64)
        name[:own] = mine[:own]
        if left < 0:
            _fill_city(F, f, mine, city, short)
        else:
            id_top -= late[t]
            name[own:] = ids[id_top : id_top + late[t]]
            up = _room(up, 0, f)
            m = _places(fronts, right, own, late[t], rests[0], rests[1], up)
            top -= m * m
            _take(F, stack, top, t, m, up)
            m = _places(fronts, left, own, late[t], 0, rests[0], up)
            top -= m * m
            _take(F, stack, top, t, m, up)
        for i in range(0, own, 2):
            F[i, i + 1] += long[mine[i] >> 1] if mine[i] & 1 == 0 else -long[mine[i] >> 1]
        order, k = np.arange(ne), 0
        while k + 1 < ne:
            p, q = _find_pair(F, k, ne, f)
            if p < 0:
                break
            for a, b in ((k, p), (k + 1, q if q != k else p)):
                if a != b:
                    _swap(F, a, b, f)
                    order[a], order[b] = order[b], order[a]
                    name[a], name[b] = name[b], name[a]
            pivot = F[k, k + 1]
            term = np.log(abs(pivot)) - lost
            lost = ((value + term) - value) - term
            value += term
            sign = sign if pivot > 0 else -sign
            _update(F, k, f)
            sequence[length], sequence[length + 1] = name[k], name[k + 1]
            length += 2
            k += 2
        done[t] = k
        rows = _room(rows, at[t], k * f)
        for i in range(k):
            for j in range(f):
                rows[at[t] + i * f + j] = F[i, j] if j > i else 0.0
        at[t + 1] = at[t] + k * f
        places = _room(places, place[t], ne)
        places[place[t] : place[t] + ne] = order
        place[t + 1] = place[t] + ne
        ids = _room(ids, id_top, ne - k)
        ids[id_top : id_top + ne - k] = name[k:]
        id_top += ne - k
        m = f - k
        stack = _room(stack, top, m * m)
        for i in range(m):
            for j in range(i + 1, m):
                stack[top + i * m + j] = F[k + i, k + j]
        top += m * m
    factor = Factor(rows, at, places, place, done, late)
    if length < terminals or not np.isfinite(value):
        return -np.inf, 0.0, factor
    return value, sign * _parity(sequence), factor


@njit(cache=True, nogil=True)
def own_rest(fronts, late, done, t):
    """How many terminals region t could have eliminated, but delayed."""
    return fronts.pairs[t] + late[t] - done[t]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "arcp"})
def _multiply(G, u, v, x, y, k, f):
    """x = v G, y = u G on the rest of the front, and Σ |u_i| |G_ij| |v_j|."""
    for j in range(k + 2, f):
        x[j] = 0.0
        y[j] = 0.0
    size = 0.0
    for i in range(k + 2, f):
        a, b, row = v[i], u[i], 0.0
        for j in range(k + 2, f):
            g = G[i, j]
            x[j] += a * g
            y[j] += b * g
            row += abs(g) * abs(v[j])
        size += row * abs(b)
    return size


@njit(cache=True, nogil=True)
def _join(G, u, v, x, y, k, f):
    """Enters rows k and k + 1 of the inverse, from u, v, x = v G, y = u G; Σ |G| × |the two rows of the factor|."""
    alpha, middle, near = u[k + 1], 0.0, 0.0
    for j in range(k + 2, f):
        middle += y[j] * v[j]
        G[k, j], G[k + 1, j] = x[j] / alpha, -y[j] / alpha
        G[j, k], G[j, k + 1] = -G[k, j], -G[k + 1, j]
        near += abs(G[k, j] * u[j]) + abs(G[k + 1, j] * v[j])
    G[k, k] = G[k + 1, k + 1] = 0.0
    G[k, k + 1] = -1.0 / alpha + middle / (alpha * alpha)
    G[k + 1, k] = -G[k, k + 1]
    return near + abs(alpha * G[k, k + 1])


@njit(cache=True, nogil=True)
def backward(fronts, factor, long):
    """The probability (long_e G_{2e+1, 2e}) that each long edge is used, (e,), and the sum of all that was rounded."""
    occupied = np.zeros(len(long))
    front, stack, top, total = np.empty(1024), np.empty(1024), 0, 0.0
    x, y, up = np.empty(64), np.empty(64), np.empty(64, np.int64)
    for t in range(len(fronts.left) - 1, -1, -1):
        own, k = fronts.pairs[t], factor.done[t]
        ne = own + factor.late[t]
        f = ne + fronts.start[t + 1] - fronts.start[t] - own
        front, x, y, up = _room(front, 0, f * f), _room(x, 0, f), _room(y, 0, f), _room(up, 0, f)
        G = front[: f * f].reshape(f, f)
        m = f - k
        top -= m * m
        G[k:, k:] = stack[top : top + m * m].reshape(m, m)
        R = factor.rows[factor.at[t] : factor.at[t + 1]].reshape(k, f)
        for i in range(k - 2, -1, -2):
            total += _multiply(G, R[i], R[i + 1], x, y, i, f) / abs(R[i, i + 1])
            total += _join(G, R[i], R[i + 1], x, y, i, f)
        back = np.arange(f)
        for i in range(ne):
            back[factor.places[factor.place[t] + i]] = i
        for i in range(0, own, 2):
            h = fronts.terminals[fronts.start[t] + i]
            occupied[h >> 1] = G[back[i + 1], back[i]] * (long[h >> 1] if h & 1 == 0 else -long[h >> 1])
        offset = 0
        for side in range(2 if fronts.left[t] >= 0 else 0):
            child = fronts.left[t] if side == 0 else fronts.right[t]
            rest = own_rest(fronts, factor.late, factor.done, child)
            m = _places(fronts, child, own, factor.late[t], offset, rest, up)
            offset += rest
            stack = _room(stack, top, m * m)
            for i in range(m):
                for j in range(m):
                    stack[top + i * m + j] = G[back[up[i]], back[up[j]]]
            top += m * m
    return occupied, total
