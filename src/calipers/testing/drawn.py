"""Small random models, one for each seed: what bounds and certificates are tried on by the thousand.

Factor graphs with domains of 1 to 4 states, zeros, constants, repeated scopes, evidence and powers, often disconnected;
magnets of both signs, with and without fields, some on lattices, some as the factor graph of a file whose tables mix
fields with couplings. At most some thousands of configurations, so that enumeration knows the truth.
"""

import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising


def drawn_model(seed: int) -> AbstractDiscreteModel:
    """The model of a seed."""
    rng = np.random.default_rng(seed)
    kind = seed % 5
    if kind < 2:
        return _factors(rng)
    if kind == 2:
        return _on_lattice(rng)
    return _magnet(rng) if kind == 3 else _mixed(_magnet(rng), rng)


def _factors(rng: np.random.Generator) -> FactorGraph:
    n = int(rng.integers(1, 8))
    sizes = rng.integers(1, 5, n) if rng.random() < 0.7 else np.full(n, 2)
    scopes = [
        tuple(rng.permutation(n)[: rng.integers(0, min(n, 4) + 1)].tolist()) for _ in range(rng.integers(0, 2 * n))
    ]
    zeros, scale = rng.choice([0.0, 0.0, 0.2, 0.5]), rng.choice([0.1, 1.0, 4.0])
    tables = []
    for scope in scopes:
        table = rng.normal(scale=scale, size=sizes[list(scope)])
        tables.append(np.where(rng.random(table.shape) < (zeros if scope else 0.0), -np.inf, table))
    beta = float(rng.choice([1.0, 1.0, 0.0, 0.5, 2.0]))
    graph = FactorGraph(tuple(sizes.tolist()), tuple(scopes), tuple(tables), beta=beta)
    return graph.condition({v: int(rng.integers(sizes[v])) for v in range(n) if rng.random() < 0.1})


def _on_lattice(rng: np.random.Generator) -> Ising:
    kind, shape = [("square", (3, 3)), ("square", (2, 5)), ("chain", (6,)), ("cubic", (2, 2, 2)), ("square", (4, 3)),
                   ("triangular", (3, 3)), ("complete", (6,))][int(rng.integers(7))]  # fmt: skip
    return Ising.on(
        kind,
        shape,
        coupling=str(rng.choice(["1", "-0.5", "pm1", "gauss:1"])),
        field=str(rng.choice(["0", "0.3", "gauss:0.5", "pm1"])),
        beta=float(rng.choice([0.0, 0.3, 1.0, 3.0])),
        periodic=bool(kind == "complete" or rng.random() < 0.5),
        seed=int(rng.integers(1000)),
    )


def _magnet(rng: np.random.Generator) -> Ising:
    n = int(rng.integers(2, 9))
    edges = [(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < rng.choice([0.3, 0.7])]
    couplings = rng.normal(scale=rng.choice([0.3, 1.0, 3.0]), size=len(edges))
    couplings = np.abs(couplings) if rng.random() < 0.4 else couplings
    fields = rng.normal(size=n) if rng.random() < 0.6 else np.zeros(n)
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    return Ising.from_arrays(pairs, couplings, fields, beta=float(rng.choice([1.0, 0.4])), offset=float(rng.normal()))


def _mixed(magnet: Ising, rng: np.random.Generator) -> FactorGraph:
    """The magnet as factors over pairs and sites, in any order of variables, fields spread over both."""
    graph, scopes, tables = magnet.factor_graph(), [], []
    for scope, table in zip(graph.scopes, graph.tables, strict=True):
        own = np.asarray(table)
        if len(scope) == 2:
            own = own + rng.normal(size=2)[:, None] + rng.normal(size=2)
            scope, own = (scope[::-1], own.T) if rng.random() < 0.5 else (scope, own)
        if len(scope) == 1 and rng.random() < 0.5:
            continue
        scopes.append(scope)
        tables.append(own)
    mixed = FactorGraph(graph.sizes, tuple(scopes), tuple(tables))
    return mixed.condition({v: int(rng.integers(2)) for v in range(mixed.n) if rng.random() < 0.15})
