"""Validation by simulated data: right models pass, with the truth inside; wrong ones are found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm, poisson

import calipers as cal
from calipers.variational.modes import find_modes

X = np.array([-1.0, 0.2, 0.5, 2.0])


def log_prior(w):
    return norm.logpdf(w).sum()


def prior_sample(key):
    return jax.random.normal(key, (2,))


def simulator(noise):
    return lambda key, w: w[0] + w[1] * X + noise * jax.random.normal(key, (4,))


def regression(noise=0.5, prior=log_prior):
    return cal.Posterior(
        prior,
        lambda w, y: norm.logpdf(y, w[0] + w[1] * X, 0.5).sum(),
        np.zeros(4),
        prior_sample=prior_sample,
        simulate=simulator(noise),
    )


def laplace(target, random):
    return find_modes(target, random, starts=2)[0].laplace


def mean_evidence():
    """E[log p(y)] over data sets of the model: y ~ N(0, C)."""
    design = np.stack([np.ones(4), X], 1)
    covariance = design @ design.T + 0.25 * np.eye(4)
    sign, log_det = np.linalg.slogdet(2.0 * np.pi * covariance)
    assert sign == 1.0
    return -0.5 * (4.0 + log_det)  # E[yᵀ C⁻¹ y] = 4


def test_a_right_model_passes():
    found = cal.validate(regression(), key=jax.random.key(0), fit=laplace, datasets=16, delta=0.02)
    assert found.lower < found.upper
    assert abs(found.gap) < 0.02
    assert found.calibrated
    assert "agree" in found.verdict
    spread = np.sqrt(0.5 * 4.0 / 16)  # standard error of the mean of ½ χ²_4
    assert abs(found.forwards.mean() - mean_evidence()) < 4.5 * spread
    assert found.to_dict()["delta"] == 0.02
    assert "16 simulated data sets" in str(found)


def counts():
    """Poisson counts of a log rate that is normal."""
    return cal.Posterior(
        lambda z: norm.logpdf(z, 1.0, 0.5),
        lambda z, y: poisson.logpmf(y, jnp.exp(z)).sum(),
        np.zeros(5),
        example=np.float64(0.0),
        prior_sample=lambda key: 1.0 + 0.5 * jax.random.normal(key),
        simulate=lambda key, z: jax.random.poisson(key, jnp.exp(z), (5,)).astype(jnp.float64),
    )


FAMILIES = {
    "linear-Gaussian": lambda: cal.linear_gaussian(np.stack([np.ones(6), np.arange(6.0)], 1), np.zeros(6), noise=2.0),
    "logistic": lambda: cal.logistic_regression(np.stack([np.ones(12), np.linspace(-2, 2, 12)], 1), np.zeros(12)),
    "hierarchical": lambda: cal.hierarchical_normal([28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]),
    "Poisson": counts,
    "mixture": lambda: cal.normal_mixture(np.linspace(-3.0, 3.0, 30), 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_model_families_agree_with_their_own_data(name):
    found = cal.validate(FAMILIES[name](), key=jax.random.key(0), datasets=6, delta=0.01)  # too few to fail the ranks
    assert found.lower < found.upper
    assert abs(found.gap) < 0.5
    assert "agree" in found.verdict


def test_a_simulator_of_another_noise_is_found():
    found = cal.validate(regression(noise=2.5), key=jax.random.key(1), datasets=24, steps=2, fit=laplace)
    assert not found.calibrated or found.lower > found.upper
    assert "agree" not in found.verdict


def test_a_prior_without_its_factor_shows_in_both_sides_alike():
    """An unnormalised prior moves both ways by its factor: calibration cannot see it, and `check_prior` is for that."""
    found = cal.validate(
        regression(prior=lambda w: log_prior(w) - jnp.log(2.0)), key=jax.random.key(0), datasets=4, fit=laplace
    )
    right = cal.validate(regression(), key=jax.random.key(0), datasets=4, fit=laplace)
    np.testing.assert_allclose(found.forwards + np.log(2.0), right.forwards, atol=0.05)


def test_what_it_needs():
    with pytest.raises(ValueError, match="simulate"):
        cal.validate(cal.Posterior(log_prior, lambda w, y: 0.0, example=np.zeros(2)), key=jax.random.key(0))
    with pytest.raises(ValueError, match="datasets"):
        cal.validate(regression(), key=jax.random.key(0), datasets=0)
    with pytest.raises(ValueError, match="delta"):
        cal.validate(regression(), key=jax.random.key(0), delta=0.0)
