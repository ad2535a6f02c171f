"""Guidance: beliefs are exact on trees and never NaN; a tournament keeps the order with the least bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers.bounds.guidance import beliefs, entropies
from calipers.bounds.sweeps import optimised, prepare
from calipers.bounds.tournament import best_of, tournament
from calipers.core.method import Limits
from calipers.exact.enumeration import enumerate_all
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import as_reduced


def test_beliefs_of_a_tree_are_its_marginals():
    rng = np.random.default_rng(0)
    scopes = [(0, 1), (1, 2), (1, 3), (3, 4)]
    sizes = (2, 3, 2, 3, 2)
    tree = FactorGraph(sizes, tuple(scopes), tuple(rng.normal(size=(sizes[a], sizes[b])) for a, b in scopes))
    found = beliefs(as_reduced(tree))
    for belief, truth in zip(found, enumerate_all(tree)[2], strict=True):
        np.testing.assert_allclose(belief, truth, atol=1e-3)
    assert entropies([np.array([0.5, 0.5]), np.array([1.0, 0.0])]) == pytest.approx([np.log(2.0), 0.0])


@settings(max_examples=60, deadline=None)
@given(factor_graphs())
def test_beliefs_are_distributions(graph):
    reduced = as_reduced(graph)
    for belief, size in zip(beliefs(reduced), reduced.model.sizes, strict=True):
        assert belief.shape == (size,)
        assert belief.sum() == pytest.approx(1.0)
        assert (belief >= 0.0).all()


def test_the_winner_of_a_tournament_has_the_least_bound_of_the_last_round():
    reduced = as_reduced(cal.from_spec("regular:3,n=40,J=pm1,beta=1,seed=1"))
    rng = np.random.default_rng(2)
    orders = [rng.permutation(40) for _ in range(2)]
    matches, bounds = tournament(reduced, orders, 4, Limits()), []
    while True:
        try:
            bounds.append(next(matches)[0])
        except StopIteration as stop:
            winner = stop.value
            break
    assert len(bounds) == 2
    again = [optimised(prepare(reduced, order, 4), 3) for order in orders]
    assert bounds == pytest.approx(again)
    assert winner is orders[int(np.argmin(again))]
    assert np.array_equal(np.sort(best_of(reduced, 3, 4, Limits())), np.arange(40))
