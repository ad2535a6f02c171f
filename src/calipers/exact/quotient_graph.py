"""Min-size elimination on a quotient graph, for graphs too large for n² bits.

An eliminated variable stands for the clique that it leaves behind, an *element*; elements that meet in an eliminated
variable are merged, so that the lists of the live variables never grow (George & Liu, SIAM Review 31, 1989). Scores are
exact. Memory is that of the graph and of the cliques.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _file(u, key, bucket, head, after, before):
    """Moves u to the list of its key."""
    old = bucket[u]
    if old >= 0:
        if before[u] >= 0:
            after[before[u]] = after[u]
        else:
            head[old] = after[u]
        if after[u] >= 0:
            before[after[u]] = before[u]
    bucket[u] = key
    if key >= 0:
        before[u], after[u] = -1, head[key]
        if head[key] >= 0:
            before[head[key]] = u
        head[key] = u


@njit(cache=True, nogil=True)
def file_all(keys, bucket, head, after, before):
    """Puts every variable into the list of its key, clipped, so that equal keys come out in ascending order."""
    for v in range(keys.size - 1, -1, -1):
        _file(v, min(keys[v], head.size - 1), bucket, head, after, before)


@njit(cache=True, nogil=True)
def _clique(p, ptr, lists, n_elements, n_variables, begin, length, pool, used, mark, stamp, dead):
    """Writes p's neighbours, the element that p becomes, to the pool; the elements met are dead. (pool, used, spent)"""
    spent, first = 0, used
    mark[p] = stamp
    for i in range(ptr[p], ptr[p] + n_elements[p] + n_variables[p]):
        is_element = i < ptr[p] + n_elements[p]
        e = lists[i]
        count = length[e] if is_element else 1
        if used + count > pool.size:
            grown = np.empty(2 * pool.size + count, np.int32)
            grown[:used] = pool[:used]
            pool = grown
        for j in range(count):
            u = pool[begin[e] + j] if is_element else e
            if mark[u] != stamp:
                mark[u] = stamp
                pool[used] = u
                used += 1
        if is_element:
            dead[e] = True
        spent += count
    begin[p], length[p] = first, used - first
    return pool, used, spent


@njit(cache=True, nogil=True)
def _relist(u, p, ptr, lists, n_elements, n_variables, mark, stamp, dead):
    """Takes dead elements and the neighbours that p's clique covers out of u's list, and p in as an element."""
    out = ptr[u]
    middle = out + n_elements[u]
    stop = middle + n_variables[u]
    for j in range(out, middle):
        if not dead[lists[j]]:
            lists[out] = lists[j]
            out += 1
    kept = out
    for j in range(middle, stop):
        if mark[lists[j]] != stamp:
            lists[out] = lists[j]
            out += 1
    # one place is free: a dead element or p itself stood there
    lists[out] = lists[kept]
    lists[kept] = p
    n_elements[u] = kept + 1 - ptr[u]
    n_variables[u] = out - kept


@njit(cache=True, nogil=True)
def _score(u, ptr, lists, n_elements, n_variables, begin, length, pool, log2_sizes, mark, stamp):
    """log2 of the table that eliminating u would make, and what it cost to find out."""
    spent = 0
    mark[u] = stamp
    total = log2_sizes[u]
    for j in range(ptr[u], ptr[u] + n_elements[u] + n_variables[u]):
        is_element = j < ptr[u] + n_elements[u]
        e = lists[j]
        count = length[e] if is_element else 1
        for t in range(count):
            w = pool[begin[e] + t] if is_element else e
            if mark[w] != stamp:
                mark[w] = stamp
                total += log2_sizes[w]
        spent += count
    return total, spent


@njit(cache=True, nogil=True)
def sparse_greedy(ptr, lists, n_elements, n_variables, begin, length, pool, used, log2_sizes, mark, stamp, dead, bucket,
                  head, after, before, order, done, work):  # fmt: skip
    """Min-size on a quotient graph: eliminated variables stand for the cliques (elements) that they left behind.

    `lists[ptr[v]:]` holds v's `n_elements[v]` elements, then its `n_variables[v]` direct neighbours; element e has
    members `pool[begin[e]:][:length[e]]`. Buckets of the priority queue are ⌈8·log2 size⌉, clipped.
    Returns (pool, used, stamp, done): call again until done = n.
    """
    spent = 0
    low = 0
    while done < ptr.size - 1 and spent < work:
        while head[low] < 0:
            low += 1
        p = head[low]
        _file(p, -1, bucket, head, after, before)
        order[done] = p
        done += 1
        stamp += 1
        first = used
        pool, used, cost = _clique(p, ptr, lists, n_elements, n_variables, begin, length, pool, used, mark, stamp, dead)
        spent += cost
        for i in range(first, used):  # element lists first, so that every degree below sees the new graph
            _relist(pool[i], p, ptr, lists, n_elements, n_variables, mark, stamp, dead)
        for i in range(first, used):
            u = pool[i]
            stamp += 1
            total, cost = _score(u, ptr, lists, n_elements, n_variables, begin, length, pool, log2_sizes, mark, stamp)
            spent += cost
            key = min(np.int64(8.0 * total), head.size - 1)
            _file(u, key, bucket, head, after, before)
            low = min(low, key)
    return pool, used, stamp, done
