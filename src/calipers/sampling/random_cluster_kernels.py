"""Numba kernels of the random-cluster model of a magnet (q = 2): single bonds by heat bath, two states at once.

A bond is open with probability p if its ends are joined without it, else p/(2 − p); between the two thresholds alone
the ends must be looked for. The searches go out from both ends in turn and stop with the smaller cluster. Site n is
the ghost: it is reached, never searched. Bonds of `bottom` are open in `top` too, at all times.
"""

import numpy as np
from numba import njit

from calipers.sampling.streams import uniform


@njit(cache=True, nogil=True)
def _joined(bonds, is_open, i, j, mark, queue, stamp):
    """Whether i and j (or the ghost, j = n) are joined by open bonds. Marks are stamp and stamp + 1."""
    n = len(bonds.tie)
    ghost0, ghost1 = False, j == n
    done0, size0, done1, size1 = 0, 1, 0, 0
    mark[i], queue[0, 0] = stamp, i
    if not ghost1:
        mark[j], queue[1, 0], size1 = stamp + 1, j, 1
    while True:
        if (done0 == size0 and not ghost0) or (done1 == size1 and not ghost1) or (done0 == size0 and done1 == size1):
            return ghost0 and ghost1
        if done0 < size0:
            v = queue[0, done0]
            done0 += 1
            if bonds.tie[v] >= 0 and is_open[bonds.tie[v]]:
                ghost0 = True
            for k in range(bonds.ptr[v], bonds.ptr[v + 1]):
                if is_open[bonds.bond[k]]:
                    w = bonds.nbr[k]
                    if mark[w] == stamp + 1:
                        return True
                    if mark[w] != stamp:
                        mark[w], queue[0, size0], size0 = stamp, w, size0 + 1
        if done1 < size1:
            v = queue[1, done1]
            done1 += 1
            if bonds.tie[v] >= 0 and is_open[bonds.tie[v]]:
                ghost1 = True
            for k in range(bonds.ptr[v], bonds.ptr[v + 1]):
                if is_open[bonds.bond[k]]:
                    w = bonds.nbr[k]
                    if mark[w] == stamp:
                        return True
                    if mark[w] != stamp + 1:
                        mark[w], queue[1, size1], size1 = stamp + 1, w, size1 + 1
        if ghost0 and ghost1:
            return True


@njit(cache=True, nogil=True)
def bond_sweeps(bonds, cost, top, bottom, stream, sweeps, mark, queue, at):
    """Sweeps of both states by the same random numbers, in place; `at` holds [differing bonds, stamp].

    `cost` is that of each level, nats.

    **Returns** the sweep after which no bond differed, `sweeps` + 1 if some still do.
    """
    joined = -np.expm1(-cost)
    apart = joined / (2.0 - joined)
    differ, stamp, met = at[0], at[1], sweeps + 1
    for sweep in range(sweeps):
        if differ == 0 and met > sweeps:
            met = sweep
        for e in range(len(bonds.head)):
            u, c = uniform(stream), bonds.level[e]
            if u < apart[c]:
                new_top, new_bottom = True, True
            elif u >= joined[c]:
                new_top, new_bottom = False, False
            else:
                i, j = bonds.head[e], bonds.tail[e]
                was_top, was_bottom = top[e], bottom[e]
                top[e], bottom[e] = False, False
                stamp += 2
                new_top = _joined(bonds, top, i, j, mark, queue, stamp)
                new_bottom = new_top
                if new_top and differ > 0:
                    stamp += 2
                    new_bottom = _joined(bonds, bottom, i, j, mark, queue, stamp)
                top[e], bottom[e] = was_top, was_bottom
            differ += np.int64(new_top != new_bottom) - np.int64(top[e] != bottom[e])
            top[e], bottom[e] = new_top, new_bottom
    if differ == 0 and met > sweeps:
        met = sweeps
    at[0], at[1] = differ, stamp
    return met


@njit(cache=True, nogil=True)
def colour(bonds, is_open, stream, spins):
    """Spins of the gauge, given open bonds: the ghost's cluster is +1, every other one ±1 by a coin."""
    n = len(spins)
    spins[:] = 0
    queue = np.empty(n, np.int64)
    for start in range(2 * n):  # first what is tied to the ghost, then the rest
        s = start % n
        tied = bonds.tie[s] >= 0 and is_open[bonds.tie[s]]
        if spins[s] != 0 or (start < n and not tied):
            continue
        spin = np.int8(1) if start < n or uniform(stream) < 0.5 else np.int8(-1)
        spins[s], queue[0], size = spin, s, 1
        while size:
            size -= 1
            v = queue[size]
            for k in range(bonds.ptr[v], bonds.ptr[v + 1]):
                w = bonds.nbr[k]
                if is_open[bonds.bond[k]] and spins[w] == 0:
                    spins[w], queue[size], size = spin, w, size + 1


@njit(cache=True, nogil=True)
def spin_sweeps(bonds, cost, top, bottom, stream, sweeps, at):
    """Heat-bath sweeps of two states of spins, bottom ≤ top, by the same random numbers; returns as `bond_sweeps`."""
    differ, met = at[0], sweeps + 1
    for sweep in range(sweeps):
        if differ == 0 and met > sweeps:
            met = sweep
        for i in range(len(top)):
            pull = 0.0
            if bonds.tie[i] >= 0:
                pull = cost[bonds.level[bonds.tie[i]]] * bonds.want[i]
            high = low = pull
            for k in range(bonds.ptr[i], bonds.ptr[i + 1]):
                j, half = bonds.nbr[k], cost[bonds.level[bonds.bond[k]]]
                high += half * top[j]
                low += half * bottom[j]
            u = uniform(stream)
            new_top = np.int8(1) if u * (1.0 + np.exp(-high)) < 1.0 else np.int8(-1)
            new_bottom = new_top
            if differ > 0:
                new_bottom = np.int8(1) if u * (1.0 + np.exp(-low)) < 1.0 else np.int8(-1)
            differ += np.int64(new_top != new_bottom) - np.int64(top[i] != bottom[i])
            top[i], bottom[i] = new_top, new_bottom
    if differ == 0 and met > sweeps:
        met = sweeps
    at[0] = differ
    return met


@njit(cache=True, nogil=True)
def excess(bonds, spins):
    """H(x) of one configuration in the gauge, nats at λ = 1: the cost of what is scaled and not satisfied."""
    total, n = 0.0, len(spins)
    for e in range(len(bonds.head)):
        i, j = bonds.head[e], bonds.tail[e]
        if spins[i] != (spins[j] if j < n else bonds.want[i]):
            total += bonds.costs[bonds.level[e]]
    return total
