"""Couplings and fields of a factor graph over binary variables with at most two in a factor.

    log f(s, t) = c + a s + b t + J s t,   J = ¼[(f₊₊ − f₊₋) + (f₋₋ − f₋₊)],  a, b, c alike, on logs

An identity: nothing is approximated; each weight comes back up to rounding. A table made of βJ s t alone gives back
exactly βJ and no fields. Cost: linear in the tables.
"""

from typing import NamedTuple

import numpy as np

from calipers.models.factor_graph import FactorGraph


class Pairwise(NamedTuple):
    """Parameters at β = 1: `edges` (m, 2) as the factors came, `couplings` (m,), `fields` (n,), `offset`, an energy."""

    edges: np.ndarray
    couplings: np.ndarray
    fields: np.ndarray
    offset: float


def pairwise_parameters(graph: FactorGraph) -> Pairwise | str:
    """Reads off couplings and fields; β is multiplied in.

    **Returns:** a sentence that says why not, when the graph is not of this kind.
    """
    why_not = _why_not(graph)
    if why_not is not None:
        return why_not
    tables = graph.log_tables()
    by_length: tuple[list[int], list[int], list[int]] = ([], [], [])
    for a, scope in enumerate(graph.scopes):
        by_length[len(scope)].append(a)
    if not all(np.isfinite(table).all() for table in tables):
        return "a factor has a zero"
    edges = np.array([graph.scopes[a] for a in by_length[2]], np.int64).reshape(-1, 2)
    sites = np.array([graph.scopes[a][0] for a in by_length[1]], np.int64)
    pair = np.array([tables[a] for a in by_length[2]], np.float64).reshape(-1, 4).T
    unary = np.array([tables[a] for a in by_length[1]], np.float64).reshape(-1, 2).T
    first = ((pair[0] - pair[2]) + (pair[1] - pair[3])) / 4
    second = ((pair[0] - pair[1]) + (pair[2] - pair[3])) / 4
    ends = np.concatenate([sites, edges[:, 0], edges[:, 1]])
    shares = np.concatenate([(unary[0] - unary[1]) / 2, first, second])
    fields = np.bincount(ends, shares, graph.n).astype(np.float64)
    couplings = ((pair[0] - pair[1]) + (pair[3] - pair[2])) / 4
    constant = sum(float(tables[a]) for a in by_length[0])
    constant += float((unary[0] + unary[1]).sum() / 2 + ((pair[0] + pair[1]) + (pair[2] + pair[3])).sum() / 4)
    return Pairwise(edges, couplings, fields, -constant if constant else 0.0)


def _why_not(graph: FactorGraph) -> str | None:
    if graph.evidence:
        return "it carries evidence; reduce it first"
    if any(size != 2 for size in graph.sizes):
        return "a variable is not binary"
    if any(len(scope) > 2 for scope in graph.scopes):
        return "a factor has more than two variables"
    return None
