"""Which variables a model counter should assume early: those in the middle of a tree decomposition.

The bags of an elimination order make a tree; from its centroid, a variable's depth is that of the highest bag that
holds it. Assuming the variables of a bag makes what hangs on its sides fall apart, into components that meet again.
**Proves** nothing: any choice counts the same. **Cost** linear in the bags.
**Source** Korhonen & Järvisalo, *Integrating tree decompositions into decision heuristics of propositional model
counters* (CP 2021); the weight of depth against occurrence is theirs.
"""

import math

import numpy as np

from calipers.exact.interaction import Graph

_MOST = 12.0  # of the exponent in the weight


def guide(graph: Graph, order: np.ndarray) -> np.ndarray:
    """A score for each variable, larger the nearer it is to the centroid of the decomposition along `order`."""
    n = graph.n
    bags, parent = _bags(graph, order)
    depth = _depths(parent, _centroid(parent))
    highest = np.full(n, np.iinfo(np.int64).max)
    for bag, d in zip(bags, depth.tolist(), strict=True):
        highest[bag] = np.minimum(highest[bag], d)
    widest = max(map(len, bags), default=1)
    weight = 100.0 * math.exp(min(n / widest, _MOST)) / max(n, 1)
    return weight * (1.0 - highest / max(int(highest.max(initial=1)), 1))


def _bags(graph: Graph, order: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """For each place of the order, its variable with those it is eliminated into; and the place of the first of them.

    A root's parent is the place after it: separate trees hang together by it.
    """
    place = np.empty(graph.n, np.int64)
    place[order] = np.arange(graph.n)
    later = [set[int]() for _ in range(graph.n)]
    for v in range(graph.n):
        near = place[graph.nbr[graph.ptr[v] : graph.ptr[v + 1]]]
        later[place[v]].update(near[near > place[v]].tolist())
    parent = np.arange(1, graph.n + 1)
    for at, rest in enumerate(later):
        if rest:
            parent[at] = min(rest)
            later[parent[at]].update(rest - {int(parent[at])})
    return [order[[at, *sorted(rest)]] for at, rest in enumerate(later)], parent


def _centroid(parent: np.ndarray) -> int:
    """The node whose removal leaves the smallest largest part; parents stand after children, the root last."""
    n = len(parent)
    size, largest = np.ones(n, np.int64), np.zeros(n, np.int64)
    for at in range(n - 1):
        size[parent[at]] += size[at]
        largest[parent[at]] = max(largest[parent[at]], size[at])
    return int(np.argmin(np.maximum(largest, n - size))) if n else 0


def _depths(parent: np.ndarray, root: int) -> np.ndarray:
    """Steps from `root` to each node of the tree."""
    n = len(parent)
    depth = np.full(n, -1, np.int64)
    at, d = root, 0
    while at < n:  # up the line to the old root
        depth[at], at, d = d, int(parent[at]), d + 1
    for at in range(n - 1, -1, -1):
        if depth[at] < 0:
            depth[at] = depth[parent[at]] + 1
    return depth
