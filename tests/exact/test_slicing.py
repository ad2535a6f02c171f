"""Elimination in slices: the same value and bounds on the way, memory kept, dead slices skipped."""

import math

import numpy as np
import pytest
from hypothesis import given
from tests.strategies import factor_graphs

import calipers as cal
from calipers.core.iterate import iterate, log_z
from calipers.core.method import Limits, Refusal
from calipers.exact import elimination, slicing
from calipers.exact.elimination import plan_order
from calipers.exact.enumeration import enumerate_all
from calipers.exact.ordering import Order
from calipers.exact.slicing import Sum, eliminate_slice, slices
from calipers.models.reduction import reduce


@given(factor_graphs())
def test_slices_add_up_to_enumeration(graph):
    reduced, truth = reduce(graph), enumerate_all(graph)[0]
    if reduced.log_constant == -math.inf:
        return
    total, parts = Sum(), list(slices(reduced, range(min(2, reduced.model.n))))
    assert len(parts) == math.prod(reduced.model.sizes[:2])
    for part in parts:
        if part is not None:
            total = total.plus(*eliminate_slice(part, np.arange(reduced.model.n), math.inf))
    value = total.value + reduced.log_constant
    assert value == truth or abs(value - truth) <= total.error + reduced.error + 1e-12 * max(1.0, abs(truth))


def test_less_memory_more_slices_the_same_answer():
    torus = cal.Ising.square((8, 8), coupling="gauss:1", beta=1.0, seed=3)
    whole = log_z(torus, cal.Elimination())
    small = log_z(torus, cal.Elimination(), memory=0.2 * whole.plan.bytes)
    assert "slices" in str(small.plan)
    assert small.plan.bytes <= 0.2 * whole.plan.bytes
    assert small.stats["slices"] > 1
    assert small.exact
    assert whole.lower.value <= small.upper.value
    assert small.lower.value <= whole.upper.value


def test_every_slice_raises_a_true_lower_bound():
    torus = cal.Ising.square((6, 6), coupling="gauss:1", beta=1.0, seed=3)
    whole = log_z(torus, cal.Elimination())
    seen = [a.lower.value for a in iterate(torus, cal.Elimination(), limits=Limits(memory=0.2 * whole.plan.bytes))]
    assert len(seen) > 4
    assert seen == sorted(seen)
    assert all(low <= whole.upper.value for low in seen)


def test_propagation_kills_slices():
    """One of eight states is allowed at each site, and equal everywhere: all slices but eight are dead at once."""
    n = 6
    equal = np.where(np.eye(8), 0.0, -np.inf)
    graph = cal.FactorGraph((8,) * n, tuple((i, i + 1) for i in range(n - 1)), (equal,) * (n - 1))
    parts = list(slices(reduce(graph), (0, 3)))
    assert len(parts) == 64
    assert sum(p is not None for p in parts) == 8


def test_it_refuses_slices_that_take_too_long_and_marginals_that_do_not_fit():
    torus = cal.Ising.square((12, 12), coupling="gauss:1", beta=1.0, seed=3)
    with pytest.raises(Refusal, match="slices too much time"):
        log_z(torus, cal.Elimination(order_seconds=0.05), memory=1e3, time_limit=2.0)
    with pytest.raises(Refusal, match="marginals need too much memory"):
        plan_order(
            reduce(torus.factor_graph()), Order(np.arange(144), 20.0, 26.0, "index"), Limits(memory=1e6, beliefs=True)
        )


def test_zeros_make_slices_cheaper_than_one_piece(monkeypatch):
    """Six states, equal at all of five sites: one fixed site determines the others, as the sample of slices says."""
    monkeypatch.setattr(elimination, "_WORTH_SLICING", 0.0)
    monkeypatch.setattr(elimination, "_CACHE", 8.0 * 6**3)
    monkeypatch.setattr(slicing, "_FACTOR_CELLS", 0.0)
    random = np.random.default_rng(0)
    pairs = tuple((i, j) for i in range(5) for j in range(i))
    equal = tuple(np.where(np.eye(6), random.normal(size=(6, 6)), -np.inf) for _ in pairs)
    graph = cal.FactorGraph((6,) * 5, pairs, equal)
    sliced = log_z(graph, cal.Elimination())
    assert "because of zeros" in str(sliced.plan)
    assert sliced.exact
    truth = enumerate_all(graph)[0]
    assert sliced.lower.value <= truth + 1e-12
    assert truth - 1e-12 <= sliced.upper.value
