"""Where a trial may live when factors have zeros: a restriction of the domains that no crossing factor forbids.

A trial that is independent between blocks has a finite bound only if every factor with zeros lies inside one block.
Variables of such factors that would cross are clamped to a feasible configuration, in batches; after each batch zeros
are propagated, which often frees the rest. Restricting the support only loses mass, so the bound stays a bound.
"""

from typing import NamedTuple

import numpy as np

from calipers.exact.graph_orders import bitset, cutset
from calipers.exact.interaction import adjacency
from calipers.models.propagation import flatten
from calipers.models.reduction import Reduced, restrict


class Softened(NamedTuple):
    """A restricted model, and what `softened` says of it."""

    reduced: Reduced
    first_order: np.ndarray
    outside: np.ndarray


def hard_variables(reduced: Reduced) -> np.ndarray:
    """Which variables of the reduced model are in a factor with zeros, shape (m,), bool."""
    hard = np.zeros(reduced.model.n, bool)
    for scope, table in zip(reduced.model.scopes, reduced.model.tables, strict=True):
        if np.isneginf(table).any():
            hard[list(scope)] = True
    return hard


def softened(reduced: Reduced, point: np.ndarray, cells: float, cost: np.ndarray) -> Softened:
    """Clamps variables to `point` until all factors with zeros fit inside one block of `cells` entries.

    **Arguments:** `point`, a feasible configuration of the original model, shape (n,); `cost`, positive, shape (n,):
    how much it would hurt to clamp each original variable.

    **Returns:** the restricted model; an elimination order of its first block, within `cells`; and the variables
    outside it, none of which is in a factor with zeros.
    """
    flat, limit = flatten(reduced.original), float(np.log2(cells)) + 1e-9
    while True:
        model = reduced.model
        graph = adjacency(model.n, model.scopes, model.sizes)
        price = cost[reduced.variables]
        order, kept = cutset(bitset(graph.ptr, graph.nbr), graph.log2_sizes, price, limit)
        removed = order[kept:][::-1]  # the most entangled first
        crossing = removed[hard_variables(reduced)[removed]]
        if len(crossing) == 0:
            return Softened(reduced, order[:kept], np.sort(removed))
        states = list(reduced.states)
        for v in reduced.variables[crossing[: 1 + len(crossing) // 8]].tolist():
            states[v] = np.array([point[v]])
        reduced = restrict(reduced.original, states, flat)
