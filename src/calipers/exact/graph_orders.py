"""Kernels that play the elimination game on a bitset adjacency matrix.

A variable is eliminated by joining its neighbours to one another (the *fill*) and taking it out; the joint table of its
bucket has Π sizes entries over the variable and the neighbours that it then has. Every score is kept incrementally: one
fill edge costs n/64 words, one choice a scan of the n variables. All sizes are log2. `greedy` does a bounded amount of
work a call and resumes where it stopped.
"""

import numpy as np
from numba import njit

DONE, LARGEST, TOTAL = 0, 1, 2  # of the progress vector: variables placed, log2 largest table, log2 total work


@njit(cache=True, nogil=True, inline="always")
def _popcount(x):
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True, inline="always")
def _has(row, v):
    return (row[v >> 6] >> np.uint64(v & 63)) & np.uint64(1) != 0


@njit(cache=True, nogil=True, inline="always")
def _flip(row, v):
    row[v >> 6] ^= np.uint64(1) << np.uint64(v & 63)


@njit(cache=True, nogil=True, inline="always")
def log2_add(a, b):
    """log2(2^a + 2^b)."""
    top, low = max(a, b), min(a, b)
    return top if low == -np.inf else top + np.log2(1.0 + 2.0 ** (low - top))


@njit(cache=True, nogil=True)
def _members(row, out):
    """Writes the set bits of `row` into `out`, ascending; returns how many."""
    k = 0
    for i in range(row.size):
        word = row[i]
        while word != 0:
            low = word & (~word + np.uint64(1))
            out[k] = i * 64 + _popcount(low - np.uint64(1))
            word ^= low
            k += 1
    return k


@njit(cache=True, nogil=True)
def _outside(a, b, weight, plain):
    """Total weight of the set a \\ b; just its size when the weights are `plain` ones."""
    total = 0.0
    count = 0
    for i in range(a.size):
        word = a[i] & ~b[i]
        if plain:
            count += _popcount(word)
        else:
            while word != 0:
                low = word & (~word + np.uint64(1))
                total += weight[i * 64 + _popcount(low - np.uint64(1))]
                word ^= low
    return total + count


