"""Random small factor graphs, zeros and evidence included, and random magnets."""

import numpy as np
from hypothesis import strategies as st

from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising


@st.composite
def factor_graphs(draw, zeros=True):
    """Up to 6 variables of 1–4 states, up to 7 factors of up to 3 variables."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
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


@st.composite
def magnets(draw):
    """Up to 8 spins on a random graph, with an offset now and then."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = int(random.integers(1, 9))
    pairs = np.array([(i, j) for i in range(n) for j in range(i + 1, n)], np.int64).reshape(-1, 2)
    edges = pairs[random.random(len(pairs)) < 0.6]
    fields = random.normal(0.0, 1.0, n) * random.integers(0, 2)
    beta, offset = float(random.choice([0.0, 0.3, 1.0, 4.0])), float(random.choice([0.0, -1.5]))
    return Ising.from_arrays(edges, random.normal(0.0, 1.0, len(edges)), fields, beta, offset)
