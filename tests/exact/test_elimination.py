"""Elimination on published instances: values, marginals; refusals with their estimate."""

import math

import numpy as np
import pytest

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Refusal

PUBLISHED = {"Segmentation_11": -55.2530, "Promedus_11": -19.3220, "Pedigree_11": -39.6401, "Alchemy_11": 1396.0094}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values_and_marginals(name, shared_data):
    path = shared_data / "uai" / "uai2014" / f"{name}.uai"
    graph = cal.read_uai(path, evidence=str(path) + ".evid")
    answer = log_z(graph, cal.Elimination(), beliefs=True)
    assert answer.exact
    assert answer.value == pytest.approx(PUBLISHED[name], abs=2e-4)
    words = (path.parent / f"{name}.uai.MAR").read_text().split()[2:]
    for marginal in answer.belief.marginals:
        count = int(words.pop(0))
        expected = [float(words.pop(0)) for _ in range(count)]
        np.testing.assert_allclose(marginal, expected, atol=1e-4)


def test_it_refuses_with_the_estimate_before_allocating():
    torus = cal.Ising.square((40, 40), beta=0.4)
    with pytest.raises(Refusal, match=r"2\^\d+"):
        log_z(torus, cal.Elimination())


def test_all_zero_tables_are_minus_infinity_exactly():
    graph = cal.FactorGraph.from_tables((2, 2), [((0, 1), np.zeros((2, 2)))])
    answer = log_z(graph, cal.Elimination())
    assert answer.exact
    assert answer.value == -math.inf


def test_error_bars_hold_on_a_closed_form():
    chain = cal.Ising.chain(500, coupling=1.3, beta=0.9, periodic=False)
    expected = 500 * math.log(2.0) + 499 * math.log(math.cosh(1.3 * 0.9))
    answer = log_z(chain, cal.Elimination())
    assert answer.lower.value <= expected <= answer.upper.value
    assert answer.gap < 1e-8


def test_it_refuses_the_hopeless_even_without_a_limit_of_time():
    cube = cal.Ising.cubic((12, 12, 12), beta=0.2)
    with pytest.raises(Refusal, match="would not finish"):
        cal.Elimination(order_seconds=0.1).plan(cube)