@njit(cache=True, nogil=True)
def bitset(ptr, nbr):
    """Rows of the adjacency matrix as bits, (n, ⌈n/64⌉)."""
    n = ptr.size - 1
    bits = np.zeros((n, (n + 63) // 64), np.uint64)
    for v in range(n):
        for i in range(ptr[v], ptr[v + 1]):
            _flip(bits[v], nbr[i])
    return bits


@njit(cache=True, nogil=True)
def first_scores(bits, ptr, nbr, log2_sizes, weight, plain, size, fill):
    """Sets size[v], the log2 joint table of v and its neighbours, and fill[v], the weight of their missing edges."""
    for v in range(ptr.size - 1):
        size[v] = log2_sizes[v]
        fill[v] = 0.0
        for i in range(ptr[v], ptr[v + 1]):
            u = nbr[i]
            size[v] += log2_sizes[u]
            fill[v] += weight[u] * (_outside(bits[v], bits[u], weight, plain) - weight[u])
        fill[v] *= 0.5


@njit(cache=True, nogil=True)
def _join(bits, a, b, log2_sizes, weight, plain, size, fill, with_fill, common):
    """Adds the edge a–b and brings every score up to date."""
    if with_fill:
        fill[a] += weight[b] * _outside(bits[a], bits[b], weight, plain)
        fill[b] += weight[a] * _outside(bits[b], bits[a], weight, plain)
        k = _members(bits[a] & bits[b], common)
        pair = weight[a] * weight[b]
        for i in range(k):
            fill[common[i]] -= pair
    _flip(bits[a], b)
    _flip(bits[b], a)
    size[a] += log2_sizes[b]
    size[b] += log2_sizes[a]


@njit(cache=True, nogil=True)
def detach(bits, v, log2_sizes, weight, plain, size, fill, with_fill, out):
    """Takes v out of the graph without joining its neighbours, which are written to `out`; returns how many."""
    k = _members(bits[v], out)
    for i in range(k):
        u = out[i]
        _flip(bits[u], v)
        size[u] -= log2_sizes[v]
        if with_fill:
            fill[u] -= weight[v] * _outside(bits[u], bits[v], weight, plain)
    bits[v, :] = np.uint64(0)
    return k


@njit(cache=True, nogil=True)
def _choose(live, n_live, size, fill, mix, noise, jitter):
    """Place in `live` of the variable with the least fill + mix·size, each score multiplied by 1 + noise·jitter."""
    best, at = np.inf, 0
    for i in range(n_live):
        v = live[i]
        key = ((fill[v] if mix < 1e6 else 0.0) + mix * size[v]) * (1.0 + noise * jitter[v]) + 1e-6 * jitter[v]
        if key < best:
            best, at = key, i
    return at


@njit(cache=True, nogil=True)
def greedy(
    bits, live, log2_sizes, weight, plain, size, fill, mix, noise, jitter, order, progress, limit, ceiling, work
):
    """Eliminates greedily until nothing is left, a bucket exceeds `limit`, the total `ceiling`, or `work` is done.

    `mix` ≥ 1e6 means min-size (no fill is tracked); else the score is fill + mix·size. `bits`, `live`, `size`, `fill`,
    `order` and `progress` are the state, changed in place. Returns whether to call again.
    """
    n = live.size
    around = np.empty(n, np.int64)
    common = np.empty(n, np.int64)
    with_fill = mix < 1e6
    spent = 0
    while progress[DONE] < n:
        if spent > work:
            return True
        n_live = n - np.int64(progress[DONE])
        at = _choose(live, n_live, size, fill, mix, noise, jitter)
        v = live[at]
        if size[v] > limit:
            return False
        progress[LARGEST] = max(progress[LARGEST], size[v])
        progress[TOTAL] = log2_add(progress[TOTAL], size[v])
        if progress[TOTAL] > ceiling:
            return False
        simplicial = with_fill and abs(fill[v]) < 1e-6
        k = detach(bits, v, log2_sizes, weight, plain, size, fill, with_fill, around)
        live[at] = live[n_live - 1]
        live[n_live - 1] = v
        order[np.int64(progress[DONE])] = v
        progress[DONE] += 1
        spent += n_live + k * bits.shape[1]
        if k == n_live - 1 and simplicial:  # a clique is left: any order does
            continue
        for i in range(k):
            for j in range(i if not simplicial else 0):
                if not _has(bits[around[i]], around[j]):
                    _join(bits, around[i], around[j], log2_sizes, weight, plain, size, fill, with_fill, common)
                    spent += 3 * bits.shape[1] + k
    return False


@njit(cache=True, nogil=True)
def cutset(bits, log2_sizes, cost, limit):
    """Eliminates by min-size; when no bucket fits `limit`, puts off the variable with the largest table per `cost`.

    Returns (order, k): order[:k] eliminates within `limit` once order[k:], those put off, are gone (a variable without
    neighbours is always kept).
    """
    n = log2_sizes.size
    size = log2_sizes.copy()
    around = np.empty(n, np.int64)
    order = np.empty(n, np.int64)
    kept, put_off = 0, n
    for v in range(n):
        k = _members(bits[v], around)
        for i in range(k):
            size[v] += log2_sizes[around[i]]
    live = np.arange(n)
    unused = np.zeros(n)
    for done in range(n):
        n_live = n - done
        at, worst, most = 0, 0, -1.0
        for i in range(n_live):
            v = live[i]
            if size[v] < size[live[at]]:
                at = i
            if (size[v] - log2_sizes[v]) / cost[v] > most:
                worst, most = i, (size[v] - log2_sizes[v]) / cost[v]
        keep = size[live[at]] <= max(limit, log2_sizes[live[at]] + 1e-9)  # sums of logs carry rounding
        at = at if keep else worst
        v = live[at]
        if keep:
            order[kept] = v
            kept += 1
        else:
            put_off -= 1
            order[put_off] = v
        k = detach(bits, v, log2_sizes, unused, True, size, unused, False, around)
        live[at] = live[n_live - 1]
        for i in range(k if keep else 0):
            for j in range(i):
                if not _has(bits[around[i]], around[j]):
                    _join(bits, around[i], around[j], log2_sizes, unused, True, size, unused, False, around)
    return order, kept
