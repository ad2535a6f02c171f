"""Nested Laplace: exact weights where the rest is Gaussian given θ, and a normalised q everywhere else."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy.stats import multivariate_normal

import calipers as cal
from calipers.variational.approximation import Elliptical, Mixture
from calipers.variational.assessment import assess
from calipers.variational.fitting import fit_conditional, fit_gaussian
from calipers.variational.nested_laplace import Inner, Marginal, fit_nested
from calipers.variational.population import polish
from calipers.variational.target import Target

SEEN = np.array([0.3, -0.2, 0.5])
MEASURED = 0.4


def walk(data=SEEN):
    """A path with an unknown scale, whose logarithm is N(0, 1.5²): narrow where the scale is small."""

    def log_prior(z):
        return (
            norm.logpdf(z["log"], 0.0, 1.5)
            + norm.logpdf(jnp.diff(z["path"], prepend=0.0), 0.0, jnp.exp(z["log"])).sum()
        )

    return cal.Posterior(
        log_prior,
        lambda z, y: norm.logpdf(y, z["path"], MEASURED).sum(),
        data,
        example={"log": np.float64(0.0), "path": np.zeros(3)},
    )


def log_marginals(logs):
    """log p(log scale, data), the path integrated out."""
    shape = np.minimum.outer(np.arange(1, 4), np.arange(1, 4))
    covariances = [np.exp(2.0 * s) * shape + MEASURED**2 * np.eye(3) for s in logs]
    known = np.array([multivariate_normal.logpdf(SEEN, np.zeros(3), c) for c in covariances])
    return known + norm.logpdf(logs, 0.0, 1.5)


@pytest.fixture(scope="module")
def fitted():
    target, random = Target(walk()), np.random.default_rng(0)
    gaussian = fit_gaussian(target, Elliptical(np.zeros(4), np.ones(4)), random).q
    bent = fit_conditional(target, gaussian, random).q
    return target, fit_nested(target, gaussian, bent, random)


def test_the_scale_governs_and_its_marginal_is_exact(fitted):
    _, q = fitted
    assert q.inner.head.tolist() == [0]
    logs = np.linspace(-6.0, 3.0, 13)
    np.testing.assert_allclose(Marginal(q.inner).values(logs[:, None]), log_marginals(logs), atol=1e-8)


def test_the_evidence_is_met_within_its_error(fitted):
    target, q = fitted
    grid = np.linspace(-12.0, 8.0, 4001)
    truth = np.log(np.exp(log_marginals(grid)).sum() * (grid[1] - grid[0]))
    found = assess(target, q, np.random.default_rng(1), 8192)
    assert found.k_hat < 0.5
    assert found.share > 0.7
    assert abs(found.log_z - truth) < 4.0 * found.error < 0.05


def test_its_density_is_that_of_its_draws(fitted):
    _, q = fitted
    u, logs = q.draw(np.random.default_rng(2), 200)
    np.testing.assert_allclose(q.log_density(u), logs, atol=1e-9)


def test_newtons_steps_that_end_anywhere_leave_q_normalised():
    """x given θ has two humps, no Gaussian: m(θ) is one of them, and ∫ q is one all the same."""
    model = cal.EnergyModel(
        lambda z: norm.logpdf(z[0]) + jnp.logaddexp(norm.logpdf(z[1], -2.0 - z[0], 0.5), norm.logpdf(z[1], 2.0, 0.5)),
        np.zeros(2),
    )
    head, rest = np.array([0]), np.array([1])
    inner = Inner(model, head, rest, np.zeros(1), np.zeros((1, 1)), np.eye(1))
    at = inner.given(np.linspace(-3.0, 3.0, 7)[:, None])
    assert np.isfinite(at.mode).all()
    assert (at.factor[:, 0, 0] > 0.0).all()
    again = inner.given(np.linspace(3.0, -3.0, 7)[:, None])
    np.testing.assert_array_equal(at.mode, again.mode[::-1])  # a function of θ alone


def test_a_fit_that_would_take_too_long_is_not_begun(fitted):
    target, _ = fitted
    gaussian = Elliptical(np.zeros(4), np.ones(4))
    bent = fit_conditional(target, gaussian, np.random.default_rng(0)).q
    assert fit_nested(target, gaussian, bent, np.random.default_rng(0), seconds=0.0) is None


def test_polished_mixtures_follow_modes_that_are_not_gaussian():
    def log_density(z):
        skewed = [norm.logpdf(z[0], c, 0.3) + norm.logpdf(z[1], (z[0] - c) ** 2, 0.3) for c in (-3.0, 3.0)]
        return jnp.logaddexp(*skewed) - jnp.log(2.0)

    target, random = Target(cal.EnergyModel(log_density, np.zeros(2))), np.random.default_rng(0)
    start = Mixture(np.ones(2), tuple(Elliptical(np.array([c, 0.1]), np.full(2, 0.25)) for c in (-3.0, 3.0)))
    rough = assess(target, start, random, 4096)
    smooth = assess(target, polish(target, start, random, 4096), random, 4096)
    assert smooth.k_hat < rough.k_hat
    assert smooth.share > rough.share
    assert abs(smooth.log_z) < 4.0 * smooth.error
