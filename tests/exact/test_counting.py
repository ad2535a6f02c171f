"""Model counting against enumeration and elimination; refusals; a full cache."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.exact.counting import Counter, guidance_of
from calipers.exact.enumeration import enumerate_all
from calipers.exact.weighted_formula import weighted_formula
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import as_reduced


def constraints(seed: int) -> FactorGraph:
    """Random constraints over mixed domains, each with a constant; often disconnected, sometimes impossible."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    sizes = rng.integers(1, 4, n)
    factors = []
    for _ in range(int(rng.integers(0, 2 * n))):
        scope = rng.permutation(n)[: rng.integers(0, min(n, 4) + 1)]
        factors.append((scope, (rng.random(sizes[scope]) < 0.75) * rng.random()))
    return FactorGraph.from_tables(sizes, factors, evidence={0: 0} if seed % 4 == 0 else {})


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_counts_what_enumeration_counts(seed):
    graph = constraints(seed)
    truth = enumerate_all(graph)[0]
    answer = log_z(graph, cal.ModelCounting())
    assert answer.value == pytest.approx(truth, abs=1e-10)
    assert answer.lower.value <= truth + 1e-12 * abs(truth) if math.isfinite(truth) else answer.upper.value == -math.inf
    reduced = as_reduced(graph)
    if reduced.log_constant > -math.inf and reduced.model.n:  # without probing, the search itself does the work
        assert Counter(weighted_formula(reduced.model), 1e9).count() + reduced.log_constant == pytest.approx(
            truth, abs=1e-10
        )


def test_weights_of_single_variables_count():
    rng = np.random.default_rng(3)
    ring = [((i, (i + 1) % 6), np.array([[1.0, 1.0], [1.0, 0.0]])) for i in range(6)]
    graph = FactorGraph.from_tables((2,) * 6, ring)
    single = FactorGraph(
        graph.sizes, (*graph.scopes, (0,), (3,)), (*graph.tables, rng.normal(size=2), rng.normal(size=2))
    )
    counter = Counter(weighted_formula(single), 1e9)
    assert counter.count() == pytest.approx(enumerate_all(single)[0], abs=1e-12)
    assert counter.decisions > 0


def test_a_wide_grid_of_exclusions_agrees_with_elimination():
    """Independent sets of a grid: one value, no unit clause, components that fall apart."""
    exclude = np.array([[1.0, 1.0], [1.0, 0.0]])
    edges = [
        (5 * i + j, 5 * i + j + d)
        for i in range(5)
        for j in range(5)
        for d in (1, 5)
        if (d == 5 and i < 4) or (d == 1 and j < 4)
    ]
    graph = FactorGraph.from_tables((2,) * 25, [(e, exclude) for e in edges])
    assert log_z(graph, cal.ModelCounting()).value == pytest.approx(math.log(55447), abs=1e-10)  # OEIS A006506
    small = Counter(weighted_formula(as_reduced(graph).model), 4000.0)
    assert small.count() == pytest.approx(math.log(55447), abs=1e-10)
    assert small.cached < 20  # it forgot, and counted again


def test_models_without_zeros_are_refused():
    with pytest.raises(Refusal, match="zeros"):
        log_z(cal.Ising.square((3, 3), beta=0.4), cal.ModelCounting())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_soft_tables_count_by_their_weights(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    sizes, factors = rng.integers(1, 4, n), []
    for _ in range(int(rng.integers(1, 2 * n + 1))):
        scope = rng.permutation(n)[: rng.integers(0, min(n, 3) + 1)]
        shape = sizes[scope]
        factors.append((scope, (rng.random(shape) < 0.7) * np.exp(rng.integers(-2, 3, shape) * rng.random())))
    graph = FactorGraph.from_tables(sizes, factors)
    truth = enumerate_all(graph)[0]
    reduced = as_reduced(graph)
    if reduced.log_constant > -math.inf and reduced.model.n:
        counter = Counter(weighted_formula(reduced.model), 1e7)
        value = counter.count() + reduced.log_constant
        assert value == pytest.approx(truth, abs=1e-10)
        assert not math.isfinite(truth) or abs(value - truth) <= counter.error + reduced.error + 1e-12 * abs(truth)


def test_learned_clauses_and_forgetting_leave_the_count_alone():
    """Random clauses near the threshold: many contradictions, empty branches beside counted components."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n, factors = 14, []
        for _ in range(int(rng.integers(30, 58))):
            table = np.ones((2, 2, 2))
            table[tuple(rng.integers(0, 2, 3))] = 0.0
            factors.append((rng.permutation(n)[:3], table))
        for i in range(0, n, 3):
            factors.append(((i,), rng.random(2) + 0.1))
        graph = FactorGraph.from_tables((2,) * n, factors)
        truth = enumerate_all(graph)[0]
        reduced = as_reduced(graph)
        if reduced.log_constant > -math.inf and reduced.model.n:
            formula = weighted_formula(reduced.model)
            for memory in (1e7, 3000.0):
                for guidance in (None, guidance_of(formula, 0.1)):
                    count = Counter(formula, memory, guidance).count()
                    assert count + reduced.log_constant == pytest.approx(truth, abs=1e-10)
