"""Elimination orders: what exact inference costs, and how to make it cheap.

Eliminating the variables in an order π builds one joint table a variable, over it and the later variables that share a
factor or an earlier table with it. The largest table decides memory, the sum of all tables time; both depend on π only.
The least cost is NP-hard to find; `best_order` tries the cheap classics first, then randomised greedy orders and
contraction trees grown from them, and keeps the one with the least total. Proves nothing: any order is correct, a poor
one is dear.

Cost: what it is given, but never more than about the run that it shortens. Fails: never to
return an order; graphs above 20 000 variables get sweeps and min-size only (fill needs n² bits).
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

from calipers.exact import graph_sweeps as walks
from calipers.exact.contraction_orders import cotengra_order
from calipers.exact.interaction import Graph, adjacency
from calipers.exact.single_orders import MAX_BITSET, OrderCost, greedy_order, min_size_order, price, swept_order

_SECONDS_A_CELL = 4e-9  # of elimination, two passes: no search is worth more than the run that it shortens
_BATCH = 10  # randomised orders between two re-contractions, and to choose the start of one from


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
    if not len(sizes):
        return Order(np.zeros(0, np.int64), -math.inf, -math.inf, "min-size")
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

    def due() -> float:
        worth = _SECONDS_A_CELL * 2.0 ** min(best.log2_total, 200.0) if trials is None else math.inf
        return begun + min(seconds, worth)

    def enough_searched() -> bool:
        done = tried == trials or (enough is not None and best.log2_largest <= enough)
        return done or time.monotonic() > due()

    if not enough_searched():
        compiling = time.monotonic()
        _compile()
        begun += time.monotonic() - compiling
    candidates = _candidates(graph, scopes, due, seed, lambda: best)
    while not enough_searched() and (found := next(candidates, None)) is not None:
        name, order = found
        tried += 1
        cost = None if order is None else price(graph, order, best.log2_total, due())
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
    graph: Graph, scopes: Sequence[Sequence[int]], due: Callable[[], float], seed: int, best: Callable[[], Order]
) -> Iterator[Candidate]:
    """Orders to try, cheap ones first; `best()` is the best so far, `due()` when its search has to end."""
    natural, level = np.arange(graph.n), walks.levels(graph.ptr, graph.nbr)
    yield from (("index", natural), ("reversed index", natural[::-1].copy()))
    yield from (("Cuthill–McKee", level), ("reverse Cuthill–McKee", level[::-1].copy()))
    for roots in (level, level[::-1].copy()):
        yield "sweep", swept_order(graph, roots, best().log2_total)
    if graph.n > MAX_BITSET:
        yield "min-size", min_size_order(graph, due())
    elif graph.n > 0:
        yield from _searched(graph, scopes, due, seed, best)


def _searched(
    graph: Graph, scopes: Sequence[Sequence[int]], due: Callable[[], float], seed: int, best: Callable[[], Order]
) -> Iterator[Candidate]:
    """Min-fill, then randomised mixtures without end; now and then a sweep from anywhere, and cotengra."""

    def greedy(mix: float, noise: float, weighted: bool, jitter: np.ndarray | None = None) -> np.ndarray | None:
        return greedy_order(graph, mix=mix, noise=noise, weighted=weighted, jitter=jitter,
                            ceiling=best().log2_total, deadline=due())  # fmt: skip

    mixed = bool(np.ptp(graph.log2_sizes) > 0)
    yield "min-fill", greedy(0.01, 0.0, False)
    if mixed:
        yield "weighted min-fill", greedy(0.01, 0.0, True)
    random = np.random.default_rng(seed)
    tries, vain, rest = 0, 0, _BATCH
    for k in itertools.count():
        mix, noise = (0.0, 0.3, 1.0, 3.0, math.inf)[k % 5], (0.0, 0.1, 0.3, 0.03)[k // 5 % 4]
        weighted = mixed and bool(random.random() < 0.7)
        kind = "min-size" if mix == math.inf else "weighted min-fill" if weighted else "min-fill"
        yield f"randomised {kind}", greedy(mix, noise, weighted, random.random(graph.n))
        if k % 10 == 9:
            yield "sweep", swept_order(graph, random.permutation(graph.n), best().log2_total)
        rest -= 1
        if rest == 0:
            before = best().log2_total
            start = best().order if tries % 4 == 3 else _fresh(graph, due(), random)
            yield "cotengra", cotengra_order(graph, scopes, start, seed=seed + tries, deadline=due())
            tries += 1
            vain = 0 if best().log2_total < before else vain + 1
            rest = _BATCH * min(2 ** (vain // 4), 16)


def _fresh(graph: Graph, deadline: float, random: np.random.Generator) -> np.ndarray | None:
    """The best of a fresh batch of greedy orders: a start for cotengra.

    Fresh starts matter more than good ones: from the best order so far, the same local optimum is found again.
    """
    start, least = None, math.inf
    for _ in range(_BATCH):
        mix, noise = float(random.choice([0.0, 0.3, 1.0, 3.0])), float(random.choice([0.03, 0.1, 0.3]))
        order = greedy_order(graph, mix=mix, noise=noise, weighted=bool(random.random() < 0.7),
                             jitter=random.random(graph.n), deadline=deadline)  # fmt: skip
        cost = None if order is None else price(graph, order, deadline=deadline)
        if order is not None and cost is not None and cost.log2_total < least:
            start, least = order, cost.log2_total
    return start
