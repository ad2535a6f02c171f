"""Kernels of the Pfaffian on one front: skew-symmetric elimination with pivoting, and the inverse from its rows.

    F_ij ← F_ij − (u_i v_j − v_i u_j) / α,   α = F_pq,  u = F_p·,  v = F_q·;    |Pf A| = Π |α|

A pivot is the largest entry of both of its rows inside the block (rook pivoting, after Bunch 1982), and at least
`THRESHOLD` of what they have outside. The inverse G of the whole matrix, once
it is known on the rest of the front, follows for the two eliminated places:

    G_p· = v G / α,  G_q· = −u G / α,  G_pq = −1/α + (u G v)/α²

Cost: f² a pivot, f the size of the front; about three times that for the inverse.
"""

import numpy as np
from numba import njit

THRESHOLD = 0.02


@njit(cache=True, nogil=True)
def room(pool, used, more):
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
def _largest(F, k, ne, f, p):
    """The largest entry of row p inside the block, its place (−1 if all vanish), and the largest outside."""
    inside, outside, q = 0.0, 0.0, -1
    for j in range(k, p):
        if abs(F[j, p]) > inside:
            inside, q = abs(F[j, p]), j
    for j in range(p + 1, ne):
        if abs(F[p, j]) > inside:
            inside, q = abs(F[p, j]), j
    for j in range(ne, f):
        outside = max(outside, abs(F[p, j]))
    return inside, outside, q


@njit(cache=True, nogil=True)
def _find_pair(F, k, ne, f):
    """From row k on to a pair whose entry is the largest of both rows in the block; (−1, −1) if it is too small."""
    p = k
    inside, outside, q = _largest(F, k, ne, f, p)
    while q >= 0:
        mutual, beyond, back = _largest(F, k, ne, f, q)
        if mutual <= inside:
            return (min(p, q), max(p, q)) if inside >= THRESHOLD * max(outside, beyond) else (-1, -1)
        p, inside, outside, q = q, mutual, beyond, back
    return -1, -1


@njit(cache=True, nogil=True)
def _move(F, f, a, b, order, names):
    """Exchanges places a < b of the front, and what is known of them."""
    if a != b:
        _swap(F, a, b, f)
        order[a], order[b] = order[b], order[a]
        names[a], names[b] = names[b], names[a]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "arcp"})
def _update(F, k, f):
    inverse = 1.0 / F[k, k + 1]
    for i in range(k + 2, f):
        a, b = F[k, i] * inverse, F[k + 1, i] * inverse
        for j in range(i + 1, f):
            F[i, j] -= a * F[k + 1, j] - b * F[k, j]


@njit(cache=True, nogil=True)
def eliminate(F, ne, f, order, names, total):
    """Eliminates what it can of the first `ne` places; returns how many, and the sign of the product of the pivots.

    **Arguments:** `F` (f, f), of which the upper triangle is read and overwritten; `order`, `names` (ne,), permuted as
    the places are; `total` (2,), Kahan's sum of log |α| and what it lost.
    """
    sign, k, untried, moved = 1.0, 0, ne, False
    while k + 1 < ne:
        if untried <= k:  # rows without a pivot wait at the end of the block, and are tried again after the others
            if not moved:
                break
            untried, moved = ne, False
        p, q = _find_pair(F, k, ne, f)
        if p < 0:
            untried -= 1
            _move(F, f, k, untried, order, names)
            continue
        moved = True
        _move(F, f, k, p, order, names)
        _move(F, f, k + 1, q, order, names)
        pivot = F[k, k + 1]
        sign = sign if pivot > 0 else -sign
        term = np.log(abs(pivot)) - total[1]
        grown = total[0] + term
        total[1] = (grown - total[0]) - term
        total[0] = grown
        _update(F, k, f)
        k += 2
    return k, sign


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
def expand(G, rows, k, f, x, y):
    """Extends the inverse from places k… to the whole front, by the rows (k, f) of its pivots.

    **Returns:** Σ |G_ij| × (all that was added into F_ij, in magnitude): times the unit roundoff, the first-order error
    of this front's part of log |Pf A|.
    """
    total = 0.0
    for i in range(k - 2, -1, -2):
        total += _multiply(G, rows[i], rows[i + 1], x, y, i, f) / abs(rows[i, i + 1])
        total += _join(G, rows[i], rows[i + 1], x, y, i, f)
    return total
