"""Bounds on pair marginals and correlations hold against enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers.exact.enumeration import enumerate_all
from calipers.models.factor_graph import FactorGraph


def joint(graph: FactorGraph, i: int, j: int) -> np.ndarray:
    """p(x_i, x_j) by adding up all weights."""
    out = np.zeros((graph.sizes[i], graph.sizes[j]))
    for x in itertools.product(*map(range, graph.sizes)):
        out[x[i], x[j]] += math.exp(float(graph.log_weight(np.array(x))))
    return out / out.sum()


@settings(max_examples=15, deadline=None)
@given(factor_graphs(most=5))
def test_pair_bounds_hold(graph):
    assume(graph.n >= 2 and math.isfinite(enumerate_all(graph)[0]))
    i, j = 0, graph.n - 1
    truth = joint(graph, i, j)
    loose = {"upper": cal.MiniBucket(ibound=1, sweeps=2, orders=1), "lower": cal.MeanField(starts=1)}
    for methods in ({}, loose):
        bounds = cal.pair_bounds(graph, [(i, j)], time_limit=20.0, **methods)[i, j]
        assert (bounds.lower <= truth + 1e-12).all()
        assert (truth <= bounds.upper + 1e-12).all()
        same = sum(truth[s, s] for s in range(min(truth.shape)))
        assert bounds.equal[0] - 1e-12 <= same <= bounds.equal[1] + 1e-12


def test_correlations_of_a_glass():
    glass = cal.from_spec("square:4x4,J=pm1,h=gauss:0.3,beta=1,seed=2,open")
    bounds = cal.pair_bounds(glass, [(0, 1), (0, 15)], time_limit=20.0)
    for (i, j), found in bounds.items():
        truth = joint(glass.factor_graph(), i, j)
        low, high = found.correlation
        assert low - 1e-9 <= 2.0 * np.trace(truth) - 1.0 <= high + 1e-9
        assert high - low < 1e-6


def test_what_is_no_pair_is_refused():
    glass = cal.from_spec("square:3x3,open")
    with pytest.raises(ValueError, match="pair"):
        cal.pair_bounds(glass, [(2, 2)])
    nothing = FactorGraph((2, 2), ((0, 1),), (np.full((2, 2), -np.inf),))
    with pytest.raises(ValueError, match="weight zero"):
        cal.pair_bounds(nothing, [(0, 1)])
