"""A tree of regions: cities are halved again and again along short cuts, and fronts are laid out along the tree.

A region's front holds the terminals left over by its two parts; its cost is the cube of its size, so a good cut is
short. Candidates for a cut are level sets of differences and sums of breadth-first distances from four far-apart
cities, which on a lattice are its straight and diagonal lines; the shortest cut near the middle is taken.
Cost: n log n. Planar graphs have cuts of O(√n) (Lipton & Tarjan 1979); George, *Nested dissection* (1973).
"""

import numpy as np
from numba import njit

from calipers.exact.planar_elimination import Fronts


def dissect(home: np.ndarray, cities: int) -> Fronts:
    """Regions and fronts of a graph of cities.

    **Arguments:** `home` (d,), the city of each terminal, terminals 2e and 2e + 1 being the ends of edge e.
    """
    ends = home.reshape(-1, 2)
    order = np.argsort(home, kind="stable")
    start = np.searchsorted(home[order], np.arange(cities + 1))
    near = home[order ^ 1]
    left, right, leaf = _regions(start, near, cities)
    arrays = _lay_out(left, right, leaf, order, start, len(home))

    assert len(ends) * 2 == int(arrays[1].sum())
    return Fronts(left, right, *arrays)


@njit(cache=True, nogil=True)
def _search(source, part, inside, start, near, queue, seen, stamp, distance):
    """Breadth-first distances inside a part from `source`; other components follow one after another.

    **Returns:** the city that was reached last; the place in `queue`, near its middle, where a new component begins, 0
    if there is only one.
    """
    n, head, tail, nxt, gap = len(part), 0, 0, 0, 0
    seen[source] = stamp
    distance[source] = 0
    queue[0] = source
    tail = 1
    while tail < n or head < tail:
        if head == tail:
            while seen[part[nxt]] == stamp:
                nxt += 1
            v = part[nxt]
            gap = tail if abs(2 * tail - n) < abs(2 * gap - n) else gap
            seen[v] = stamp
            distance[v] = distance[queue[head - 1]] + 1
            queue[tail] = v
            tail += 1
        v = queue[head]
        head += 1
        for k in range(start[v], start[v + 1]):
            w = near[k]
            if inside[w] == inside[part[0]] and seen[w] != stamp:
                seen[w] = stamp
                distance[w] = distance[v] + 1
                queue[tail] = w
                tail += 1
    return queue[n - 1], gap


@njit(cache=True, nogil=True)
def _stable_sort(order, key, count, out):
    """Stably sorts `order` by `key` (integers, by place) into `out`; `count` is scratch, longer than their range."""
    low = key[order[0]]
    high = low
    for i in order:
        low, high = min(low, key[i]), max(high, key[i])
    count[: high - low + 2] = 0
    for i in order:
        count[key[i] - low + 1] += 1
    for k in range(high - low):
        count[k + 1] += count[k]
    for i in order:
        out[count[key[i] - low]] = i
        count[key[i] - low] += 1


@njit(cache=True, nogil=True)
def _shortest_cut(part, order, inside, start, near, seen, stamp):
    """The place near the middle of an ordered part where the fewest edges are cut, and what it costs."""
    n = len(part)
    low, high = max(1, int(0.38 * n)), min(n - 1, n - int(0.38 * n))
    cut, best, place = 0, 1 << 60, n // 2
    for i in range(high):
        v = part[order[i]]
        seen[v] = stamp
        for k in range(start[v], start[v + 1]):
            w = near[k]
            if w != v and inside[w] == inside[v]:
                cut += -1 if seen[w] == stamp else 1
        if i + 1 >= low:
            cost = int(1024 * cut * (1.0 + abs(2 * (i + 1) - n) / n))
            if cost < best:
                best, place = cost, i + 1
    return place, best


@njit(cache=True, nogil=True)
def _landmarks(part, inside, start, near, queue, seen, stamp, D):
    """Breadth-first distances D[0…3] from four cities far apart: a, b at two ends, c, d at two ends of their middle.

    **Returns:** 0; or, when the part is not connected, where to divide it, in the order of `queue`.
    """
    a, gap = _search(part[0], part, inside, start, near, queue, seen, stamp, D[0])
    if gap:
        return gap
    b, _ = _search(a, part, inside, start, near, queue, seen, stamp + 1, D[0])
    _search(b, part, inside, start, near, queue, seen, stamp + 2, D[1])
    city, least = part[0], 1 << 60
    for v in part:
        if abs(D[0, v] - D[1, v]) < least:
            city, least = v, abs(D[0, v] - D[1, v])
    for turn in range(3):
        row = D[2 + turn % 2]
        _search(city, part, inside, start, near, queue, seen, stamp + 3 + turn, row)
        far = -1
        for v in part:
            if abs(D[0, v] - D[1, v]) <= least + 1 and row[v] > far:
                city, far = v, row[v]
    return 0


