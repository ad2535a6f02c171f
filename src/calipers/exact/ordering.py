"""Elimination orders: what exact inference costs, and how to make it cheap.

Eliminating the variables in an order π builds one joint table a variable, over it and the later variables that share a
factor or an earlier table with it. The largest table decides memory, the sum of all tables time; both depend on π only.
The least cost is NP-hard to find; `best_order` tries the cheap classics first, then randomised greedy orders, and
keeps the one with the least total. Proves nothing: any order is correct, a poor one is dear.

Cost: min-size on 10⁴ sparse variables a tenth of a second, min-fill a few; symbolic pricing O(fill).
Fails: never to return an order; graphs above 20 000 variables get sweeps and min-size only (fill needs n² bits).
Source: Kjærulff, *Triangulation of graphs* (1990); Gogate & Dechter (UAI 2004) for randomised min-fill; cotengra
(Gray & Kourtis, Quantum 5, 410, 2021) for contraction trees.
"""

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from calipers.exact import graph_orders as kernels
from calipers.exact import graph_sweeps as walks
from calipers.exact import quotient_graph
from calipers.exact.contraction_orders import cotengra_order
from calipers.exact.interaction import Graph, adjacency

MAX_BITSET = 20_000  # variables: 50 MB of bits
_WORK = 100_000_000  # word operations a kernel call: below half a second
_SECONDS_A_CELL = 1e-8  # of elimination, a few passes: no search is worth more than the run that it shortens
_MIN_SIZE = 1e6  # a mix that means: no fill at all
_COTENGRA_AFTER = (10, 40, 80, 160)  # randomised orders


class OrderCost(NamedTuple):
    """What an order costs: log2 entries of the largest joint table (eliminated variable included) and of all tables."""

    log2_largest: float
    log2_total: float


class Order(NamedTuple):
    """An elimination order, its cost, the heuristic that found it and how many orders were tried."""

    order: np.ndarray
    log2_largest: float
    log2_total: float
    heuristic: str
    tried: int = 1


def order_cost(
    sizes: Sequence[int] | np.ndarray, scopes: Sequence[Sequence[int]], order: Sequence[int] | np.ndarray
) -> OrderCost:
    """What eliminating in `order` costs.

    **Arguments:** `sizes`, states of each variable; `scopes`, variables of each factor; `order`, every variable once.

    **Returns:** `OrderCost`; both −inf without variables.

    **Raises:** `ValueError` when `order` is not a permutation of the variables.
    """
    places = np.asarray(order, np.int64)
    if not np.array_equal(np.sort(places), np.arange(len(sizes))):
        raise ValueError(f"the order must hold each of the {len(sizes)} variables once; it has {len(order)} entries")
    cost = price(adjacency(len(sizes), scopes, sizes), places)
    assert cost is not None
    return cost


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
        size += _around(graph)
    jitter = np.linspace(0.0, 1.0, n) if jitter is None else jitter
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


def best_order(
    sizes: Sequence[int] | np.ndarray,
    scopes: Sequence[Sequence[int]],
    *,
    seconds: float = 1.0,
    seed: int = 0,
    enough: float | None = None,
    trials: int | None = None,
) -> Order:
    """The cheapest elimination order that was found.

    The first order always completes; the search then goes on until `seconds` have passed, until it has taken as long as
    the elimination itself would, until the largest table has at most 2^`enough` entries, or after `trials` orders.

    **Arguments:** as `order_cost`; `seed` fixes the sequence of orders tried (how many are tried, the clock decides,
    unless `trials` does and `seconds` is infinite).

    **Returns:** `Order`, the least log2 total, ties to the smaller largest table; the costs are upper bounds where
    a large graph was too wide to be priced in time.
    """
    _compile()
    begun = time.monotonic()
    graph = adjacency(len(sizes), scopes, sizes)
    small = graph.n <= MAX_BITSET
    first = min_size_order(graph) if small else swept_order(graph, walks.levels(graph.ptr, graph.nbr))
    assert first is not None
    cost = price(graph, first, deadline=math.inf if small else begun + seconds)
    if cost is None:  # too wide even to be priced in time: what no order exceeds
        bits = float(graph.log2_sizes.sum())
        cost = OrderCost(bits, bits + 1.0)
    best, tried = Order(first, *cost, "min-size" if small else "sweep"), 1

    def enough_searched() -> bool:
        spent = time.monotonic() - begun
        worth = _SECONDS_A_CELL * 2.0 ** min(best.log2_total, 200.0) if trials is None else math.inf
        return spent > min(seconds, worth) or tried == trials or (enough is not None and best.log2_largest <= enough)

    candidates = _candidates(graph, scopes, begun + seconds, seed, lambda: best)
    while not enough_searched() and (found := next(candidates, None)) is not None:
        name, order = found
        tried += 1
        cost = None if order is None else price(graph, order, best.log2_total, begun + seconds)
        if order is not None and cost is not None and cost[::-1] < (best.log2_total, best.log2_largest):
            best = Order(order, *cost, name)
    return best._replace(tried=tried)


