"""Elimination orders: what exact inference costs, and how to make it cheap.

Eliminating the variables in an order π builds one joint table a variable, over it and the later variables that share a
factor or an earlier table with it. The largest table decides memory, the sum of all tables time; both depend on π only.
The least cost is NP-hard to find; `best_order` tries the cheap classics first, then randomised greedy orders, and
keeps the one with the least total. Proves nothing: any order is correct, a poor one is dear.

Cost: min-size on 10⁴ sparse variables a tenth of a second, min-fill a few; symbolic pricing O(fill).
Fails: never to return an order; graphs above 20 000 variables get no fill-based one (n² bits).
Source: Kjærulff, *Triangulation of graphs* (1990); Gogate & Dechter (UAI 2004) for randomised min-fill; cotengra
(Gray & Kourtis, Quantum 5, 410, 2021) for contraction trees.
"""

import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from calipers.exact import graph_orders as kernels

MAX_BITSET = 20_000  # variables: 50 MB of bits
_WORK = 100_000_000  # word operations a kernel call: below half a second
_SECONDS_A_CELL = 3e-8  # of elimination, a few passes: no search is worth more than the run that it shortens
_MIN_SIZE = 1e6  # a mix that means: no fill at all


class OrderCost(NamedTuple):
    """What an order costs: log2 entries of the largest joint table (the eliminated variable included) and of all tables."""

    log2_largest: float
    log2_total: float


class Order(NamedTuple):
    """An elimination order, its cost, the heuristic that found it and how many orders were tried."""

    order: np.ndarray
    log2_largest: float
    log2_total: float
    heuristic: str
    tried: int = 1


class Graph(NamedTuple):
    """An interaction graph: the neighbours of v are `nbr[ptr[v]:ptr[v + 1]]`, ascending; `log2_sizes` of the variables."""

    ptr: np.ndarray
    nbr: np.ndarray
    log2_sizes: np.ndarray

    @property
    def n(self) -> int:
        """Number of variables."""
        return len(self.log2_sizes)

    def induced(self, keep: np.ndarray) -> "Graph":
        """The graph on the variables `keep` alone, relabelled by their place there."""
        place = np.full(self.n, -1, np.int64)
        place[keep] = np.arange(len(keep))
        counts = self.ptr[keep + 1] - self.ptr[keep]
        ends = np.cumsum(counts)
        picks = np.arange(counts.sum()) + np.repeat(self.ptr[keep] - (ends - counts), counts)
        head, tail = np.repeat(np.arange(len(keep)), counts), place[self.nbr[picks]]
        return _csr(head[tail >= 0], tail[tail >= 0], self.log2_sizes[keep])


