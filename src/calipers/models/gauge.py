"""Gauge transformations: flips of spins that make all couplings of a model ferromagnetic, where there are any.

With s_i = σ_i s'_i, σ_i = ±1, couplings become σ_i σ_j J_ij and fields σ_i H_i; log Z is the same. Signs along a
spanning forest fix σ; the model is balanced (Harary 1953) iff they serve every edge. Cost: linear.
"""

import dataclasses

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from calipers.models.ising import Ising


def ferromagnetic_signs(model: Ising) -> np.ndarray | None:
    """Flips ±1 of each spin, (n,), that make all couplings ≥ 0; None when the model is frustrated."""
    couplings, edges = np.asarray(model.couplings), np.asarray(model.edges)
    if (couplings >= 0.0).all():
        return np.ones(model.n)
    signs = _signs(model.n, edges[couplings != 0.0], couplings[couplings != 0.0])
    return signs if (couplings * signs[edges[:, 0]] * signs[edges[:, 1]] >= 0.0).all() else None


def turned(model: Ising, signs: np.ndarray) -> Ising:
    """The same model in spins s'_i = σ_i s_i."""
    edges = np.asarray(model.edges)
    couplings = np.asarray(model.couplings) * signs[edges[:, 0]] * signs[edges[:, 1]]
    return dataclasses.replace(model, couplings=couplings, fields=np.asarray(model.fields) * signs)


def _signs(n: int, edges: np.ndarray, couplings: np.ndarray) -> np.ndarray:
    """σ along a spanning forest of the edges, (n,)."""
    weight = np.concatenate([couplings, couplings])
    graph = coo_array((np.abs(weight), (edges.T.ravel(), edges[:, ::-1].T.ravel())), (n, n)).tocsr()
    sign = {(int(i), int(j)): float(np.sign(c)) for (i, j), c in zip(edges.tolist(), couplings, strict=True)}
    signs = np.ones(n)
    roots = np.unique(connected_components(graph, directed=False)[1], return_index=True)[1]
    for root in roots.tolist():
        order, before = breadth_first_order(graph, root, directed=False)
        for v in order[1:].tolist():
            u = int(before[v])
            signs[v] = signs[u] * sign[min(u, v), max(u, v)]
    return signs
