"""Where a trial may live when factors have zeros: a restriction of the domains that no crossing factor forbids.

A trial that is independent between blocks has a finite bound only if every factor with zeros lies inside one block.
Variables of such factors that would cross are clamped to a feasible configuration, in batches; after each batch zeros
are propagated, which often frees the rest. Restricting the support only loses mass, so the bound stays a bound.
"""

import numpy as np

from calipers.exact import graph_orders
from calipers.exact.ordering import Graph, adjacency
from calipers.models.propagation import flatten
from calipers.models.reduction import Reduced, restrict


def hard_variables(reduced: Reduced) -> np.ndarray:
    """Which variables of the reduced model are in a factor with zeros, shape (m,), bool."""
    hard = np.zeros(reduced.model.n, bool)
    for scope, table in zip(reduced.model.scopes, reduced.model.tables, strict=True):
        if np.isneginf(table).any():
            hard[list(scope)] = True
    return hard


def softened(reduced: Reduced, point: np.ndarray, cells: float, cost: np.ndarray) -> tuple[Reduced, np.ndarray]:
    """Clamps variables to `point` until all factors with zeros fit inside one block of `cells` entries.

    **Arguments:** `point`, a feasible configuration of the original model, shape (n,); `cost`, positive, shape (n,): how
    much it would hurt to clamp each original variable.

    **Returns:** the restricted model, and the variables removed from its first block: none is in a factor with zeros.
    """
    flat = flatten(reduced.original)
    while True:
        model = reduced.model
        graph = adjacency(model.n, model.scopes, model.sizes)
        price = cost[reduced.variables]
        removed = _cutset(graph, cells, price)
        crossing = removed[hard_variables(reduced)[removed]]
        if len(crossing) == 0:
            return reduced, removed
        states = list(reduced.states)
        for v in reduced.variables[crossing[: 1 + len(crossing) // 16]].tolist():
            states[v] = np.array([point[v]])
        reduced = restrict(reduced.original, states, flat)


def _cutset(graph: Graph, cells: float, price: np.ndarray) -> np.ndarray:
    """Variables without which `graph` eliminates in tables of at most `cells` entries, the most entangled first."""
    bits = graph_orders.bitset(graph.ptr, graph.nbr)
    order, kept = graph_orders.cutset(bits, graph.log2_sizes, price, float(np.log2(cells)) + 1e-9)
    return order[kept:][::-1].copy()