def adjacency(n: int, scopes: Sequence[Sequence[int]], sizes: Sequence[int] | None = None) -> Graph:
    """The interaction graph: variables are adjacent when some scope holds both. `sizes` default to two states each."""
    pairs = [np.zeros(0, np.int64)]
    by_arity: dict[int, list[Sequence[int]]] = {}
    for scope in scopes:
        by_arity.setdefault(len(scope), []).append(scope)
    for k, group in by_arity.items():
        if k < 2:
            continue
        table = np.array(group, np.int64)
        i, j = np.triu_indices(k, 1)
        pairs.append((table[:, i] * n + table[:, j]).ravel())
    codes = np.concatenate(pairs)
    codes = np.unique(np.concatenate([codes, codes % max(n, 1) * n + codes // max(n, 1)]))
    log2_sizes = np.ones(n) if sizes is None else np.log2(np.asarray(sizes, np.float64).reshape(n))
    return _csr(codes // max(n, 1), codes % max(n, 1), log2_sizes)


def order_cost(sizes: Sequence[int], scopes: Sequence[Sequence[int]], order: Sequence[int]) -> OrderCost:
    """What eliminating in `order` costs.

    **Arguments:** `sizes`, states of each variable; `scopes`, variables of each factor; `order`, every variable once.

    **Returns:** `OrderCost`; both −inf without variables.

    **Raises:** `ValueError` when `order` is not a permutation of the variables.
    """
    order = np.asarray(order, np.int64)
    if not np.array_equal(np.sort(order), np.arange(len(sizes))):
        raise ValueError(f"the order must hold each of the {len(sizes)} variables once; it has {len(order)} entries")
    cost = price(adjacency(len(sizes), scopes, sizes), order)
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
        start = kernels.symbolic(
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
    fill edge counts the product of its ends' log2 sizes; `limit`, the log2 largest table allowed; `ceiling`, the log2 total.

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


def min_size_order(graph: Graph) -> np.ndarray:
    """Eliminates the variable with the smallest bucket, on bits or, for large graphs, on a quotient graph."""
    if graph.n <= MAX_BITSET:
        order = greedy_order(graph, mix=math.inf)
        assert order is not None
        return order
    return _sparse_min_size(graph)


def best_order(
    sizes: Sequence[int],
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

    **Returns:** `Order`, the least log2 total, ties to the smaller largest table.
    """
    begun = time.monotonic()
    graph = adjacency(len(sizes), scopes, sizes)
    best: Order | None = None
    tried = 0
    for name, order in _candidates(graph, scopes, begun + seconds, seed, lambda: best):
        tried += 1
        if order is not None:
            ceiling = math.inf if best is None else best.log2_total
            cost = price(graph, order, ceiling, math.inf if best is None else begun + seconds)
            if cost is not None and (best is None or cost[::-1] < (best.log2_total, best.log2_largest)):
                best = Order(order, cost.log2_largest, cost.log2_total, name)
        assert best is not None
        spent = time.monotonic() - begun
        worth = _SECONDS_A_CELL * 2.0 ** min(best.log2_total, 200.0) if trials is None else math.inf
        if spent > min(seconds, worth) or tried == trials or (enough is not None and best.log2_largest <= enough):
            break
    assert best is not None
    return best._replace(tried=tried)


def greedy_orders(graph: Graph, count: int, random: np.random.Generator, deadline: float) -> Iterator[np.ndarray]:
    """Up to `count` orders with narrow buckets at the start, for mini-buckets: min-fill, then randomised mixtures.

    **Arguments:** `random` draws jitters; `deadline`, on time.monotonic's clock, after which no further order is begun.
    """
    if graph.n > MAX_BITSET:
        yield min_size_order(graph)
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


def _candidates(graph: Graph, scopes, deadline, seed, best) -> Iterator[tuple[str, np.ndarray | None]]:
    """Orders to try, cheap ones first; None for one that was given up on the way."""
    yield "min-size", min_size_order(graph)
    natural, swept = np.arange(graph.n), kernels.levels(graph.ptr, graph.nbr)
    yield from (("index", natural), ("reversed index", natural[::-1].copy()))
    yield from (("Cuthill–McKee", swept), ("reverse Cuthill–McKee", swept[::-1].copy()))
    if graph.n > MAX_BITSET or graph.n == 0:
        return

    def greedy(mix: float, noise: float, weighted: bool, jitter: np.ndarray | None = None) -> np.ndarray | None:
        return greedy_order(graph, mix=mix, noise=noise, weighted=weighted, jitter=jitter,
                            ceiling=best().log2_total, deadline=deadline)  # fmt: skip

    mixed = bool(np.ptp(graph.log2_sizes) > 0)
    yield "min-fill", greedy(0.01, 0.0, False)
    if mixed:
        yield "weighted min-fill", greedy(0.01, 0.0, True)
    rng = np.random.default_rng(seed)
    k = 0
    while True:
        mix = (0.0, 0.3, 1.0, 3.0, math.inf)[k % 5]
        weighted = mixed and bool(rng.random() < 0.7)
        noise = (0.0, 0.1, 0.3, 0.03)[k // 5 % 4]
        kind = "min-size" if mix == math.inf else "weighted min-fill" if weighted else "min-fill"
        yield f"randomised {kind}", greedy(mix, noise, weighted, rng.random(graph.n))
        if k in _COTENGRA_AFTER:
            yield "cotengra", cotengra_order(graph, scopes, seed=seed + k, deadline=deadline)
        k += 1


_COTENGRA_AFTER = (20, 200, 2000)


def cotengra_order(graph: Graph, scopes, *, seed: int = 0, deadline: float = math.inf) -> np.ndarray | None:
    """The order in which a contraction tree of cotengra's random-greedy search sums the variables out.

    A variable is eliminated where the tree first joins all the factors that hold it. Pure Python: about a millisecond a
    ten factors and trial, so it comes after the kernels above. Returns None for graphs too large for the time left.
    """
    inputs = [tuple(scope) for scope in {frozenset(s) for s in scopes} if scope]
    if len(inputs) < 2 or 5e-4 * len(inputs) > deadline - time.monotonic():
        return None
    from cotengra.pathfinders.path_basic import optimize_random_greedy_track_flops

    size_dict = {v: int(round(2.0**s)) for v, s in enumerate(graph.log2_sizes.tolist())}
    path, _ = optimize_random_greedy_track_flops(inputs, (), size_dict, ntrials=1, seed=seed, use_ssa=True)
    return path_to_order(graph.n, inputs, path)


def path_to_order(n: int, inputs: Sequence[Sequence[int]], path: Sequence[Sequence[int]]) -> np.ndarray:
    """The elimination order of a contraction path in static single assignment form."""
    left = np.zeros(n, np.int64)
    for scope in inputs:
        left[list(scope)] += 1
    held = [dict.fromkeys(scope, 1) for scope in inputs]  # of each tensor: how many factors below hold a variable
    order = np.flatnonzero(left == 0).tolist()
    for pair in path:
        joined: dict[int, int] = {}
        for t in pair:
            for v, count in held[t].items():
                joined[v] = joined.get(v, 0) + count
        done = [v for v, count in joined.items() if count == left[v]]
        order += done
        held.append({v: count for v, count in joined.items() if count < left[v]})
    return np.array(order, np.int64)


def _csr(head: np.ndarray, tail: np.ndarray, log2_sizes: np.ndarray) -> Graph:
    ptr = np.zeros(len(log2_sizes) + 1, np.int64)
    np.cumsum(np.bincount(head, minlength=len(log2_sizes)), out=ptr[1:])
    return Graph(ptr, np.ascontiguousarray(tail, np.int64), np.ascontiguousarray(log2_sizes, np.float64))


def _around(graph: Graph) -> np.ndarray:
    """Sum of the log2 sizes of each variable's neighbours."""
    head = np.repeat(np.arange(graph.n), np.diff(graph.ptr))
    return np.bincount(head, graph.log2_sizes[graph.nbr], graph.n)


def _cost(size: np.ndarray) -> OrderCost:
    if not len(size):
        return OrderCost(-math.inf, -math.inf)
    top = float(size.max())
    return OrderCost(top, top + math.log2(float(np.exp2(size - top).sum())))


def _sparse_min_size(graph: Graph) -> np.ndarray:
    n = graph.n
    head, after, before = np.full(4096, -1, np.int64), np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    bucket, order = np.full(n, -1, np.int64), np.empty(n, np.int64)
    kernels.file_all((8.0 * (graph.log2_sizes + _around(graph))).astype(np.int64), bucket, head, after, before)
    lists, counts = graph.nbr.copy(), np.diff(graph.ptr)
    pool, used, stamp, done = np.empty(2 * graph.nbr.size + 16, np.int32), 0, 0, 0
    elements, begin, length = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    mark, dead = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    while done < n:
        pool, used, stamp, done = kernels.sparse_greedy(
            graph.ptr, lists, elements, counts, begin, length, pool, used, graph.log2_sizes, mark, stamp, dead, bucket,
            head, after, before, order, done, _WORK,
        )  # fmt: skip
    return order
