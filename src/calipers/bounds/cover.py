"""Covers: the variables parted into blocks, each small enough to eliminate exactly.

A tangent bound treats blocks as independent, so what it loses sits in the factors that cross between blocks: a cover's
`score` is the sum of their strengths, max − min of each log table, and a crossing factor with zeros (infinite strength)
is counted apart. Within `cells` joint entries a block may be as long as it likes, only not wide: strips of a grid.

Candidates: contiguous runs of an order (index, a sweep from a far corner, breadth-first), each run as long as its
elimination fits and ended where little crosses; and w-cutsets (Bidyuk & Dechter, JAIR 2007): eliminate by min-size, put
off the most entangled variable whenever no bucket fits, and repeat with those put off. A last pass moves variables to
the block that they lean on most. Proves nothing: every partition is a valid cover.

Cost: a few dozen sparse eliminations; under a second for 10⁴ sparse variables. Fails: a variable with more states than
`cells` is a block of its own, and larger than asked.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from calipers.exact import graph_orders as kernels
from calipers.exact import graph_sweeps as walks
from calipers.exact.interaction import Graph, adjacency
from calipers.exact.ordering import MAX_BITSET, greedy_order, price, swept_order

_MOVES = 200  # at most, of `_refined`
_NEAR = 3  # longer, and shorter, runs that `_well_cut` tries
_SLACK = 1e-9  # log2, for sums of logs that should be equal
_HARD = 1e3  # a factor with zeros counts as this many of the strongest others


Orders = list[np.ndarray]  # of each block, its variables in elimination order


class Cover(NamedTuple):
    """A partition of the variables into `blocks` (ascending), an elimination order of each that fits, and its score."""

    blocks: tuple[np.ndarray, ...]
    orders: tuple[np.ndarray, ...]
    score: float
    hard: int  # crossing factors with zeros: such a trial may have mass where the model has none
    crossing: int  # crossing factors
    name: str


def strengths(tables: Sequence[np.ndarray]) -> np.ndarray:
    """max − min of each log table, shape (f,): how much it can change a log weight; inf when it has zeros."""
    ranges = [float(np.max(t) - np.min(t)) if np.isfinite(t).all() else math.inf for t in tables]
    return np.array(ranges, np.float64)


def blocks(
    sizes: Sequence[int] | np.ndarray,
    scopes: Sequence[Sequence[int]],
    cells: float,
    strengths: np.ndarray | None = None,
) -> list[np.ndarray]:
    """The blocks of the best of `covers`."""
    return list(covers(sizes, scopes, cells, strengths)[0].blocks)


def covers(
    sizes: Sequence[int] | np.ndarray,
    scopes: Sequence[Sequence[int]],
    cells: float,
    strengths: np.ndarray | None = None,
    *,
    seconds: float = 1.0,
) -> list[Cover]:
    """Partitions into blocks whose exact elimination has joint tables of at most `cells` entries, best first.

    **Arguments:** `sizes`, states of each variable; `scopes`, variables of each factor; `strengths`, a number each,
    1 by default; `seconds`, after which no further candidate is begun (one always is).

    **Returns:** covers in order of fewest hard crossings, then least score.

    **Raises:** `ValueError` when `cells` < 2.
    """
    if not cells >= 2:
        raise ValueError(f"cells is {cells}; a block needs tables of at least 2 entries")
    deadline = time.monotonic() + seconds
    strength = np.ones(len(scopes)) if strengths is None else np.asarray(strengths, np.float64)
    problem = _problem(sizes, scopes, strength, math.log2(cells) + _SLACK, 0.1 * seconds)
    found: list[Cover] = []
    for name, orders in _candidates(problem):
        found.append(_cover(name, orders, problem.graph.n, scopes, strength))
        if time.monotonic() > deadline:
            break
    return sorted(found, key=lambda c: (c.hard, c.score, len(c.blocks)))


class _Problem(NamedTuple):
    """The interaction graph, the strength of each edge (as in `graph.nbr`), the log2 cells and the time allowed."""

    graph: Graph
    edge: np.ndarray
    limit: float
    seconds: float  # for refining one candidate


def _problem(
    sizes: Sequence[int] | np.ndarray,
    scopes: Sequence[Sequence[int]],
    strength: np.ndarray,
    limit: float,
    seconds: float,
) -> _Problem:
    graph = adjacency(len(sizes), scopes, sizes)
    n = max(graph.n, 1)
    top = strength[np.isfinite(strength)].max(initial=0.0)
    soft = np.where(np.isfinite(strength), strength, _HARD * (top or 1.0))
    head = np.repeat(np.arange(graph.n), np.diff(graph.ptr))
    codes, edge = head * n + graph.nbr, np.zeros(len(graph.nbr))
    by_arity: dict[int, list[int]] = {}
    for a, scope in enumerate(scopes):
        by_arity.setdefault(len(scope), []).append(a)
    for k, group in by_arity.items():
        table = np.array([scopes[a] for a in group], np.int64).reshape(len(group), k)
        for i in range(k):
            for j in range(k):
                if i != j:  # a factor of k variables shares its strength among the k − 1 edges of a tree over them
                    np.add.at(edge, np.searchsorted(codes, table[:, i] * n + table[:, j]), soft[group] * 2 / k)
    return _Problem(graph, edge, limit, seconds)


def _cover(name: str, orders: Orders, n: int, scopes: Sequence[Sequence[int]], strength: np.ndarray) -> Cover:
    """The cover with these blocks, scored."""
    lengths = np.array([len(s) for s in scopes], np.int64)
    flat = _numbered(orders, n)[np.fromiter((v for s in scopes for v in s), np.int64, int(lengths.sum()))]
    crosses = np.zeros(len(scopes), bool)
    filled = lengths > 0
    starts = (np.cumsum(lengths) - lengths)[filled]
    if len(starts):
        crosses[filled] = np.maximum.reduceat(flat, starts) != np.minimum.reduceat(flat, starts)
    cut = strength[crosses]
    hard = np.isinf(cut)
    score = float(cut[~hard].sum())
    return Cover(tuple(map(np.sort, orders)), tuple(orders), score, int(hard.sum()), int(crosses.sum()), name)


def _numbered(orders: Orders, n: int) -> np.ndarray:
    """The block of each variable."""
    block = np.zeros(n, np.int64)
    for k, order in enumerate(orders):
        block[order] = k
    return block


def _candidates(problem: _Problem) -> Iterator[tuple[str, Orders]]:
    """Pairs (name, elimination order of each block)."""
    graph = problem.graph
    if graph.n == 0:
        yield "nothing", []
        return
    by_level = walks.levels(graph.ptr, graph.nbr)
    swept = swept_order(graph, by_level)
    assert swept is not None
    for name, order in (("index", np.arange(graph.n)), ("swept", swept), ("breadth-first", by_level)):
        yield f"{name} runs", _refined(problem, _runs(problem, order))
    if graph.n <= MAX_BITSET:
        yield "cutset", _refined(problem, _cutset(problem, False))
        yield "weak cutset", _refined(problem, _cutset(problem, True))


def fitting_order(graph: Graph, limit: float) -> np.ndarray | None:
    """An order that eliminates `graph` with log2 joint tables within `limit`, if a cheap one does; one variable may."""
    if graph.n <= 1:
        return np.arange(graph.n)
    for order in (np.arange(graph.n), swept_order(graph, walks.levels(graph.ptr, graph.nbr), limit)):
        if order is not None and price(graph, order, limit) is not None:
            return order
    if graph.n > MAX_BITSET:
        return None
    greedy = (greedy_order(graph, mix=mix, limit=limit) for mix in (math.inf, 0.01))
    return next((order for order in greedy if order is not None), None)


def _runs(problem: _Problem, order: np.ndarray) -> Orders:
    """Cuts `order` into runs, each about as long as fits, ended where little strength crosses."""
    graph, n = problem.graph, problem.graph.n
    place, out = np.empty(n, np.int64), []
    place[order] = np.arange(n)
    start, guess = 0, 8
    while start < n:

        def trial(m: int, start: int = start) -> np.ndarray | None:
            run = order[start : start + m]
            found = fitting_order(graph.induced(run), problem.limit)
            return None if found is None else run[found]

        length = guess = _longest(lambda m: trial(m) is not None, n - start, guess)
        reach = min(n, start + length + length // 4 + 1)
        cuts = walks.cut_profile(graph.ptr, graph.nbr, problem.edge, order, place, start, reach)
        found = _well_cut(trial, cuts, length)
        out.append(found)
        start += len(found)
    return out


def _longest(holds: Callable[[int], bool], most: int, guess: int) -> int:
    """The largest m ≤ most with holds(m), as if monotone: gallops from `guess`, then halves. holds(1) is given."""
    low, high, step = 1, most + 1, min(max(guess, 2), most)
    while low < step < high:
        if holds(step):
            low, step = step, min(2 * step, most)
        else:
            high = step
    while high - low > max(1, low // 64):
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _well_cut(trial: Callable[[int], np.ndarray | None], cuts: np.ndarray, length: int) -> np.ndarray:
    """The order of a run of about `length` whose cut is small; cuts[m − 1] is what a run of m shares with what follows.

    Longer runs that end with a row, say, may fit although ragged ones do not: the few best cut are tried.
    """
    beyond = np.arange(length + 1, len(cuts) + 1)
    near = np.arange(max(1, math.ceil(0.8 * length)), length)
    best = [sorted(m[np.lexsort((-m, cuts[m - 1].round(9)))][:_NEAR].tolist(), reverse=True) for m in (beyond, near)]
    here = cuts[length - 1] if length < len(cuts) else -1.0  # nothing beats taking everything
    for m in [m for m in best[0] if cuts[m - 1] <= here] + [m for m in best[1] if cuts[m - 1] < here * (1 - 1e-9)]:
        order = trial(m)
        if order is not None:
            return order
    order = trial(length)
    assert order is not None
    return order


def _cutset(problem: _Problem, weak: bool) -> Orders:
    """Rounds of w-cutset: each round keeps what eliminates within the limit and leaves the rest to the next."""
    graph = problem.graph
    left, out = np.arange(graph.n), []
    pull = np.bincount(np.repeat(np.arange(graph.n), np.diff(graph.ptr)), problem.edge, graph.n)
    while len(left):
        part = graph.induced(left)
        cost = np.maximum(pull[left], 1e-300) if weak else np.ones(len(left))
        order, kept = kernels.cutset(kernels.bitset(part.ptr, part.nbr), part.log2_sizes, cost, problem.limit)
        out.append(left[order[:kept]])
        left = np.sort(left[order[kept:]])
    return out


def _refined(problem: _Problem, orders: Orders) -> Orders:
    """Moves variables to the block that they are tied to most strongly, while it still fits."""
    graph, block = problem.graph, _numbered(orders, problem.graph.n)
    head = np.repeat(np.arange(graph.n), np.diff(graph.ptr))
    own = np.bincount(head, np.where(block[head] == block[graph.nbr], problem.edge, 0.0), graph.n)
    lean = np.bincount(head, problem.edge, graph.n) - 2 * own  # positive: more strength crosses than stays
    until = time.monotonic() + problem.seconds
    leaning, orders = np.argsort(-lean, kind="stable"), list(orders)
    for v in leaning[lean[leaning] > 0][:_MOVES].tolist():
        if time.monotonic() > until:
            break
        around = slice(graph.ptr[v], graph.ptr[v + 1])
        ties = np.bincount(block[graph.nbr[around]], problem.edge[around], len(orders))
        target, source = int(np.argmax(ties)), int(block[v])
        if ties[target] <= ties[source] * (1 + 1e-12):
            continue
        joined = np.sort(np.append(orders[target], v))
        found = fitting_order(graph.induced(joined), problem.limit)
        if found is not None:  # the block left behind eliminates in what remains of its order
            block[v], orders[target], orders[source] = target, joined[found], orders[source][orders[source] != v]
    return [order for order in orders if len(order)]
