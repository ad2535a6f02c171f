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
    with pytest.raises(Refusal, match="curvature"):
        log_z(cal.Ising.chain(3), cal.CurvatureBounds())
