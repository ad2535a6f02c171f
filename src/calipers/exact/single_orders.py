"""Single elimination orders and their price: greedy ones, sweeps, and what a given order costs.

Greedy orders eliminate the variable with the least fill, or the smallest joint, again and again; sweeps go through the
graph front by front. Proves nothing: any order is correct, a poor one is dear. `ordering.py` searches among them.

Cost: min-size on 10⁴ sparse variables a tenth of a second, min-fill a few; symbolic pricing O(fill). Fails: graphs
above 20 000 variables get sweeps and min-size only (fill needs n² bits). Source: Kjærulff, *Triangulation of graphs*
(1990).
"""

import math
import time
from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.exact import graph_orders as kernels
from calipers.exact import graph_sweeps as walks
from calipers.exact import quotient_graph
from calipers.exact.interaction import Graph

MAX_BITSET = 20_000  # variables: 50 MB of bits
_WORK = 100_000_000  # word operations a kernel call: below half a second
_MIN_SIZE = 1e6  # a mix that means: no fill at all


class OrderCost(NamedTuple):
    """What an order costs: log2 entries of the largest joint table (eliminated variable included) and of all tables."""

    log2_largest: float
    log2_total: float


def price(graph: Graph, order: np.ndarray, ceiling: float = math.inf, deadline: float = math.inf) -> OrderCost | None:
    """What `order` costs on `graph`; None if a table has more than 2^ceiling entries or `deadline` passes."""
    n = graph.n
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    size, parent, flag = graph.log2_sizes.copy(), np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    start = 0
    while 0 <= start < n:
        start = walks.symbolic(
            graph.ptr, graph.nbr, order, graph.log2_sizes, float(ceiling), size, parent, flag, place, start, _WORK
        )
        if start < n and time.monotonic() > deadline:
            return None
    return None if start < 0 else _cost(size)


def greedy_order(
    graph: Graph,
    *,
    mix: float = 0.0,
    noise: float = 0.0,
    jitter: np.ndarray | None = None,
    weighted: bool = False,
    limit: float = math.inf,
    ceiling: float = math.inf,
    deadline: float = math.inf,
) -> np.ndarray | None:
    """Eliminates the variable with the least (fill + mix·log2 joint size)·(1 + noise·jitter), again and again.

    **Arguments:** `mix`, `inf` for min-size, 0 for min-fill; `jitter`, numbers in [0, 1) that break ties; `weighted`, a
    fill edge counts the product of its ends' log2 sizes; `limit` and
    `ceiling`, the log2 largest table and total allowed.

    **Returns:** the order, or None when `limit`, `ceiling` or `deadline` forbids it.
    """
    n, mix = graph.n, min(mix, _MIN_SIZE)
    bits, size, fill = kernels.bitset(graph.ptr, graph.nbr), graph.log2_sizes.copy(), np.zeros(n)
    weight = np.maximum(graph.log2_sizes, 0.01) if weighted else np.ones(n)
    if mix < _MIN_SIZE:
        kernels.first_scores(bits, graph.ptr, graph.nbr, graph.log2_sizes, weight, not weighted, size, fill)
    else:
        size += _around(graph.ptr, graph.nbr, graph.log2_sizes)
    jitter = np.arange(n) / max(n - 1.0, 1.0) if jitter is None else jitter
    order, progress = np.empty(n, np.int64), np.array([0.0, -np.inf, -np.inf])
    live = np.arange(n)
    while kernels.greedy(
        bits, live, graph.log2_sizes, weight, not weighted, size, fill, float(mix), float(noise), jitter, order,
        progress, float(limit), float(ceiling), _WORK,
    ):  # fmt: skip
        if time.monotonic() > deadline:
            return None
    return order if progress[kernels.DONE] == n else None


def min_size_order(graph: Graph, deadline: float = math.inf) -> np.ndarray:
    """Eliminates the variable with the smallest bucket, on bits or, for large graphs, on a quotient graph.

    Large graphs only: the variables that are left at `deadline`, on time.monotonic's clock, follow in a sweep's order.
    """
    if graph.n <= MAX_BITSET:
        order = greedy_order(graph, mix=math.inf)
        assert order is not None
        return order
    return _sparse_min_size(graph, deadline)


def swept_order(graph: Graph, roots: np.ndarray, ceiling: float = math.inf) -> np.ndarray | None:
    """A front swept through the graph from the first of `roots`: finds the short side of strips, cylinders and tori.

    **Returns:** the order, or None if a table over the whole front would have more than 2^ceiling entries.
    """
    order = np.empty(graph.n, np.int64)
    return order if walks.sweep(graph.ptr, graph.nbr, roots, graph.log2_sizes, float(ceiling), order) else None


@njit(cache=True, nogil=True)
def _around(ptr, nbr, log2_sizes):
    """Sum of the log2 sizes of each variable's neighbours."""
    out = np.zeros(len(log2_sizes))
    for v in range(len(out)):
        for u in nbr[ptr[v] : ptr[v + 1]]:
            out[v] += log2_sizes[u]
    return out


def _cost(size: np.ndarray) -> OrderCost:
    if not len(size):
        return OrderCost(-math.inf, -math.inf)
    top, total = _exponentials(size)
    return OrderCost(top, top + math.log2(total))


@njit(cache=True, nogil=True)
def _exponentials(size):
    """The largest entry, and the sum of 2^(entry − largest)."""
    top, total = -np.inf, 0.0
    for bits in size:
        top = max(top, bits)
    for bits in size:
        total += 2.0 ** (bits - top)
    return top, total


def _sparse_min_size(graph: Graph, deadline: float = math.inf) -> np.ndarray:
    n = graph.n
    head, after, before = np.full(4096, -1, np.int64), np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    bucket, order = np.full(n, -1, np.int64), np.empty(n, np.int64)
    quotient_graph.file_all(
        (8.0 * (graph.log2_sizes + _around(graph.ptr, graph.nbr, graph.log2_sizes))).astype(np.int64),
        bucket,
        head,
        after,
        before,
    )
    lists, counts = graph.nbr.copy(), np.diff(graph.ptr)
    pool, used, stamp, done = np.empty(2 * graph.nbr.size + 16, np.int32), 0, 0, 0
    elements, begin, length = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    mark, dead = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    while done < n and (done == 0 or time.monotonic() < deadline):
        pool, used, stamp, done = quotient_graph.sparse_greedy(
            graph.ptr, lists, elements, counts, begin, length, pool, used, graph.log2_sizes, mark, stamp, dead, bucket,
            head, after, before, order, done, _WORK // 5,
        )  # fmt: skip
    if done < n:
        rest = swept_order(graph, walks.levels(graph.ptr, graph.nbr))
        assert rest is not None
        late = np.ones(n, np.bool_)
        late[order[:done]] = False
        order[done:] = rest[late[rest]]
    return order
