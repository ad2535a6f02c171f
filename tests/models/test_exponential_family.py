"""Exponential families: moments are derivatives of the log normaliser, and it is dual to the entropy."""

import jax
import numpy as np
import pytest
from scipy.special import expit, logsumexp

from calipers.models.exponential_family import ExponentialFamily, bernoulli, ising, ising_natural, ising_statistics
from calipers.models.ising import Ising
from calipers.models.spins import to_spins

MAGNET = Ising.from_arrays(
    np.array([[0, 1], [1, 2], [0, 2], [2, 3]]), np.array([1.0, -0.5, 0.7, 2.0]), np.array([0.1, -0.3, 0.0, 0.5]), 0.8
)
SPINS = to_spins(np.arange(16)[:, None] >> np.arange(4) & 1)


@pytest.mark.parametrize("eta", [-3.0, 0.4])
def test_bernoulli(eta):
    coin, p = bernoulli(), expit(eta)
    assert coin.log_partition([eta]) == pytest.approx(np.logaddexp(0, eta), rel=1e-14)
    assert coin.mean([eta])[0] == pytest.approx(p, rel=1e-14)
    assert coin.covariance([eta])[0, 0] == pytest.approx(p * (1 - p), rel=1e-12)
    assert coin.log_prob([eta], 1) == pytest.approx(np.log(p), rel=1e-14)
    assert coin.natural([p])[0] == pytest.approx(eta, abs=1e-5)
    assert coin.conjugate([p]) == pytest.approx(p * np.log(p) + (1 - p) * np.log1p(-p), abs=1e-8)


def test_the_log_normaliser_of_a_magnet_is_its_log_z():
    family, eta = ising(MAGNET), ising_natural(MAGNET)
    assert eta.tolist() == (0.8 * np.concatenate([MAGNET.couplings, MAGNET.fields])).tolist()
    assert family.log_partition(eta) == pytest.approx(logsumexp(-0.8 * MAGNET.energy(SPINS)), rel=1e-14)
    s = SPINS[5]
    assert eta @ ising_statistics(MAGNET, s) == pytest.approx(-0.8 * MAGNET.energy(s), rel=1e-14)
    assert sum(np.exp(family.log_prob(eta, s)) for s in SPINS) == pytest.approx(1.0, rel=1e-13)


def test_moments_of_a_magnet_are_derivatives():
    family, eta = ising(MAGNET), ising_natural(MAGNET)
    p = np.exp([family.log_prob(eta, s) for s in SPINS])
    t = ising_statistics(MAGNET, SPINS)
    mean = p @ t
    assert family.mean(eta) == pytest.approx(mean, abs=1e-13)
    assert family.covariance(eta) == pytest.approx((t.T * p) @ t - np.outer(mean, mean), abs=1e-13)


def test_duality_of_log_normaliser_and_entropy():
    family, eta = ising(MAGNET), ising_natural(MAGNET)
    mu = family.mean(eta)
    p = np.exp([family.log_prob(eta, s) for s in SPINS])
    dual = family.conjugate(mu)
    assert dual == pytest.approx(float(p @ np.log(p)), abs=1e-9)
    assert family.log_partition(eta) + dual == pytest.approx(float(eta @ mu), abs=1e-9)
    assert family.natural(mu) == pytest.approx(eta, abs=1e-7)
    elsewhere = eta + 0.1  # Fenchel and Young: the inequality, away from the matching pair
    assert family.log_partition(elsewhere) + dual > elsewhere @ mu


def test_any_log_normaliser_will_do():
    """Poisson: t(x) = x, a(η) = e^η, h(x) = 1/x!."""
    poisson = ExponentialFamily(1, lambda x: [x], lambda eta: jax.numpy.exp(eta[0]), lambda x: -float(np.log(6.0)))
    assert poisson.log_prob([np.log(2.0)], 3) == pytest.approx(3 * np.log(2) - 2 - np.log(6), rel=1e-14)
    assert poisson.natural([5.0])[0] == pytest.approx(np.log(5.0), rel=1e-9)
    assert poisson.conjugate([5.0]) == pytest.approx(5 * np.log(5.0) - 5, rel=1e-9)


def test_what_has_no_answer():
    with pytest.raises(ValueError, match="no natural parameters"):
        bernoulli().natural([1.5])
    with pytest.raises(ValueError, match="1 parameters"):
        bernoulli().mean([1.0, 2.0])
    with pytest.raises(ValueError, match="2\\^21"):
        ising(Ising.chain(21))


def test_the_global_precision_is_left_alone():
    before = jax.numpy.ones(1).dtype
    bernoulli().conjugate([0.25])
    assert jax.numpy.ones(1).dtype == before
