"""Gaussian fits: exact on Gaussian targets, unmoved by affine changes, ELBO below log Z, gradients checked."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import calipers as cal
from calipers.variational.approximation import Elliptical, Mixture
from calipers.variational.ascent import maximise
from calipers.variational.assessment import assess
from calipers.variational.conditional import Conditional, ConditionalFamily, standard
from calipers.variational.fitting import fit_conditional, fit_gaussian
from calipers.variational.gaussian_families import family
from calipers.variational.standard_normals import standard_normals
from calipers.variational.stochastic import fit_stochastic
from calipers.variational.target import Target


def log_density(z):
    """A bent density: normal in one coordinate, whose square moves the others and whose size widens them."""
    x = z["x"]
    rest = (x[1:] - 0.2 * x[0] ** 2) * jnp.exp(-0.3 * x[0])
    return -0.5 * (x[0] ** 2 + (rest**2).sum()) - 0.3 * (len(x) - 1) * x[0] - 0.5 * len(x) * math.log(2.0 * math.pi)


BENT = cal.EnergyModel(log_density, {"x": np.zeros(4)})


def regression(seed=0, n=30, d=4):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, d)) @ (np.eye(d) + 0.5 * np.tri(d))
    return cal.linear_gaussian(x, x @ np.arange(1.0, d + 1) + random.normal(size=n), noise=0.7, prior_scale=2.0)


@pytest.fixture(scope="module")
def conjugate():
    return regression()


@pytest.fixture(scope="module")
def exact(conjugate):
    return cal.log_z(conjugate, cal.Conjugate()).value


def test_full_rank_is_exact_on_a_gaussian(conjugate, exact):
    answer = cal.log_z(conjugate, cal.GaussianVI())
    assert answer.value == pytest.approx(exact, abs=1e-6)
    assert answer.stats["elbo"] == pytest.approx(exact, abs=1e-6)
    x, y = conjugate.data
    precision = x.T @ x / 0.49 + np.eye(4) / 4.0
    q = answer.belief.approximation
    np.testing.assert_allclose(q.mean, np.linalg.solve(precision, x.T @ y / 0.49), atol=1e-5)
    np.testing.assert_allclose(q.covariance, np.linalg.inv(precision), atol=1e-5)


def test_mean_field_has_its_known_gap(conjugate, exact):
    """The best independent Gaussian has precisions A_ii; its ELBO is log Z − ½ (Σ log A_ii − log det A)."""
    x, _ = conjugate.data
    precision = x.T @ x / 0.49 + np.eye(4) / 4.0
    gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    answer = cal.log_z(conjugate, cal.GaussianVI(rank="diagonal"), check=False)
    assert answer.stats["elbo"] == pytest.approx(exact - gap, abs=5.0 * answer.stats["elbo_error"])
    assert answer.stats["elbo_error"] > 0.0


def test_a_rank_of_all_directions_is_full(conjugate, exact):
    answer = cal.log_z(conjugate, cal.GaussianVI(rank=4, starts=2))
    assert answer.stats["elbo"] == pytest.approx(exact, abs=0.02)


def test_the_fresh_elbo_stays_below_log_z(exact, conjugate):
    for method in (cal.GaussianVI(rank="diagonal", draws=16), cal.GaussianVI(draws=16), cal.GaussianVI(rank=1)):
        for seed in range(2):
            stats = cal.log_z(conjugate, method, key=jax.random.key(seed), check=False).stats
            assert stats["elbo"] <= exact + 4.0 * stats["elbo_error"] + 1e-9


def test_an_affine_change_of_the_parameters_changes_nothing():
    """The same density in u = M v + b: log Z and the ELBO move by nothing but log |det M|."""
    random = np.random.default_rng(3)
    matrix, shift = np.tril(random.normal(size=(4, 4))) + 2.0 * np.eye(4), random.normal(size=4)
    moved = cal.EnergyModel(lambda z: log_density({"x": matrix @ z["x"] + shift}), {"x": np.zeros(4)})
    log_det = math.log(abs(np.linalg.det(matrix)))
    start = Elliptical(np.zeros(4), np.eye(4))
    inverse = np.linalg.inv(matrix)
    same = Elliptical(-inverse @ shift, np.linalg.cholesky(inverse @ inverse.T))
    first = fit_gaussian(Target(BENT), start, np.random.default_rng(0))
    second = fit_gaussian(Target(moved), same, np.random.default_rng(0))
    assert second.objective == pytest.approx(first.objective - log_det, abs=0.02)
    np.testing.assert_allclose(matrix @ second.q.mean + shift, first.q.mean, atol=0.1)


@pytest.mark.parametrize("rank", ["full", "diagonal", 2])
def test_gradients_of_families(rank):
    random = np.random.default_rng(1)
    start = Elliptical(random.normal(size=4), np.tril(random.normal(size=(4, 4)) * 0.3) + np.eye(4))
    check_gradient(family(rank, start), random)


def test_gradients_of_conditional_gaussians():
    random = np.random.default_rng(2)
    start = Elliptical(random.normal(size=4), np.tril(random.normal(size=(4, 4)) * 0.3) + np.eye(4))
    check_gradient(ConditionalFamily(start, np.array([2, 0, 3, 1]), 2), random)


def check_gradient(trial, random):
    target, z = Target(BENT), standard_normals(64, trial.noise, random)
    theta = trial.first() + 0.1 * random.normal(size=len(trial.first()))
    direction = random.normal(size=len(theta))

    def objective(t):
        return target.gradients(trial.place(trial.draw(t, z)))[0].mean() + trial.entropy(t, z)[0]

    _, gradients = target.gradients(trial.place(trial.draw(theta, z)))
    slope = trial.chain(theta, z, trial.pull(gradients)) + trial.entropy(theta, z)[1]
    step = 1e-5 * direction
    assert slope @ direction == pytest.approx((objective(theta + step) - objective(theta - step)) / 2e-5, rel=1e-5)


def test_trial_densities_are_normalised_and_agree_with_their_draws():
    random = np.random.default_rng(4)
    scales, means = np.zeros((3, 4)), np.zeros((3, 2))
    scales[1:, 0], scales[2, 1], scales[1:, 2], means[1:, 0] = 0.8, -0.4, 0.3, 0.5
    gaussian = Elliptical(random.normal(size=3), np.tril(random.normal(size=(3, 3)) * 0.3) + np.eye(3))
    bent = Conditional(gaussian, np.array([1, 2, 0]), scales, means, standard(3))
    wide = Elliptical(gaussian.mean, 4.0 * np.eye(3), 3.0)
    for q in (gaussian, gaussian.widened(1.2, 5.0), bent, Mixture(np.array([2.0, 1.0]), (gaussian, bent))):
        u, logs = q.draw(random, 4000)
        np.testing.assert_allclose(q.log_density(u), logs, rtol=1e-6, atol=1e-6)
        with jax.enable_x64(True):
            np.testing.assert_allclose(q.log_density(jnp.asarray(u)), logs, rtol=1e-6, atol=1e-6)
        v, proposed = wide.draw(random, 200_000)
        ratios = np.exp(q.log_density(v) - proposed)
        assert abs(ratios.mean() - 1.0) < 5.0 * ratios.std() / math.sqrt(len(ratios))


def test_a_conditional_gaussian_follows_a_bend():
    target, random = Target(BENT), np.random.default_rng(0)
    gaussian = fit_gaussian(target, Elliptical(np.zeros(4), np.ones(4)), random).q
    before, after = (assess(target, q, random, 8192) for q in (gaussian, fit_conditional(target, gaussian, random).q))
    assert before.elbo < -0.1
    assert after.elbo > -0.01
    assert abs(after.log_z) < 5.0 * after.error + 0.005


def test_standard_normals_have_exact_moments():
    z = standard_normals(64, 5, np.random.default_rng(0))
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(5), atol=1e-12)
    with pytest.raises(ValueError, match="covariance of 5 dimensions"):
        standard_normals(10, 5, np.random.default_rng(0))


def test_ascents_end_at_maxima_and_stay_inside_the_support():
    def quartic(x):
        inside = (x > -1.5).all(1)
        value = np.where(inside, -((x - 1.0) ** 4).sum(1) - (x**2).sum(1), -np.inf)
        return value, -4.0 * (x - 1.0) ** 3 - 2.0 * x

    found = maximise(quartic, np.array([[3.0, -1.0], [-1.4, 2.0], [-9.0, 0.0]]), tolerance=1e-12)
    assert np.abs(found.gradients[:2]).max() < 1e-3
    np.testing.assert_array_equal(found.points[2], [-9.0, 0.0])  # where the function is −∞ nothing moves


def test_stochastic_gradients_land_on_the_same_gaussian(conjugate, exact):
    target, random = Target(conjugate), np.random.default_rng(0)
    found = fit_stochastic(target, Elliptical(np.zeros(4), np.ones(4)), random)
    assert assess(target, found.q, random, 2000).elbo == pytest.approx(exact, abs=0.01)


def test_bad_arguments():
    for bad in ({"rank": "half"}, {"rank": -1}, {"gradients": "plain"}, {"starts": 0}):
        with pytest.raises(ValueError, match="needed"):
            cal.GaussianVI(**bad)
    with pytest.raises(cal.Refusal, match="densities over reals"):
        cal.log_z(cal.Ising.square(3), cal.GaussianVI())
