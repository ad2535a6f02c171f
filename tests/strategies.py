"""Random small factor graphs for Hypothesis: mixed domains, zeros, evidence, β, constants, disconnected."""

import numpy as np
from hypothesis import strategies as st

from calipers.models.factor_graph import FactorGraph


@st.composite
def factor_graphs(draw, most=7, zeros=True):
    """A factor graph of at most `most` variables with 1 to 3 states."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, most))
    sizes = rng.integers(1, 4, n)
    factors = []
    for _ in range(draw(st.integers(0, 2 * n))):
        scope = tuple(rng.permutation(n)[: rng.integers(0, min(n, 4) + 1)].tolist())
        table = rng.normal(scale=draw(st.sampled_from([0.3, 1.0, 3.0])), size=tuple(sizes[v] for v in scope))
        if zeros and draw(st.booleans()):
            table = np.where(rng.random(table.shape) < 0.25, -np.inf, table)
        factors.append((scope, np.asarray(table)))
    evidence = {int(v): int(rng.integers(sizes[v])) for v in range(n) if rng.random() < 0.1}
    beta = draw(st.sampled_from([1.0, 0.0, 0.5, 2.0]))
    graph = FactorGraph(tuple(sizes), tuple(s for s, _ in factors), tuple(t for _, t in factors), beta=beta)
    return graph.condition(evidence)
