"""From an elimination order to a tree of whole buckets, in flat arrays: one compiled pass, microseconds a bucket.

Bucket b eliminates `order[b]`; it takes the tables whose first variable along the order that is, and the messages whose
last variable it is. Without `keep`, a message's space is used again once its parent has consumed it: best fit. Sizes
are floats on the way, since a hopeless order has joints beyond any integer; nobody will allocate those.
"""

import numpy as np
from numba import njit

from calipers.exact.wiring import inner

_MOST = 2.0**62


@inner
def _sort(values, k):
    """Sorts the first k values, descending, by insertion."""
    for i in range(1, k):
        x, j = values[i], i
        while j > 0 and values[j - 1] < x:
            values[j] = values[j - 1]
            j -= 1
        values[j] = x


@inner
def _gather(ptr, scope, piece, rank, mark, b, around, k):
    """Adds the ranks of a piece's variables that bucket b has not seen."""
    for i in range(ptr[piece], ptr[piece + 1]):
        u = scope[i]
        if mark[u] != b:
            mark[u] = b
            around[k] = rank[u]
            k += 1
    return k


@njit(cache=True, nogil=True)
def plant(sizes, given_ptr, given, order):
    """Scopes of tables and messages (ragged, last eliminated first), parents, items of the buckets, joint entries."""
    n, tables = len(order), len(given_ptr) - 1
    rank, around, mark = np.empty(n, np.int64), np.empty(n, np.int64), np.full(n, -1, np.int64)
    ptr, scope = np.zeros(tables + n + 1, np.int64), np.empty(2 * len(given) + n, np.int64)
    parent, cells = np.full(n, -1, np.int64), np.empty(n)
    item_ptr, owner = np.zeros(n + 1, np.int64), np.empty(tables + n, np.int64)
    for b in range(n):
        rank[order[b]] = b
    for a in range(tables):
        k = 0
        for i in range(given_ptr[a], given_ptr[a + 1]):
            around[k] = rank[given[i]]
            k += 1
        _sort(around, k)
        for i in range(k):
            scope[ptr[a] + i] = order[around[i]]
        ptr[a + 1] = ptr[a] + k
        owner[a] = around[k - 1]
    first, following = np.full(n, -1, np.int64), np.full(tables + n, -1, np.int64)  # items, last one first
    for a in range(tables):
        first[owner[a]], following[a] = a, first[owner[a]]
    for b in range(n):
        v, k, p, many = order[b], 0, first[b], 0
        mark[v] = b
        while p >= 0:
            k = _gather(ptr, scope, p, rank, mark, b, around, k)
            p, many = following[p], many + 1
        _sort(around, k)
        at = ptr[tables + b]
        if at + k > len(scope):
            grown = np.empty(2 * len(scope) + k, np.int64)
            grown[:at] = scope[:at]
            scope = grown
        cells[b] = sizes[v]
        for i in range(k):
            scope[at + i] = order[around[i]]
            cells[b] *= sizes[order[around[i]]]
        ptr[tables + b + 1], item_ptr[b + 1] = at + k, item_ptr[b] + many
        owner[tables + b] = -1
        if k > 0:
            parent[b] = around[k - 1]
            owner[tables + b], following[tables + b] = parent[b], first[parent[b]]
            first[parent[b]] = tables + b
    item, place = np.empty(item_ptr[n], np.int64), item_ptr.copy()
    for p in range(tables + n):
        if owner[p] >= 0:
            item[place[owner[p]]] = p
            place[owner[p]] += 1
    return ptr, scope[: ptr[tables + n]], parent, item_ptr, item, cells


@njit(cache=True, nogil=True)
def place_pieces(sizes, ptr, scope, parent, cells, order, keep):
    """Where each table and message lies in the arena, their lengths, and the arena's."""
    n = len(order)
    tables = len(ptr) - 1 - n
    at, length, end = np.empty(tables + n), np.ones(tables + n), 0.0
    for p in range(tables + n):
        for i in range(ptr[p], ptr[p + 1]):
            length[p] *= sizes[scope[i]]
        if p < tables or keep:
            at[p] = end
            end += length[p]
    if not keep:
        end = _reuse(at[tables:], length[tables:], parent, end)
    return np.minimum(at, _MOST).astype(np.int64), np.minimum(length, _MOST).astype(np.int64), min(end, _MOST)


@inner
def _reuse(at, length, parent, end):
    """Places messages in the smallest hole that holds them, the first of equals, else at the end; returns the end."""
    n = len(parent)
    hole, room, holes = np.empty(n + 1), np.empty(n + 1), 0
    first, following = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    for b in range(n):
        best = -1
        for h in range(holes):
            if room[h] >= length[b] and (best < 0 or room[h] < room[best]):
                best = h
        if best < 0:
            at[b] = end
            end += length[b]
        else:
            at[b] = hole[best]
            hole[best] += length[b]
            room[best] -= length[b]
            if room[best] == 0.0:
                holes -= 1
                for h in range(best, holes):
                    hole[h], room[h] = hole[h + 1], room[h + 1]
        c = first[b]
        while c >= 0:
            holes = _give_back(hole, room, holes, at[c], length[c])
            c = following[c]
        if parent[b] >= 0:
            first[parent[b]], following[b] = b, first[parent[b]]
    return end


@inner
def _give_back(hole, room, holes, at, length):
    """Adds a hole to those in ascending order, joined to its neighbours; returns how many there are."""
    h = holes
    while h > 0 and hole[h - 1] > at:
        h -= 1
    before, after = h > 0 and hole[h - 1] + room[h - 1] == at, h < holes and at + length == hole[h]
    if before and after:
        room[h - 1] += length + room[h]
        for i in range(h, holes - 1):
            hole[i], room[i] = hole[i + 1], room[i + 1]
        return holes - 1
    if before:
        room[h - 1] += length
    elif after:
        hole[h] = at
        room[h] += length
    else:
        for i in range(holes, h, -1):
            hole[i], room[i] = hole[i - 1], room[i - 1]
        hole[h], room[h] = at, length
        return holes + 1
    return holes
