"""Numba kernels of cluster updates: union and find for Swendsen–Wang, a stack for Wolff, balance of a signed graph."""

import numpy as np
from numba import njit

from calipers.sampling.streams import uniform


@njit(cache=True, nogil=True)
def root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]  # halve the path
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def join(parent, i, j):
    i, j = root(parent, i), root(parent, j)
    if i < j:
        parent[j] = i
    else:
        parent[i] = j


@njit(cache=True, nogil=True)
def _bind(wiring, bond, tie, x, stream, parent):
    """Makes the bonds; site n is the ghost."""
    n = len(x)
    for i in range(n + 1):
        parent[i] = i
    for i in range(n):
        for e in range(wiring.ptr[i], wiring.ptr[i + 1]):
            j = wiring.nbr[e]
            if j > i and wiring.coupling[e] * x[i] * x[j] > 0.0 and uniform(stream) < bond[e]:
                join(parent, i, j)
        if wiring.field[i] * x[i] > 0.0 and uniform(stream) < tie[i]:
            join(parent, i, n)


@njit(cache=True, nogil=True)
def swendsen_wang(wiring, bond, tie, spins, streams, sweeps, moved):
    """Swendsen–Wang sweeps of spins (chains, n), in place."""
    n = spins.shape[1]
    parent, turn = np.empty(n + 1, np.int64), np.empty(n + 1, np.int8)
    for c in range(len(spins)):
        x, stream = spins[c], streams[c]
        for _ in range(sweeps):
            _bind(wiring, bond, tie, x, stream, parent)
            moved[c] += turn_clusters(parent, turn, x, stream)


@njit(cache=True, nogil=True)
def turn_clusters(parent, turn, x, stream):
    """Flips each cluster with probability ½, the ghost's (that of site n) never. **Returns** the spins flipped."""
    n, moved = len(x), 0
    turn[:] = -1
    turn[root(parent, n)] = 0
    for i in range(n):
        r = root(parent, i)
        if turn[r] < 0:
            turn[r] = uniform(stream) < 0.5
        if turn[r]:
            x[i] = -x[i]
            moved += 1
    return moved


@njit(cache=True, nogil=True)
def _grow(wiring, bond, tie, x, stream, stack, mark, stamp):
    """One cluster: its sites fill the stack; whether none of them is tied to the ghost."""
    n = len(x)
    first = min(int(uniform(stream) * n), n - 1)
    stack[0], size, done, free = first, 1, 0, True
    mark[first] = stamp
    while done < size:
        i = stack[done]
        done += 1
        if wiring.field[i] * x[i] > 0.0 and uniform(stream) < tie[i]:
            free = False
        for e in range(wiring.ptr[i], wiring.ptr[i + 1]):
            j = wiring.nbr[e]
            if mark[j] != stamp and wiring.coupling[e] * x[i] * x[j] > 0.0 and uniform(stream) < bond[e]:
                mark[j] = stamp
                stack[size] = j
                size += 1
    return size, free


@njit(cache=True, nogil=True)
def wolff(wiring, bond, tie, spins, streams, sweeps, moved):
    """Single clusters, `sweeps` of them in every chain, in place."""
    n = spins.shape[1]
    stack, mark = np.empty(n, np.int64), np.zeros(n, np.int64)
    stamp = 0
    for c in range(len(spins)):
        x, stream = spins[c], streams[c]
        for _ in range(sweeps):
            stamp += 1
            size, free = _grow(wiring, bond, tie, x, stream, stack, mark, stamp)
            if free:
                for k in range(size):
                    x[stack[k]] = -x[stack[k]]
                moved[c] += size


@njit(cache=True, nogil=True)
def frustrated(ptr, nbr, coupling, field):
    """Whether no configuration satisfies every bond and field: a walk that sets spins one from another meets itself."""
    n = len(field)
    x, stack = np.zeros(n, np.int8), np.empty(n, np.int64)
    for start in range(2 * n):  # first from sites with a field, then from the others
        s = start % n
        if x[s] != 0 or (start < n and field[s] == 0.0):
            continue
        x[s], stack[0], size = -1 if field[s] < 0.0 else 1, s, 1
        while size:
            size -= 1
            i = stack[size]
            if field[i] * x[i] < 0.0:
                return True
            for e in range(ptr[i], ptr[i + 1]):
                j, sign = nbr[e], np.int8(np.sign(coupling[e])) * x[i]
                if sign == 0:
                    continue
                if x[j] == 0:
                    x[j], stack[size], size = sign, j, size + 1
                elif x[j] != sign:
                    return True
    return False
