"""Exact samples against exact probabilities: every configuration of small magnets, correlations of larger ones."""

import numpy as np
import pytest
from scipy.stats import chi2

import calipers as cal
from calipers.core.method import Refusal

DRAWS, Z_LIMIT = 20_000, 5.0  # standard errors; fixed seeds


def draw(model, count, seed):
    return cal.sample(model, count, seed=seed, method=cal.Planar()).states


def probabilities(magnet):
    """p of every configuration, the first site the slowest bit."""
    states = np.indices((2,) * magnet.n).reshape(magnet.n, -1).T
    logs = np.array([magnet.log_weight(x) for x in states])
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


@pytest.mark.parametrize("beta", [0.2, 1.0, 4.0])
def test_frequencies_of_all_configurations(beta):
    magnet = cal.Ising.square((2, 4), coupling="pm1", beta=beta, periodic=False, seed=3)
    samples = draw(magnet, DRAWS, 1)
    counts = np.bincount(samples @ (1 << np.arange(magnet.n)[::-1]), minlength=2**magnet.n)
    expected = DRAWS * probabilities(magnet)
    often = expected > 10
    rest = counts[~often].sum() - expected[~often].sum()
    assert abs(rest) < Z_LIMIT * np.sqrt(expected[~often].sum() + 1.0)
    statistic = ((counts - expected)[often] ** 2 / expected[often]).sum()
    assert 1e-6 < chi2.sf(statistic, often.sum()) < 1.0 - 1e-6


def test_correlations_at_any_distance():
    magnet = cal.Ising.square((8, 8), coupling="gauss:1", beta=0.9, periodic=False, seed=5)
    spins = 1.0 - 2.0 * draw(magnet, 4000, 2)
    found = (spins[:, magnet.edges[:, 0]] * spins[:, magnet.edges[:, 1]]).mean(0)
    exact = cal.moments(magnet, cal.Elimination()).correlation
    assert (np.abs(found - exact) < Z_LIMIT * np.sqrt((1.0 - exact**2) / 4000 + 1e-6)).all()
    corner = cal.Ising.from_arrays(np.vstack([magnet.edges, [[0, 63]]]), np.append(magnet.couplings, 0.0), beta=0.9)
    far = cal.moments(corner, cal.Elimination())
    at = np.flatnonzero((corner.edges == [0, 63]).all(1))[0]
    assert abs((spins[:, 0] * spins[:, 63]).mean() - far.correlation[at]) < Z_LIMIT / np.sqrt(4000)


def test_fields_by_the_ghost_and_disconnected_parts():
    chain = cal.Ising.from_arrays(np.array([[0, 1], [1, 2], [4, 5]]), 0.8, np.array([0.5, 0.0, -1.0, 0.3, 0.0, 0.0]))
    spins = 1.0 - 2.0 * draw(chain, DRAWS, 3)
    exact = cal.moments(chain, cal.Elimination())
    assert (np.abs(spins.mean(0) - exact.mean) < Z_LIMIT / np.sqrt(DRAWS)).all()
    assert abs((spins[:, 4] * spins[:, 5]).mean() - exact.correlation[2]) < Z_LIMIT / np.sqrt(DRAWS)


def test_factor_graphs_with_evidence_and_free_variables():
    tables = [((0, 1), [[2.0, 1.0], [1.0, 2.0]]), ((1, 2), [[1.0, 3.0], [3.0, 1.0]]), ((3,), [1.0, 1.0])]
    graph = cal.FactorGraph.from_tables((2, 2, 2, 2), tables, evidence={0: 1})
    states = draw(graph, DRAWS, 4)
    marginals = cal.moments(graph, cal.Elimination()).marginals
    assert (states[:, 0] == 1).all()
    for v in range(4):
        assert abs((states[:, v] == 0).mean() - marginals[v][0]) < Z_LIMIT * 0.5 / np.sqrt(DRAWS)


def test_the_key_decides():
    magnet = cal.Ising.square((4, 4), periodic=False)
    a, b, c = (draw(magnet, 20, k) for k in (0, 0, 1))
    assert (a == b).all()
    assert (a != c).any()


def test_it_refuses_what_is_not_planar():
    for model in (cal.Ising.square(4), cal.Ising.complete(6)):
        with pytest.raises(Refusal, match=r"genus|across"):
            draw(model, 1, 0)
