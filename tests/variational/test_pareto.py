"""Pareto-smoothed weights: the tail's shape is found, the bulk stays, and degenerate weights do not break them."""

import math

import numpy as np
import pytest

from calipers.variational.pareto import pareto_smooth, threshold


@pytest.mark.parametrize("shape", [0.1, 0.4, 0.7, 1.0])
def test_the_shape_of_a_pareto_tail(shape):
    found = [pareto_smooth(shape * np.random.default_rng(s).exponential(size=20_000))[1] for s in range(8)]
    assert np.mean(found) == pytest.approx(shape, abs=4.0 * np.std(found) / math.sqrt(8) + 0.03)


def test_smoothing_leaves_the_bulk_and_the_order_and_does_not_exceed_the_largest():
    logs = np.random.default_rng(0).normal(size=4000) * 1.5
    smoothed, _ = pareto_smooth(logs + 700.0)
    assert (np.argsort(smoothed, kind="stable") == np.argsort(logs, kind="stable")).all()
    bulk = np.argsort(logs)[:3000]
    np.testing.assert_allclose(smoothed[bulk], logs[bulk] + 700.0, atol=1e-9)
    assert smoothed.max() <= logs.max() + 700.0


def test_weights_without_a_tail():
    assert pareto_smooth(np.zeros(100))[1] == -math.inf
    assert pareto_smooth(np.full(100, -math.inf))[1] == math.inf
    few = np.full(1000, -math.inf)
    few[:3] = 0.0
    assert pareto_smooth(few)[1] == math.inf


def test_weights_that_hardly_vary_have_no_tail_however_slowly_it_falls():
    """Excesses of a law without a mean, of a thousandth of the weights: a fit that is all but exact."""
    falls = np.random.default_rng(2).pareto(0.8, size=4000)
    wild = np.minimum(1e-4 * falls, 0.04)
    smoothed, k_hat = pareto_smooth(np.log1p(wild))
    assert k_hat == -math.inf
    np.testing.assert_array_equal(smoothed, np.log1p(wild))
    assert pareto_smooth(np.log1p(falls))[1] > 0.7  # the same shape, where it matters


def test_a_weight_that_stands_out_is_still_seen():
    logs = np.zeros(4000)
    logs[:40] = np.linspace(1.0, 5.0, 40)  # all others, and so the threshold of the tail, are equal
    assert pareto_smooth(logs)[1] > 0.5


def test_the_threshold_grows_with_the_draws():
    assert threshold(100) == pytest.approx(0.5)
    assert threshold(10**6) == 0.7


def test_against_arviz():
    arviz = pytest.importorskip("arviz")
    logs = 0.6 * np.random.default_rng(1).exponential(size=4000)
    smoothed, k_hat = pareto_smooth(logs)
    theirs, k_theirs = arviz.psislw(logs)
    assert k_hat == pytest.approx(float(k_theirs), abs=0.02)
    np.testing.assert_allclose(smoothed - np.logaddexp.reduce(smoothed), np.asarray(theirs), atol=0.05)
