"""Powers of a measure: every log weight is multiplied, zeros stay."""

import math

import numpy as np
import pytest

from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.models.tempered import Tempered, condition, tempered

GRAPH = FactorGraph.from_tables(
    (2, 3), [((0, 1), np.array([[1.0, 0.0, 2.0], [3.0, 0.5, 0.25]])), ((1,), np.array([1, 2, 3]))]
)
STATES = [np.array([i, j]) for i in range(2) for j in range(3)]


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
def test_wrapper_and_own_tempering_agree(beta):
    wrapped, own = Tempered(GRAPH, beta), tempered(GRAPH, beta)
    assert isinstance(own, FactorGraph)
    assert wrapped.domains.tolist() == [2, 3]
    for x in STATES:
        expected = GRAPH.log_weight(x)
        expected = beta * expected if expected > -math.inf else expected
        for model in (wrapped, own, wrapped.factor_graph()):
            assert model.log_weight(x) == pytest.approx(expected, rel=1e-14)


def test_powers_of_powers_multiply():
    twice = tempered(Tempered(Ising.chain(3), 0.5), 0.5)
    assert isinstance(twice, Ising)
    assert twice.beta == 0.25


def test_conditioning():
    assert condition(GRAPH, {}) is GRAPH
    seen = condition(Tempered(GRAPH, 2.0), {0: 1})
    assert seen.log_weight(np.array([0, 0])) == -math.inf
    assert seen.log_weight(np.array([1, 2])) == pytest.approx(2 * GRAPH.log_weight(np.array([1, 2])))


@pytest.mark.parametrize("beta", [-1.0, math.nan, math.inf])
def test_what_is_no_power(beta):
    with pytest.raises(ValueError, match="beta"):
        Tempered(GRAPH, beta)
