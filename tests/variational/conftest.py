"""Random small models by seed: factor graphs with zeros and evidence, and magnets."""

from collections.abc import Callable

import numpy as np
import pytest

from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising


def _graph(seed: int, zeros: bool = True) -> FactorGraph:
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 7))
    sizes = random.integers(1, 5, n)
    holes = float(random.choice([0.0, 0.2, 0.5])) if zeros else 0.0
    factors = []
    for _ in range(int(random.integers(0, 8))):
        scope = random.permutation(n)[: random.integers(0, min(n, 3) + 1)]
        table = np.exp(random.normal(0.0, 2.0, sizes[scope]))
        factors.append((scope, np.where(random.random(table.shape) < holes, 0.0, table)))
    evidence = {0: int(random.integers(sizes[0]))} if random.random() < 0.3 else {}
    return FactorGraph.from_tables(sizes, factors, evidence=evidence)


def _magnet(seed: int) -> Ising:
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 9))
    pairs = np.array([(i, j) for i in range(n) for j in range(i + 1, n)], np.int64).reshape(-1, 2)
    edges = pairs[random.random(len(pairs)) < 0.6]
    fields = random.normal(0.0, 1.0, n) * random.integers(0, 2)
    beta, offset = float(random.choice([0.0, 0.3, 1.0, 4.0])), float(random.choice([0.0, -1.5]))
    return Ising.from_arrays(edges, random.normal(0.0, 1.0, len(edges)), fields, beta, offset)


@pytest.fixture(scope="session")
def random_graph() -> Callable[..., FactorGraph]:
    """Up to 6 variables of 1–4 states, up to 7 factors of up to 3 variables, from a seed."""
    return _graph


@pytest.fixture(scope="session")
def random_magnet() -> Callable[[int], Ising]:
    """Up to 8 spins on a random graph, with an offset now and then, from a seed."""
    return _magnet
