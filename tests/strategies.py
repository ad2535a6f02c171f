"""Random small models for Hypothesis: factor graphs with mixed domains, zeros and evidence; magnets of every kind."""

import numpy as np
from hypothesis import strategies as st

import calipers as cal
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


_SHAPES: dict[str, list[tuple[int, ...]]] = {
    "chain": [(1,), (2,), (3,), (9,)],
    "square": [(1, 1), (2, 2), (3, 3), (2, 5), (4, 2), (5, 1)],
    "triangular": [(3, 3), (2, 4)],
    "honeycomb": [(2, 2), (1, 4)],
    "cubic": [(2, 2, 2), (3, 1, 3), (2, 1, 4)],
    "complete": [(1,), (5,)],
    "sk": [(7,)],
    "regular": [(8,)],
}


@st.composite
def magnets(draw, kinds=tuple(_SHAPES), ferromagnetic=False):
    """An `Ising` model; with `ferromagnetic`, couplings are not negative (fields are as they come)."""
    kind = draw(st.sampled_from([kind for kind in kinds if not (ferromagnetic and kind == "sk")]))
    graph = kind in ("complete", "sk", "regular")
    laws = ["1", "0.3"] if ferromagnetic else ["1", "-0.5", "pm1", "gauss:1"]
    return cal.Ising.on(
        kind,
        draw(st.sampled_from(_SHAPES[kind])),
        coupling=draw(st.sampled_from(laws)),
        field=draw(st.sampled_from(["0", "0.3", "gauss:0.5", "pm1"])),
        beta=draw(st.sampled_from([0.0, 0.3, 1.0, 3.0])),
        periodic=True if graph else draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
        degree=3 if kind == "regular" else 0,
    )
