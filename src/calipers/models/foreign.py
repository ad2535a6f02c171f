"""Ising parameters of other libraries' objects, and back: networkx graphs and dimod binary quadratic models.

Reading needs only the object; writing imports the library, an optional extra.
dimod minimises E = Σ h s + Σ J s s + offset, so couplings and fields change sign; x ∈ {0, 1} is s = 2x − 1.
"""

import importlib
import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

Labels = Sequence[Hashable] | None


def extra(module: str, name: str) -> Any:
    """An optional library.

    **Raises:** `ImportError` that names the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"this needs {module}; install it with: pip install 'calipers[{name}]'") from error


def networkx_arrays(graph: Any, coupling: str, field: str, beta: float | None) -> dict[str, Any]:
    """What `Ising.from_arrays` takes, of an undirected networkx graph."""
    if graph.is_directed():
        raise ValueError("a magnet needs an undirected graph, but a directed one came; use graph.to_undirected()")
    labels = tuple(graph.nodes)
    place = {label: i for i, label in enumerate(labels)}
    edges = [(place[u], place[v]) for u, v in graph.edges()]
    couplings = [_number(J, f"{coupling} of edge {u!r}–{v!r}") for u, v, J in graph.edges(data=coupling, default=1.0)]
    fields = [_number(h, f"{field} of node {u!r}") for u, h in graph.nodes(data=field, default=0.0)]
    return {
        "edges": np.array(edges, np.int64).reshape(-1, 2),
        "couplings": np.array(couplings, np.float64),
        "fields": np.array(fields, np.float64),
        "beta": _number(graph.graph.get("beta", 1.0) if beta is None else beta, "beta"),
        "offset": _number(graph.graph.get("offset", 0.0), "offset"),
        "labels": labels,
    }


def networkx_graph(
    edges: np.ndarray, couplings: np.ndarray, fields: np.ndarray, labels: Labels, beta: float, offset: float
) -> Any:
    """An undirected graph with attributes `coupling`, `field`, and its own `beta` and `offset`."""
    graph = extra("networkx", "graphs").Graph(beta=float(beta), offset=float(offset))
    names = list(range(len(fields))) if labels is None else list(labels)
    graph.add_nodes_from((name, {"field": h}) for name, h in zip(names, fields.tolist(), strict=True))
    pairs = zip(edges.tolist(), couplings.tolist(), strict=True)
    graph.add_edges_from((names[i], names[j], {"coupling": J}) for (i, j), J in pairs)
    return graph


def bqm_arrays(bqm: Any) -> dict[str, Any]:
    """What `Ising.from_arrays` takes, of a dimod model, at β = 1."""
    found = bqm.spin.to_numpy_vectors(return_labels=True, sort_labels=False)
    (rows, columns, biases) = found.quadratic
    return {
        "edges": np.stack([rows, columns], axis=1).astype(np.int64),
        "couplings": 0.0 - np.asarray(biases, np.float64),  # 0 − J, so that no zero becomes −0
        "fields": 0.0 - np.asarray(found.linear_biases, np.float64),
        "offset": float(found.offset),
        "labels": tuple(found.labels),
    }


def bqm_object(edges: np.ndarray, couplings: np.ndarray, fields: np.ndarray, labels: Labels, offset: float) -> Any:
    """A dimod model over spins."""
    dimod = extra("dimod", "bqm")
    names = list(range(len(fields))) if labels is None else list(labels)
    quadratic = (edges[:, 0], edges[:, 1], 0.0 - couplings)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        0.0 - fields, quadratic, float(offset), "SPIN", variable_order=names
    )


def _number(value: Any, what: str) -> float:
    """`value` as a finite float."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} is {value!r}; a finite number is needed")
    return number
