"""Gaussian bounds from stated curvature: exact on Gaussians, true on a logistic posterior, false statements found."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import calipers as cal
from calipers.core.answer import Grounds
from calipers.core.iterate import log_z
from calipers.core.method import Refusal

HESSIAN = np.array([[2.0, 0.5], [0.5, 1.0]])


def test_exact_on_a_gaussian():
    model = cal.EnergyModel(lambda u: -0.5 * u @ HESSIAN @ u + u[0], np.zeros(2), curvature=(HESSIAN, HESSIAN))
    answer = log_z(model, cal.CurvatureBounds())
    shift = np.linalg.solve(HESSIAN, [1.0, 0.0])
    truth = 0.5 * shift[0] + math.log(2.0 * math.pi) - 0.5 * math.log(np.linalg.det(HESSIAN))
    assert answer.lower.value <= truth <= answer.upper.value
    assert answer.gap < 1e-9
    assert answer.grounds == (Grounds.COMPUTED, Grounds.COMPUTED)


def test_true_on_logistic_regression():
    x = np.array([0.5, -1.0, 2.0, 1.5])

    def log_density(u):
        return -0.5 * u**2 - 0.5 * math.log(2.0 * math.pi) - jnp.logaddexp(0.0, -x * u).sum()

    curvature = (np.eye(1), np.eye(1) + 0.25 * np.array([[x @ x]]))
    model = cal.EnergyModel(log_density, np.zeros(()), curvature=curvature)
    answer = log_z(model, cal.CurvatureBounds())
    truth = math.log(quad(lambda u: math.exp(float(log_density(u))), -12.0, 12.0)[0])
    assert answer.lower.value < truth < answer.upper.value
    assert answer.gap < 0.6


def test_a_false_statement_is_found_and_none_is_refused():
    model = cal.EnergyModel(lambda u: -0.5 * u @ HESSIAN @ u, np.zeros(2), curvature=(HESSIAN, 0.9 * HESSIAN))
    with pytest.raises(ValueError, match="curvature leaves"):
        log_z(model, cal.CurvatureBounds())
    with pytest.raises(Refusal, match="curvature"):
        log_z(cal.EnergyModel(lambda u: -(u @ u), np.zeros(2)), cal.CurvatureBounds())
    with pytest.raises(Refusal, match="densities over reals"):
        log_z(cal.Ising.chain(3), cal.CurvatureBounds())


@pytest.fixture(scope="module")
def credit():
    """As German credit: 1000 rows, 24 standardised columns and an intercept, coefficients of unit prior scale."""
    random = np.random.default_rng(25)
    common = random.normal(size=(1000, 1))
    x = np.hstack([np.ones((1000, 1)), 0.8 * random.normal(size=(1000, 24)) + 0.6 * common])
    odds = x @ random.normal(size=25) * 0.4
    return cal.logistic_regression(x, (random.random(1000) < 1.0 / (1.0 + np.exp(-odds))).astype(float))


def test_a_ready_made_logistic_regression_has_both_sides_from_auto(credit):
    answer = cal.log_z(credit)
    assert answer.grounds == (Grounds.COMPUTED, Grounds.COMPUTED)
    assert answer.lower.delta == answer.upper.delta == 0.0
    assert answer.stats["trust"] == "trust"
    assert answer.lower.value < answer.value < answer.upper.value
    alone = log_z(credit, cal.CurvatureBounds())
    assert (alone.lower.value, alone.upper.value) == (answer.lower.value, answer.upper.value)


def test_logistic_sides_hold_and_close_where_the_data_say_nothing():
    model = cal.logistic_regression([[0.5], [-1.0], [2.0]], [1, 0, 0], prior_scale=1.5)

    def density(u):
        return math.exp(float(model.log_weight(np.array([u]))))

    truth = math.log(quad(density, -20.0, 20.0)[0])
    answer = log_z(model, cal.CurvatureBounds())
    assert answer.lower.value < truth < answer.upper.value
    blind = log_z(cal.logistic_regression(np.zeros((3, 2)), [1, 0, 0]), cal.CurvatureBounds())
    assert blind.lower.value <= -3.0 * math.log(2.0) <= blind.upper.value
    assert blind.gap < 1e-9


def test_curvature_follows_the_data():
    """Matrices are of the data that they were stated for; a function of the data is asked again."""
    model, y = cal.logistic_regression(np.eye(2), [1, 0]), np.array([1.0, 0.0])
    other = model.with_data((3.0 * np.eye(2), y))
    np.testing.assert_allclose(other.curvature(other.data)[1], (1.0 + 9.0 / 4.0) * np.eye(2))
    fixed = cal.Posterior(
        model.log_prior, model.log_likelihood, model.data, example=np.zeros(2), curvature=(np.eye(2), 1.25 * np.eye(2))
    )
    assert log_z(fixed, cal.CurvatureBounds()).gap > 0.0
    with pytest.raises(Refusal, match="curvature"):
        log_z(fixed.with_data(other.data), cal.CurvatureBounds())


def test_repeated_columns_of_any_scale():
    """XᵀX is singular but for the prior: the sides hold all the same, by the one-column model that it amounts to."""
    random = np.random.default_rng(1)
    column, y = random.normal(size=(40, 1)), (random.random(40) < 0.5).astype(float)
    u = np.linspace(-12.0, 12.0, 4801)  # the sum of nine coefficients, N(0, 9)
    logs = -np.logaddexp(0.0, (1.0 - 2.0 * y) * (u[:, None] * column[:, 0])).sum(1)
    logs += -(u**2) / 18.0 - 0.5 * math.log(18.0 * math.pi)
    truth = float(np.logaddexp.reduce(logs)) + math.log(u[1] - u[0])
    for scale in (1.0, 1e4):
        wide = cal.logistic_regression(np.repeat(scale * column, 9, 1), y, prior_scale=1.0 / scale)
        answer = log_z(wide, cal.CurvatureBounds())
        assert answer.lower.value < truth < answer.upper.value
        assert answer.gap < 3.0


def test_what_is_no_curvature():
    bad = np.diag([1.0, -1.0])
    with pytest.raises(ValueError, match="not positive definite"):
        log_z(cal.EnergyModel(lambda u: -0.5 * u @ u, np.zeros(2), curvature=(bad, bad)), cal.CurvatureBounds())
    with pytest.raises(Refusal, match="not finite"):
        log_z(cal.logistic_regression(1e200 * np.eye(2), [0, 1]), cal.CurvatureBounds())
