"""Kernels that play the elimination game on an interaction graph.

A variable is eliminated by joining its neighbours to one another (the *fill*) and taking it out; the joint table of its
bucket has Π sizes entries over the variable and the neighbours that it then has. `greedy` plays it on a bitset matrix
and keeps every score incrementally: one fill edge costs n/64 words, one choice a scan of the n variables. `sparse_greedy`
plays min-size on a quotient graph (George & Liu 1989) in memory that the graph's edges bound, for graphs too large for
n² bits. `symbolic` prices a given order without building the fill (row subtrees: Davis, *LDL*, TOMS 849, 2005).

All sizes are log2. All kernels do a bounded amount of work a call and resume where they stopped.
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
def greedy(bits, live, log2_sizes, weight, plain, size, fill, mix, noise, jitter, order, progress, limit, ceiling, work):
    """Eliminates greedily until nothing is left, a bucket exceeds `limit`, the total exceeds `ceiling` or `work` is done.

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
def symbolic(ptr, nbr, order, log2_sizes, ceiling, size, parent, flag, place, start, work):
    """Adds to size[v] the log2 sizes of the later variables in v's bucket, rows `start`… of the filled matrix.

    Before the first call: size = log2_sizes, parent = −1, flag = −1, place[order] = 0, 1, …. Returns the row to go on with; n when
    done; −1 when some bucket is larger than `ceiling`.
    """
    spent = 0
    for i in range(start, order.size):
        if spent > work:
            return i
        v = order[i]
        flag[v] = i
        for t in range(ptr[v], ptr[v + 1]):
            u = nbr[t]
            if place[u] > i:
                continue
            while flag[u] != i:
                if parent[u] < 0:
                    parent[u] = v
                flag[u] = i
                size[u] += log2_sizes[v]
                spent += 1
                if size[u] > ceiling:
                    return -1
                u = parent[u]
    return order.size


@njit(cache=True, nogil=True)
def cuthill_mckee(ptr, nbr, root, out, seen):
    """Writes the breadth-first order of root's component, neighbours by degree, from a vertex far from `root`; its length."""
    tail = 0
    for sweep in range(3):  # two sweeps find a far vertex, the third is the answer
        if sweep > 0:
            for i in range(tail):
                seen[out[i]] = False
            root = out[tail - 1]
        out[0] = root
        seen[root] = True
        head, tail = 0, 1
        while head < tail:
            v = out[head]
            head += 1
            first = tail
            for t in range(ptr[v], ptr[v + 1]):
                u = nbr[t]
                if not seen[u]:
                    seen[u] = True
                    j = tail
                    while j > first and ptr[out[j - 1] + 1] - ptr[out[j - 1]] > ptr[u + 1] - ptr[u]:
                        out[j] = out[j - 1]
                        j -= 1
                    out[j] = u
                    tail += 1
    return tail


@njit(cache=True, nogil=True)
def levels(ptr, nbr):
    """The Cuthill–McKee order of the whole graph, component by component."""
    n = ptr.size - 1
    out = np.empty(n, np.int64)
    seen = np.zeros(n, np.bool_)
    done = 0
    for v in range(n):
        if not seen[v]:
            done += cuthill_mckee(ptr, nbr, v, out[done:], seen)
    return out


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
def sparse_greedy(ptr, lists, n_elements, n_variables, begin, length, pool, used, log2_sizes, mark, stamp, dead, bucket,
                  head, after, before, order, done, work):  # fmt: skip
    """Min-size on a quotient graph: eliminated variables stand for the cliques (elements) that they left behind.

    `lists[ptr[v]:]` holds v's `n_elements[v]` elements, then its `n_variables[v]` direct neighbours; element e has
    members `pool[begin[e]:][:length[e]]`. Buckets of the priority queue are ⌈8·log2 size⌉, clipped.
    Returns (pool, used, stamp, done): call again until done = n.
    """
    n = ptr.size - 1
    spent = 0
    low = 0
    while done < n and spent < work:
        while head[low] < 0:
            low += 1
        p = head[low]
        _file(p, -1, bucket, head, after, before)
        order[done] = p
        done += 1
        stamp += 1
        mark[p] = stamp
        first = used
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
        for i in range(first, used):  # element lists first, so that every degree below sees the new graph
            u = pool[i]
            out = ptr[u]
            stop = out + n_elements[u] + n_variables[u]
            middle = out + n_elements[u]
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
        for i in range(first, used):
            u = pool[i]
            stamp += 1
            mark[u] = stamp
            total = log2_sizes[u]
            for j in range(ptr[u], ptr[u] + n_elements[u] + n_variables[u]):
                is_element = j < ptr[u] + n_elements[u]
                e = lists[j]
                for t in range(length[e] if is_element else 1):
                    w = pool[begin[e] + t] if is_element else e
                    if mark[w] != stamp:
                        mark[w] = stamp
                        total += log2_sizes[w]
                spent += length[e] if is_element else 1
            key = min(np.int64(8.0 * total), head.size - 1)
            _file(u, key, bucket, head, after, before)
            low = min(low, key)
    return pool, used, stamp, done


