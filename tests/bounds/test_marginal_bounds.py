"""Bounds on marginals hold against enumeration, whichever of the three ways they come."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers.bounds import marginal_bounds as module
from calipers.exact.enumeration import enumerate_all
from calipers.models.factor_graph import FactorGraph


def holds(bounds, truth):
    for low, p, high in zip(bounds.lower, truth, bounds.upper, strict=True):
        assert low.shape == p.shape == high.shape
        assert (low <= p + 1e-12).all()
        assert (p <= high + 1e-12).all()


@settings(max_examples=40, deadline=None)
@given(factor_graphs())
def test_exact_marginals_are_bounds(graph):
    value, _, marginals, _ = enumerate_all(graph)
    assume(math.isfinite(value))
    bounds = cal.marginal_bounds(graph, time_limit=10.0)
    holds(bounds, marginals)
    assert bounds.exact
    assert bounds.width < 1e-6


@settings(max_examples=40, deadline=None)
@given(factor_graphs())
def test_parts_bound_marginals(graph):
    value, _, marginals, _ = enumerate_all(graph)
    assume(math.isfinite(value))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_exact", lambda *_: None)
        bounds = cal.marginal_bounds(graph, time_limit=10.0, leaf_log2_size=1)
    holds(bounds, marginals)
    assert bounds.width < 1e-6


@settings(max_examples=12, deadline=None)
@given(factor_graphs(most=5))
def test_ratios_of_brackets_bound_marginals(graph):
    value, _, marginals, _ = enumerate_all(graph)
    assume(math.isfinite(value))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_exact", lambda *_: None)
        patch.setattr(module, "_by_parts", lambda *_: None)
        bounds = cal.marginal_bounds(
            graph, time_limit=20.0, upper=cal.MiniBucket(ibound=1, sweeps=2, orders=1), lower=cal.MeanField(starts=1)
        )
    holds(bounds, marginals)


@pytest.mark.parametrize("field", ["0", "gauss:0.3"])
def test_an_unfinished_search_still_bounds(field):
    glass = cal.from_spec(f"square:4x4,J=pm1,h={field},beta=1,seed=2")
    marginals = enumerate_all(glass.factor_graph())[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_exact", lambda *_: None)
        patch.setattr(module, "_by_states", lambda *_: None)
        seen = []
        grow = module.Frontier.grow

        def once(self, expansions):
            seen.append(grow(self, 7))
            if len(seen) == 4:
                patch.setattr(module.Frontier, "done", property(lambda _: True))
            return seen[-1]

        patch.setattr(module.Frontier, "grow", once)
        bounds = cal.marginal_bounds(glass, time_limit=20.0, leaf_log2_size=3)
    holds(bounds, marginals)
    assert 1e-6 < bounds.width <= 1.0


def test_a_model_without_mass_has_no_marginals():
    nothing = FactorGraph((2,), ((0,),), (np.full(2, -np.inf),))
    with pytest.raises(ValueError, match="weight zero"):
        cal.marginal_bounds(nothing)
