"""Objectives beside the ELBO: exact on Gaussians, ordered where theory orders them, gradients against differences."""

import jax
import numpy as np
import pytest

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.variational import divergences
from calipers.variational.approximation import Elliptical
from calipers.variational.divergences import OBJECTIVES, elbo, fit_divergence, perturbative, renyi
from calipers.variational.gaussian_families import family
from calipers.variational.standard_normals import standard_normals
from calipers.variational.target import Target

COVARIANCE = np.array([[1.0, 0.8], [0.8, 2.0]])
PRECISION = np.linalg.inv(COVARIANCE)
MEAN = np.array([0.5, -1.0])
LOG_Z = np.log(2.0 * np.pi) + 0.5 * np.log(np.linalg.det(COVARIANCE)) + 3.0


def log_density(u):
    return 3.0 - 0.5 * (u - MEAN) @ PRECISION @ (u - MEAN)


GAUSSIAN = cal.EnergyModel(log_density, np.zeros(2))
START = Elliptical(np.array([0.3, -0.8]), np.array([[0.9, 0.0], [0.5, 1.1]]))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_gaussian_is_found_whatever_the_objective(objective):
    found = fit_divergence(Target(GAUSSIAN), START, np.random.default_rng(0), objective)
    loose = {"forward": 0.06, "stein": 0.12, "perturbative": 0.05}.get(objective, 1e-2)  # noise of draws; a flat top
    np.testing.assert_allclose(found.q.mean, MEAN, atol=loose)
    np.testing.assert_allclose(found.q.covariance, COVARIANCE, atol=2.5 * loose)


def variances(objective, **more):
    return fit_divergence(
        Target(GAUSSIAN), START, np.random.default_rng(0), objective, rank="diagonal", draws=2048, **more
    ).q.covariance.diagonal()


def test_independent_fits_are_too_narrow_by_one_way_and_right_by_the_other():
    narrow = 1.0 / PRECISION.diagonal()
    np.testing.assert_allclose(variances("kl"), narrow, rtol=0.03)
    np.testing.assert_allclose(variances("forward"), COVARIANCE.diagonal(), rtol=0.1)
    between = variances("renyi", alpha=0.3)
    assert (between > 1.02 * narrow).all()
    assert (between < COVARIANCE.diagonal()).all()


def test_bounds_of_log_weights_are_ordered():
    logs = np.random.default_rng(1).normal(-0.3, 0.5, 4000)
    exact = np.logaddexp.reduce(logs) - np.log(4000)
    values = [elbo(logs).value, renyi(0.7)(logs).value, renyi(0.3)(logs).value, exact, renyi(-0.5)(logs).value]
    assert values == sorted(values)
    assert elbo(logs).value <= perturbative(logs).value <= exact + 1e-3


@pytest.mark.parametrize("objective", [elbo, renyi(0.5), renyi(-1.0), perturbative])
def test_derivatives_of_objectives(objective):
    logs = np.random.default_rng(2).normal(0.0, 0.7, 6)
    slope = objective(logs).slope
    for i in range(6):
        shift = np.eye(6)[i] * 1e-5
        difference = (objective(logs + shift).value - objective(logs - shift).value) / 2e-5
        assert slope[i] == pytest.approx(difference, rel=1e-4, abs=1e-7)


def test_a_draw_outside_the_density_is_no_bound():
    logs = np.array([0.1, -np.inf, 0.3])
    assert perturbative(logs).value == elbo(logs).value == -np.inf


def test_the_discrepancy_vanishes_at_the_density_and_its_gradient_is_right():
    trial = family("full", START)
    z = standard_normals(64, 2, np.random.default_rng(3))
    function = divergences._stein(Target(GAUSSIAN), trial, z)
    theta = 0.1 * np.random.default_rng(4).standard_normal(len(trial.first()))
    value, slope = (part[0] for part in function(theta[None]))
    assert value < 0.0  # minus a squared norm
    for i in range(len(theta)):
        shift = np.eye(len(theta))[i] * 1e-5
        ends = function(np.stack([theta + shift, theta - shift]))[0]
        assert slope[i] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-7)
    far = function((theta + 1.0)[None])[0][0]
    assert far < value


def test_as_a_method():
    banana = cal.EnergyModel(lambda u: -0.5 * u[0] ** 2 - 0.5 * (u[1] - 0.3 * u[0] ** 2) ** 2, np.zeros(2))
    for objective in OBJECTIVES:
        answer = log_z(banana, cal.DivergenceVI(objective=objective), key=jax.random.key(0))
        assert abs(answer.stats["estimate"] - np.log(2.0 * np.pi)) < 0.05
        assert answer.lower.value == -np.inf
        assert answer.upper.value == np.inf


def test_refusals():
    with pytest.raises(ValueError, match="objective"):
        cal.DivergenceVI(objective="elbow")
    with pytest.raises(ValueError, match="alpha"):
        cal.DivergenceVI(alpha=1.0)
    with pytest.raises(ValueError, match="rank"):
        cal.DivergenceVI(rank="some")
    with pytest.raises(Refusal, match="reals"):
        cal.DivergenceVI().plan(cal.Ising.chain(3))
    with pytest.raises(ValueError, match="objective"):
        fit_divergence(Target(GAUSSIAN), START, np.random.default_rng(0), "elbow")
