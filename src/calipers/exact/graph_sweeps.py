"""Kernels that walk an interaction graph without filling it in: what an order costs, and orders that sweep.

`symbolic` prices an order by row subtrees in time O(fill) and memory O(n) (Davis, *LDL*, TOMS 849, 2005); `levels` is
the Cuthill–McKee order; `sweep` moves a front that stays short. All sizes are log2.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def symbolic(ptr, nbr, order, log2_sizes, ceiling, size, parent, flag, place, start, work):
    """Adds to size[v] the log2 sizes of the later variables in v's bucket, rows `start`… of the filled matrix.

    Before the first call: size = log2_sizes, parent = −1, flag = −1, place[order] = 0, 1, …. Returns the row to go on
    with; n when done; −1 when some bucket is larger than `ceiling`.
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
    """Writes the breadth-first order of root's component, neighbours by degree, from a vertex far off; its length."""
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
def sweep(ptr, nbr, roots, log2_sizes, limit, order):
    """Sweeps a front through the graph: next its variable with the fewest neighbours unseen, the oldest of equals.

    Components begin at the first of `roots` that is unseen.

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
