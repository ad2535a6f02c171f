"""Covers: the variables parted into blocks, each small enough to eliminate exactly.

A tangent bound treats blocks as independent, so what it loses sits in the factors that cross between blocks: a cover's
`score` is the sum of their strengths, max − min of each log table, and a crossing factor with zeros (infinite strength)
is counted apart. Within `cells` joint entries a block may be as long as it likes, only not wide: strips of a grid.

Candidates: contiguous runs of an order (index, breadth-first from a far corner, elimination), each run as long as its
elimination fits; runs cut again where they cross least; and w-cutsets (Bidyuk & Dechter, JAIR 2007): eliminate by
min-size, put off the most entangled variable whenever no bucket fits, and repeat with those put off. A last pass moves
variables to the block that they lean on most. Proves nothing: every partition is a valid cover.

Cost: a few dozen sparse eliminations; under a second for 10⁴ sparse variables. Fails: a variable with more states than
`cells` is a block of its own, and larger than asked.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from calipers.exact import graph_orders as kernels
from calipers.exact.ordering import MAX_BITSET, Graph, adjacency, greedy_order, price

_MOVES = 200  # at most, of `_refined`
_BEYOND = 3  # longer runs that `_well_cut` tries
_SLACK = 1e-9  # log2, for sums of logs that should be equal
_HARD = 1e3  # a factor with zeros counts as this many of the strongest others


class Cover(NamedTuple):
    """A partition of the variables: `blocks` (ascending variables each), the strength that crosses, and how it was found."""

    blocks: tuple[np.ndarray, ...]
    score: float
    hard: int  # crossing factors with zeros: such a trial may have mass where the model has none
    crossing: int  # crossing factors
    name: str


def strengths(tables: Sequence[np.ndarray]) -> np.ndarray:
    """max − min of each log table, shape (f,): the most that leaving it out can change a log weight; inf with zeros in it."""
    ranges = [float(np.max(t) - np.min(t)) if np.isfinite(t).all() else math.inf for t in tables]
    return np.array(ranges, np.float64)


def blocks(
    sizes: Sequence[int], scopes: Sequence[Sequence[int]], cells: float, strengths: np.ndarray | None = None
) -> list[np.ndarray]:
    """The blocks of the best of `covers`."""
    return list(covers(sizes, scopes, cells, strengths)[0].blocks)


def covers(
    sizes: Sequence[int],
    scopes: Sequence[Sequence[int]],
    cells: float,
    strengths: np.ndarray | None = None,
    *,
    seconds: float = 1.0,
) -> list[Cover]:
    """Partitions into blocks whose exact elimination has joint tables of at most `cells` entries, best first.

    **Arguments:** `sizes`, states of each variable; `scopes`, variables of each factor; `strengths`, one number a factor,
    1 by default; `seconds`, after which no further candidate is begun (one always is).

    **Returns:** covers in order of fewest hard crossings, then least score.

    **Raises:** `ValueError` when `cells` < 2.
    """
    if not cells >= 2:
        raise ValueError(f"cells is {cells}; a block needs tables of at least 2 entries")
    deadline = time.monotonic() + seconds
    strength = np.ones(len(scopes)) if strengths is None else np.asarray(strengths, np.float64)
    problem = _problem(sizes, scopes, strength, math.log2(cells) + _SLACK, deadline)
    found: list[Cover] = []
    for name, block in _candidates(problem):
        found.append(_cover(name, block, scopes, strength))
        if time.monotonic() > deadline:
            break
    return sorted(found, key=lambda c: (c.hard, c.score, len(c.blocks)))


class _Problem(NamedTuple):
    """The interaction graph, the strength of each of its edges (aligned with `graph.nbr`), the log2 cells allowed, the time."""

    graph: Graph
    edge: np.ndarray
    limit: float
    deadline: float  # on time.monotonic's clock


def _problem(
    sizes: Sequence[int], scopes: Sequence[Sequence[int]], strength: np.ndarray, limit: float, deadline: float
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
    return _Problem(graph, edge, limit, deadline)


def _cover(name: str, block: np.ndarray, scopes: Sequence[Sequence[int]], strength: np.ndarray) -> Cover:
    """The cover with block[v] the block of v, scored."""
    lengths = np.array([len(s) for s in scopes], np.int64)
    flat = block[np.fromiter((v for s in scopes for v in s), np.int64, int(lengths.sum()))]
    crosses = np.zeros(len(scopes), bool)
    filled = lengths > 0
    starts = (np.cumsum(lengths) - lengths)[filled]
    if len(starts):
        crosses[filled] = np.maximum.reduceat(flat, starts) != np.minimum.reduceat(flat, starts)
    cut = strength[crosses]
    order = np.argsort(block, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(block[order])) + 1) if len(block) else []
    hard = np.isinf(cut)
    return Cover(tuple(parts), float(cut[~hard].sum()), int(hard.sum()), int(crosses.sum()), name)


def _candidates(problem: _Problem) -> Iterator[tuple[str, np.ndarray]]:
    """Pairs (name, block of each variable)."""
    graph = problem.graph
    if graph.n == 0:
        yield "nothing", np.zeros(0, np.int64)
        return
    swept = kernels.levels(graph.ptr, graph.nbr)
    runs = [("index runs", np.arange(graph.n)), ("breadth-first runs", swept)]
    for name, order in runs:
        yield name, _refined(problem, _runs(problem, order))
    if graph.n <= MAX_BITSET:
        yield "cutset", _refined(problem, _cutset(problem, False))
        yield "weak cutset", _refined(problem, _cutset(problem, True))


def fits(graph: Graph, limit: float) -> bool:
    """Whether some cheap order eliminates `graph` with log2 joint tables within `limit` (one variable always does)."""
    if graph.n <= 1:
        return True
    swept = kernels.levels(graph.ptr, graph.nbr)
    if price(graph, swept, limit) is not None or price(graph, np.arange(graph.n), limit) is not None:
        return True
    if graph.n > MAX_BITSET:
        return False
    return any(greedy_order(graph, mix=mix, limit=limit) is not None for mix in (math.inf, 0.01, 1.0))


def _runs(problem: _Problem, order: np.ndarray) -> np.ndarray:
    """Cuts `order` into runs, each about as long as fits, ended where the least strength crosses."""
    graph, n = problem.graph, problem.graph.n
    block, place = np.empty(n, np.int64), np.empty(n, np.int64)
    place[order] = np.arange(n)
    start = k = 0
    guess = 8
    while start < n:

        def holds(m: int, start: int = start) -> bool:
            return fits(graph.induced(order[start : start + m]), problem.limit)

        length = guess = _longest(holds, n - start, guess)
        reach = min(n, start + length + length // 4 + 1)
        cuts = kernels.cut_profile(graph.ptr, graph.nbr, problem.edge, order, place, start, reach)
        length = _well_cut(holds, cuts, length)
        block[order[start : start + length]] = k
        start, k = start + length, k + 1
    return block


def _longest(holds: Callable[[int], bool], most: int, guess: int) -> int:
    """The largest m ≤ most with holds(m), as if it were monotone: gallops from `guess`, then halves. holds(1) is given."""
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


def _well_cut(holds: Callable[[int], bool], cuts: np.ndarray, length: int) -> int:
    """A length near `length` whose cut is small; cuts[m − 1] is what a run of m shares with what follows.

    Longer runs at the end of a row, say, may fit although ragged ones do not: the few best cut are tried.
    """
    if len(cuts) <= length:
        return length
    beyond = np.arange(length + 1, len(cuts) + 1)
    for m in sorted(beyond[np.lexsort((-beyond, cuts[beyond - 1]))][:_BEYOND], reverse=True):
        if cuts[m - 1] <= cuts[length - 1] and holds(int(m)):
            return int(m)
    near = np.arange(max(1, math.ceil(0.8 * length)), length + 1)
    return int(near[np.lexsort((-near, cuts[near - 1].round(9)))[0]])


def _cutset(problem: _Problem, weak: bool) -> np.ndarray:
    """Blocks by rounds of w-cutset: round k keeps what eliminates within the limit and leaves the rest to round k + 1."""
    graph = problem.graph
    block = np.zeros(graph.n, np.int64)
    left, k = np.arange(graph.n), 0
    pull = np.bincount(np.repeat(np.arange(graph.n), np.diff(graph.ptr)), problem.edge, graph.n)
    while len(left):
        part = graph.induced(left)
        cost = np.maximum(pull[left], 1e-300) if weak else np.ones(len(left))
        bits = kernels.bitset(part.ptr, part.nbr)
        put_off = kernels.cutset(bits, part.log2_sizes, cost, problem.limit)
        block[left[~put_off]] = k
        left, k = left[put_off], k + 1
    return block


def _refined(problem: _Problem, block: np.ndarray) -> np.ndarray:
    """Moves variables to the block that they are tied to most strongly, while it still fits."""
    graph, block = problem.graph, block.copy()
    head = np.repeat(np.arange(graph.n), np.diff(graph.ptr))
    own = np.bincount(head, np.where(block[head] == block[graph.nbr], problem.edge, 0.0), graph.n)
    lean = np.bincount(head, problem.edge, graph.n) - 2 * own  # positive: more strength crosses than stays
    leaning = np.argsort(-lean, kind="stable")
    for v in leaning[lean[leaning] > 0][:_MOVES].tolist():
        if time.monotonic() > problem.deadline:
            break
        around = slice(graph.ptr[v], graph.ptr[v + 1])
        ties = np.bincount(block[graph.nbr[around]], problem.edge[around], int(block.max()) + 1)
        target = int(np.argmax(ties))
        if ties[target] <= ties[block[v]] * (1 + 1e-12):
            continue
        joined = np.sort(np.append(np.flatnonzero(block == target), v))
        if fits(graph.induced(joined), problem.limit):
            block[v] = target
    return np.unique(block, return_inverse=True)[1].astype(np.int64)
