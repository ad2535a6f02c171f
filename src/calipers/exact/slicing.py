"""Elimination in slices: when the tables do not fit the memory, fix a few variables and add up over their states.

    Z = Σ_s Z(x_S = s),     log Z = log Σ_s exp(log Z_s)

S is chosen greedily: in the largest bucket, the variable that leaves the least work. Each slice is a smaller model,
with zeros propagated afresh: an impossible slice costs nothing, nor do the states that a slice rules out elsewhere.
**Proves** log Z; after each slice the sum so far is a lower bound. **Cost** the slices' work, stated beforehand without
the zeros, which can only lessen it. **Source** Dechter, *Bucket elimination* (1999), §7, conditioning; Gray & Kourtis
(2021) for slicing by greedy choice.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from calipers.exact.bucket_tree import BucketTree
from calipers.exact.interaction import Graph, adjacency
from calipers.exact.kernels import ULP
from calipers.exact.ordering import best_order, price
from calipers.exact.product import ProductRun
from calipers.models.propagation import flatten
from calipers.models.reduction import Reduced, restrict

_FACTOR_CELLS = 2e3  # joint entries that take as long as the structure of a slice, per factor
_SEARCH_CELLS = 1e7  # work of a slice from which its own order is looked for


class Slices(NamedTuple):
    """The variables to fix, the others in elimination order, how many slices, and the tree of one without its zeros."""

    fixed: tuple[int, ...]
    order: np.ndarray
    number: int
    tree: BucketTree

    @property
    def cells(self) -> float:
        """Joint entries of all slices."""
        return self.number * self.tree.cells


def choose(
    sizes: np.ndarray, scopes: Sequence[tuple[int, ...]], order: np.ndarray, memory: float, most: float
) -> Slices | None:
    """Fixes variables until one slice fits `memory` bytes; None if that takes more than `most` joint entries in all."""
    graph, count = adjacency(len(sizes), scopes, sizes), 1
    fixed: list[int] = []
    while True:
        left = np.asarray(sizes, np.int64).copy()
        left[fixed] = 1
        tree = BucketTree.build(left, list(scopes), order, keep=False)
        if count * tree.cells > most:
            return None
        if tree.bytes <= memory or tree.log2_size == 0.0:
            rest = order[~np.isin(order, fixed)]
            return Slices(tuple(fixed), rest, count, tree)
        widest = tree.buckets[int(np.argmax(tree.joint_cells))]
        inside = [v for v in (widest.variable, *widest.rest) if left[v] > 1]
        fixed.append(min(inside, key=lambda v: _work(graph, order, [*fixed, v])))
        count *= int(sizes[fixed[-1]])


def _work(graph: Graph, order: np.ndarray, fixed: list[int]) -> float:
    """log2 of the work of all slices along `order`, if these variables are fixed."""
    keep = np.setdiff1d(np.arange(graph.n), fixed)
    place = np.full(graph.n, -1, np.int64)
    place[keep] = np.arange(len(keep))
    rest = place[order]
    cost = price(graph.induced(keep), rest[rest >= 0])
    assert cost is not None
    return cost.log2_total + float(graph.log2_sizes[fixed].sum())


def slices(reduced: Reduced, fixed: Sequence[int]) -> Iterator[Reduced | None]:
    """Every slice that may have weight, reduced; None for each that propagation kills, as early as it does."""
    graph = reduced.model
    flat = flatten(graph)
    states = [np.arange(k) for k in graph.sizes]

    def below(depth: int, inner: Reduced) -> Iterator[Reduced | None]:
        if inner.log_constant == -math.inf:
            yield from [None] * math.prod(graph.sizes[v] for v in fixed[depth:])
        elif depth == len(fixed):
            yield inner
        else:
            v = fixed[depth]
            for state in range(graph.sizes[v]):
                states[v] = np.array([state])
                yield from below(depth + 1, restrict(graph, states, flat))
            states[v] = np.arange(graph.sizes[v])

    yield from below(0, restrict(graph, states, flat))


def sampled_cells(reduced: Reduced, sliced: Slices, samples: int = 12) -> float:
    """About how many joint entries all slices have once zeros have done their work, from a few slices at random."""
    graph, flat, random = reduced.model, flatten(reduced.model), np.random.default_rng(0)
    total = 0.0
    for _ in range(samples):
        states = [np.arange(k) for k in graph.sizes]
        for v in sliced.fixed:
            states[v] = random.integers(0, graph.sizes[v], 1)
        part = restrict(graph, states, flat)
        if part.log_constant > -math.inf:
            total += _tree(part, sliced.order).cells + _FACTOR_CELLS * len(graph.scopes)
    return sliced.number * total / samples


def _tree(part: Reduced, order: np.ndarray) -> BucketTree:
    """The tree of one slice along what is left of the order."""
    place = {int(v): i for i, v in enumerate(part.variables)}
    own = np.array([place[v] for v in order.tolist() if v in place], np.int64)
    return BucketTree.build(part.model.domains, list(part.model.scopes), own, keep=False)


def eliminate_slice(part: Reduced, order: np.ndarray, memory: float) -> tuple[float, float]:
    """log Z of one slice, and its rounding; along `order`, or a better one if the slice is worth a search."""
    sizes, scopes, tree = part.model.domains, list(part.model.scopes), _tree(part, order)
    if tree.cells > _SEARCH_CELLS:
        found = BucketTree.build(sizes, scopes, best_order(sizes, scopes, seconds=0.05).order, keep=False)
        tree = found if found.cells < tree.cells and found.bytes <= memory else tree
    run = ProductRun(tree, list(part.model.log_tables()))
    value = run.forward() + part.log_constant
    return value, run.error + part.error + (ULP * abs(value) if math.isfinite(value) else 0.0)


class Sum(NamedTuple):
    """log Σ exp(values), and its rounding, of the slices so far."""

    value: float = -math.inf
    error: float = 0.0

    def plus(self, value: float, error: float) -> "Sum":
        """With one more slice: relative errors of positive terms are at most the larger one, and the sum's own."""
        if value == -math.inf:
            return self
        low, high = sorted((self.value, value))
        total = high + math.log1p(math.exp(low - high))
        return Sum(total, max(self.error, error) + ULP * (4.0 + 2.0 * abs(total) + abs(high)))
