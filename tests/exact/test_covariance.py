"""Covariances against enumeration, and the laws of a Hessian."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.listing import listed
from tests.strategies import factor_graphs

import calipers as cal
from calipers import zoo
from calipers.core.method import Refusal
from calipers.exact import covariance as module

SMALL = [m for m in zoo.models() if np.prod(m.model.domains, dtype=float) <= 2**10 and m.log_z > -math.inf]


def sites(model, states):
    """The default statistics of each configuration, shape (N, k)."""
    if isinstance(model, cal.Ising):
        return 1.0 - 2.0 * states
    shape = (len(states), 0)
    columns = [states[:, [v]] == np.arange(k) for v, k in enumerate(model.domains)]
    return np.concatenate([np.zeros(shape), *columns], axis=1)


@pytest.mark.parametrize("example", SMALL, ids=lambda m: m.name)
def test_the_zoo(example):
    listing = listed(example.model)
    expected = listing.covariance(sites(example.model, listing.states))
    np.testing.assert_allclose(cal.covariance(example.model), expected, atol=1e-12)


@given(graph=factor_graphs(), seed=st.integers(0, 1000))
def test_random_graphs_and_statistics(graph, seed):
    listing = listed(graph)
    if not len(listing.p):
        with pytest.raises(ValueError, match="weight zero"):
            cal.covariance(graph)
        return
    np.testing.assert_allclose(cal.covariance(graph), listing.covariance(sites(graph, listing.states)), atol=1e-12)
    rng = np.random.default_rng(seed)
    statistics = []
    for _ in range(3):
        scopes = [tuple(rng.permutation(graph.n)[: rng.integers(0, 4)].tolist()) for _ in range(3)]
        statistics.append([(s, rng.normal(size=[graph.sizes[v] for v in s])) for s in scopes])
    values = [[sum(float(t[tuple(x[v] for v in s)]) for s, t in f) for f in statistics] for x in listing.states]
    np.testing.assert_allclose(cal.covariance(graph, statistics), listing.covariance(np.array(values)), atol=1e-10)


def test_more_statistics_than_a_batch(monkeypatch):
    glass = cal.Ising.square((5, 5), coupling="gauss:1.0", seed=3, beta=0.7)
    whole = cal.covariance(glass)
    monkeypatch.setattr(module, "_MOST", 3)
    np.testing.assert_allclose(cal.covariance(glass), whole, atol=1e-14)


def test_a_chain_has_the_textbook_correlations():
    K, n = 0.6, 60
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    chain = cal.Ising.chain(n, beta=K, periodic=False)
    np.testing.assert_allclose(cal.covariance(chain), math.tanh(K) ** distance, rtol=1e-11)


def test_laws_of_a_hessian():
    """Symmetric, positive, agrees with moments and with the susceptibility; indicators of a variable add up to 1."""
    glass = cal.Ising.square((5, 5), coupling="gauss:1.0", field=0.3, seed=3, beta=0.7)
    matrix = cal.covariance(glass)
    assert np.array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0
    np.testing.assert_allclose(np.diag(matrix), 1 - cal.moments(glass).mean ** 2, atol=1e-13)
    assert 0.7 * matrix.sum() == pytest.approx(cal.susceptibility(glass), rel=1e-12)
    assert np.abs(cal.covariance(glass.factor_graph()).reshape(25, 2, 50).sum(1)).max() < 1e-14


def test_what_it_will_not_do():
    with pytest.raises(Refusal, match=r"2\^\d+"):
        cal.covariance(cal.Ising.complete(70))
    with pytest.raises(ValueError, match="not finite"):
        cal.covariance(cal.Ising.chain(3), [[((0,), [0.0, math.nan])]])