@functools.cache
def _compile() -> None:
    """Compiles the kernels, or loads them, outside the seconds that a search is given."""
    graph = adjacency(4, [(0, 1), (1, 2), (2, 3), (3, 0)])
    level = walks.levels(graph.ptr, graph.nbr)
    min_size_order(graph)
    greedy_order(graph)
    swept_order(graph, level)
    price(graph, level)


def greedy_orders(graph: Graph, count: int, random: np.random.Generator, deadline: float) -> Iterator[np.ndarray]:
    """Up to `count` orders with narrow buckets at the start, for mini-buckets: min-fill, then randomised mixtures.

    **Arguments:** `random` draws jitters; `deadline`, on time.monotonic's clock, after which no further order is begun.
    """
    if graph.n > MAX_BITSET:
        yield min_size_order(graph, deadline)
        return
    for k in range(count):
        order = greedy_order(
            graph, mix=0.01 if k < 2 else (0.0, 0.3, 1.0)[k % 3], noise=0.0 if k < 2 else 0.1,
            weighted=k == 1, jitter=random.random(graph.n), deadline=deadline if k else math.inf,
        )  # fmt: skip
        if order is not None:
            yield order
        if time.monotonic() > deadline:
            return


Candidate = tuple[str, np.ndarray | None]  # None: given up on the way


def _candidates(
    graph: Graph, scopes: Sequence[Sequence[int]], deadline: float, seed: int, best: Callable[[], Order]
) -> Iterator[Candidate]:
    """Orders to try, cheap ones first; `best()` is the best so far."""
    natural, level = np.arange(graph.n), walks.levels(graph.ptr, graph.nbr)
    yield from (("index", natural), ("reversed index", natural[::-1].copy()))
    yield from (("Cuthill–McKee", level), ("reverse Cuthill–McKee", level[::-1].copy()))
    for roots in (level, level[::-1].copy()):
        yield "sweep", swept_order(graph, roots, best().log2_total)
    if graph.n > MAX_BITSET:
        yield "min-size", min_size_order(graph, deadline)
    elif graph.n > 0:
        yield from _searched(graph, scopes, deadline, seed, best)


def _searched(
    graph: Graph, scopes: Sequence[Sequence[int]], deadline: float, seed: int, best: Callable[[], Order]
) -> Iterator[Candidate]:
    """Min-fill, then randomised mixtures without end; now and then a sweep from anywhere, and cotengra."""

    def greedy(mix: float, noise: float, weighted: bool, jitter: np.ndarray | None = None) -> np.ndarray | None:
        return greedy_order(graph, mix=mix, noise=noise, weighted=weighted, jitter=jitter,
                            ceiling=best().log2_total, deadline=deadline)  # fmt: skip

    mixed = bool(np.ptp(graph.log2_sizes) > 0)
    yield "min-fill", greedy(0.01, 0.0, False)
    if mixed:
        yield "weighted min-fill", greedy(0.01, 0.0, True)
    random = np.random.default_rng(seed)
    for k in itertools.count():
        mix, noise = (0.0, 0.3, 1.0, 3.0, math.inf)[k % 5], (0.0, 0.1, 0.3, 0.03)[k // 5 % 4]
        weighted = mixed and bool(random.random() < 0.7)
        kind = "min-size" if mix == math.inf else "weighted min-fill" if weighted else "min-fill"
        yield f"randomised {kind}", greedy(mix, noise, weighted, random.random(graph.n))
        if k % 10 == 9:
            yield "sweep", swept_order(graph, random.permutation(graph.n), best().log2_total)
        if k + 1 in _COTENGRA_AFTER or (k + 1) % _COTENGRA_AFTER[-1] == 0:
            yield "cotengra", cotengra_order(graph, scopes, best().order, seed=seed + k, deadline=deadline)


def swept_order(graph: Graph, roots: np.ndarray, ceiling: float = math.inf) -> np.ndarray | None:
    """A front swept through the graph from the first of `roots`: finds the short side of strips, cylinders and tori.

    **Returns:** the order, or None if a table over the whole front would have more than 2^ceiling entries.
    """
    order = np.empty(graph.n, np.int64)
    return order if walks.sweep(graph.ptr, graph.nbr, roots, graph.log2_sizes, float(ceiling), order) else None


def _around(graph: Graph) -> np.ndarray:
    """Sum of the log2 sizes of each variable's neighbours."""
    head = np.repeat(np.arange(graph.n), np.diff(graph.ptr))
    return np.bincount(head, graph.log2_sizes[graph.nbr], graph.n)


def _cost(size: np.ndarray) -> OrderCost:
    if not len(size):
        return OrderCost(-math.inf, -math.inf)
    top = float(size.max())
    return OrderCost(top, top + math.log2(float(np.exp2(size - top).sum())))


def _sparse_min_size(graph: Graph, deadline: float = math.inf) -> np.ndarray:
    n = graph.n
    head, after, before = np.full(4096, -1, np.int64), np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    bucket, order = np.full(n, -1, np.int64), np.empty(n, np.int64)
    quotient_graph.file_all((8.0 * (graph.log2_sizes + _around(graph))).astype(np.int64), bucket, head, after, before)
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