@njit(cache=True, nogil=True)
def _halve(part, inside, start, near, queue, seen, stamp, D, scratch):
    """Orders `part` so that a short cut lies near its middle; returns the place and the next free stamp."""
    n = len(part)
    gap = _landmarks(part, inside, start, near, queue, seen, stamp, D)
    stamp += 6
    if gap:
        part[:] = queue[:n]
        return gap, stamp
    across, along = D[0][part] - D[1][part], D[2][part] - D[3][part]
    keys = (across, along, across + along, across - along)
    best, place, chosen = 1 << 60, n // 2, np.arange(n)
    for form in range(4):
        first, order = np.empty(n, np.int64), np.empty(n, np.int64)
        _stable_sort(np.arange(n), keys[form ^ 1], scratch, first)
        _stable_sort(first, keys[form], scratch, order)
        at, cost = _shortest_cut(part, order, inside, start, near, seen, stamp)
        stamp += 1
        if cost < best:
            best, place, chosen = cost, at, order
    part[:] = part[chosen]
    return place, stamp


@njit(cache=True, nogil=True)
def _regions(start, near, cities):
    """The tree of halves in postorder: children of each region (−1 at a city), and the city of each leaf."""
    count = max(2 * cities - 1, 0)
    first, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
    left, right, leaf = np.full(count, -1), np.full(count, -1), np.full(count, -1)
    part = np.arange(cities)
    inside = np.zeros(cities, np.int64)
    queue, seen, scratch = np.empty(cities, np.int64), np.full(cities, -1), np.empty(8 * cities + 8, np.int64)
    D = np.zeros((4, cities), np.int64)
    stamp, used, t = np.int64(0), 1, 0  # a literal 0 would have `_halve` compiled twice
    if cities:
        last[0] = cities
    while t < used and cities:  # preorder numbers from the root: a region's parts come later
        n = last[t] - first[t]
        if n == 1:
            leaf[t] = part[first[t]]
        else:
            cut, stamp = _halve(part[first[t] : last[t]], inside, start, near, queue, seen, stamp, D, scratch)
            middle = first[t] + cut
            left[t], right[t] = used, used + 1
            first[used], last[used] = first[t], middle
            first[used + 1], last[used + 1] = middle, last[t]
            for i in range(first[t], middle):
                inside[part[i]] = used
            for i in range(middle, last[t]):
                inside[part[i]] = used + 1
            used += 2
        t += 1
    return _postorder(left, right, leaf)


@njit(cache=True, nogil=True)
def _postorder(left, right, leaf):
    """Renumbers a tree so that every left part, then every right part, comes right before its region."""
    count = len(left)
    number, stack = np.empty(count, np.int64), np.empty(count + 1, np.int64)
    free, depth = count, 1
    stack[0] = 0
    while depth and count:  # a reversed postorder: the region, its right part, its left part
        depth -= 1
        t = stack[depth]
        free -= 1
        number[t] = free
        if left[t] >= 0:
            stack[depth], stack[depth + 1] = left[t], right[t]
            depth += 2
    new_left, new_right, new_leaf = np.full(count, -1), np.full(count, -1), np.full(count, -1)
    for t in range(count):
        new_leaf[number[t]] = leaf[t]
        if left[t] >= 0:
            new_left[number[t]], new_right[number[t]] = number[left[t]], number[right[t]]
    return new_left, new_right, new_leaf


@njit(cache=True, nogil=True)
def _lay_out(left, right, leaf, order, begin, terminals):
    """Which terminals stand in each front: those of complete pairs first, then the boundary; places in the parent's."""
    count = len(left)
    start, pairs = np.zeros(count + 1, np.int64), np.zeros(count, np.int64)
    pool, up = np.empty(4 * terminals + 64, np.int64), np.empty(4 * terminals + 64, np.int64)
    here = np.full(terminals, -1)
    place = np.empty(terminals, np.int64)
    for t in range(count):
        at = start[t]
        size = 0
        source = np.empty(0, np.int64)
        if left[t] < 0:
            source = order[begin[leaf[t]] : begin[leaf[t] + 1]]
        else:
            a, b = start[left[t]] + pairs[left[t]], start[left[t] + 1]
            c, d = start[right[t]] + pairs[right[t]], start[right[t] + 1]
            source = np.concatenate((pool[a:b], pool[c:d]))
        size = len(source)
        if at + size > len(pool):
            grown = np.empty(2 * (at + size), np.int64)
            grown[:at] = pool[:at]
            pool = grown
            lifted = np.empty(2 * (at + size), np.int64)
            lifted[:at] = up[:at]
            up = lifted
        for h in source:
            here[h] = t
        k = 0
        for h in source:
            if here[h ^ 1] == t and h < (h ^ 1):
                place[h], place[h ^ 1] = k, k + 1
                pool[at + k], pool[at + k + 1] = h, h ^ 1
                k += 2
        pairs[t] = k
        for h in source:
            if here[h ^ 1] != t:
                place[h] = k
                pool[at + k] = h
                k += 1
        start[t + 1] = at + size
        if left[t] >= 0:
            for child in (left[t], right[t]):
                for i in range(start[child] + pairs[child], start[child + 1]):
                    up[i] = place[pool[i]]
    return start, pairs, pool[: start[count]], up[: start[count]]