@njit(cache=True, nogil=True)
def file_all(keys, bucket, head, after, before):
    """Puts every variable into the list of its key, clipped, so that equal keys come out in ascending order."""
    for v in range(keys.size - 1, -1, -1):
        _file(v, min(keys[v], head.size - 1), bucket, head, after, before)


@njit(cache=True, nogil=True)
def cutset(bits, log2_sizes, cost, limit):
    """Eliminates by min-size; when no bucket fits `limit`, puts off the variable with the largest table per `cost`.

    Returns which variables were put off. The others, alone, eliminate within `limit` (a lone variable is always kept).
    """
    n = log2_sizes.size
    size = log2_sizes.copy()
    around = np.empty(n, np.int64)
    put_off = np.zeros(n, np.bool_)
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
        keep = size[live[at]] <= limit or size[live[at]] <= log2_sizes[live[at]]
        at = at if keep else worst
        v = live[at]
        put_off[v] = not keep
        k = detach(bits, v, log2_sizes, unused, True, size, unused, False, around)
        live[at] = live[n_live - 1]
        for i in range(k if keep else 0):
            for j in range(i):
                if not _has(bits[around[i]], around[j]):
                    _join(bits, around[i], around[j], log2_sizes, unused, True, size, unused, False, around)
    return put_off


@njit(cache=True, nogil=True)
def cut_profile(ptr, nbr, edge, order, place, start, stop):
    """What each prefix order[start…m] shares with order[m+1…]: the sum of `edge` across, m = start, …, stop − 1."""
    out = np.empty(stop - start)
    cut = 0.0
    for m in range(start, stop):
        v = order[m]
        for t in range(ptr[v], ptr[v + 1]):
            at = place[nbr[t]]
            if at > m:
                cut += edge[t]
            elif at >= start:
                cut -= edge[t]
        out[m - start] = cut
    return out


@njit(cache=True, nogil=True)
def sweep(ptr, nbr, roots, log2_sizes, limit, order):
    """Sweeps a front through the graph: next comes the front's variable with the fewest neighbours still unseen, the oldest
    of equals. Components begin at the first of `roots` that is unseen.

    Returns whether the front and the variable joining it stayed within `limit`; `order` is complete only then.
    """
    n = ptr.size - 1
    unseen = np.zeros(n)
    seen = np.zeros(n, np.bool_)
    front = np.empty(n, np.int64)
    for v in range(n):
        for t in range(ptr[v], ptr[v + 1]):
            unseen[v] += log2_sizes[nbr[t]]
    width, size, following = 0, 0.0, 0
    for done in range(n):
        if width == 0:
            while seen[roots[following]]:
                following += 1
            v = roots[following]
            at, width, size, front[0], seen[v] = 0, 1, log2_sizes[v], v, True
            for t in range(ptr[v], ptr[v + 1]):
                unseen[nbr[t]] -= log2_sizes[v]
        else:
            at = 0
            for i in range(1, width):
                if unseen[front[i]] < unseen[front[at]] - 1e-9:
                    at = i
        v = front[at]
        for t in range(ptr[v], ptr[v + 1]):
            u = nbr[t]
            if not seen[u]:
                seen[u] = True
                front[width] = u
                width += 1
                size += log2_sizes[u]
                for r in range(ptr[u], ptr[u + 1]):
                    unseen[nbr[r]] -= log2_sizes[u]
        if size > limit:
            return False
        width -= 1
        size -= log2_sizes[v]
        for i in range(at, width):
            front[i] = front[i + 1]
        order[done] = v
    return True
