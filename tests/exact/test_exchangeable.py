"""Classes of interchangeable variables: log Z against enumeration, with zeros, mixed classes, and refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.exact.enumeration import enumerate_all
from calipers.exact.exchangeable import twins
from calipers.models.factor_graph import FactorGraph


def alike(seed: int) -> FactorGraph:
    """Up to three classes, tied inside or not, with random tables (some zeros), variables shuffled."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 4))
    members = rng.integers(1, 5, int(rng.integers(1, 4)))
    of = rng.permutation(np.repeat(np.arange(len(members)), members))

    def draw(*shape):
        return np.asarray((rng.random(shape) < 0.9) * rng.random(shape))

    factors = []
    single = [draw(k) for _ in members]
    inside = [(lambda t: t + t.T)(draw(k, k)) if rng.random() < 0.6 else None for _ in members]
    across = {(c, d): draw(k, k) if rng.random() < 0.7 else None for c in range(len(members)) for d in range(c)}
    for u in range(len(of)):
        factors.append(((u,), single[of[u]]))
        for v in range(u):
            c, d = int(of[u]), int(of[v])
            table = inside[c] if c == d else across[max(c, d), min(c, d)]
            if table is not None:
                factors.append(((u, v) if c >= d else (v, u), table))
    return FactorGraph.from_tables((k,) * len(of), factors)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_counts_are_enough(seed):
    graph = alike(seed)
    truth = enumerate_all(graph)[0]
    try:
        answer = log_z(graph, cal.Exchangeable())
    except Refusal:
        return
    assert answer.exact
    assert answer.lower.value <= truth + 1e-12 * abs(truth) if math.isfinite(truth) else answer.upper.value == -math.inf
    assert answer.value == pytest.approx(truth, abs=1e-9)


def test_it_takes_large_classes_in_no_time():
    """A complete bipartite graph, 60 by 40: two classes."""
    table = np.array([[0.1, 0.0], [-0.3, 0.2]])
    scopes = tuple((i, 60 + j) for i in range(60) for j in range(40))
    graph = FactorGraph((2,) * 100, scopes, (table,) * len(scopes))
    assert [len(c) for c in twins(graph)] == [60, 40]
    answer = log_z(graph, cal.Exchangeable())
    other = log_z(graph, cal.Tangent(), time_limit=2.0)
    above = log_z(graph, cal.MiniBucket(ibound=8), time_limit=5.0)
    assert other.lower.value <= answer.value <= above.upper.value
    assert answer.stats["classes"] == 2


def test_a_variable_that_differs_stands_alone():
    ring = FactorGraph.from_tables((2,) * 8, [((i, (i + 1) % 8), np.array([[2.0, 1.0], [1.0, 2.0]])) for i in range(8)])
    with pytest.raises(Refusal, match="interchangeable"):
        log_z(ring, cal.Exchangeable())
    three = FactorGraph.from_tables((2,) * 3, [((0, 1, 2), np.random.default_rng(0).random((2, 2, 2)))])
    with pytest.raises(Refusal, match="pairwise"):
        log_z(three, cal.Exchangeable())
