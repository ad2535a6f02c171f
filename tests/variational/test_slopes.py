"""Gradients of trial densities: formulas against JAX."""

import jax
import numpy as np
import pytest

from calipers.variational.approximation import Elliptical, Mixture
from calipers.variational.slopes import density_with_slope

RANDOM = np.random.default_rng(0)
FULL = Elliptical(np.array([1.0, -2.0]), np.array([[1.5, 0.0], [0.4, 0.7]]))
DIAGONAL = Elliptical(np.array([0.0, 0.5]), np.array([0.3, 2.0]), 5.0)
EXAMPLES = [FULL, DIAGONAL, FULL.widened(2.0, 3.0), Mixture(np.array([0.3, 0.7]), (FULL, DIAGONAL))]


@pytest.mark.parametrize("q", EXAMPLES, ids=["gaussian", "diagonal t", "t", "mixture"])
def test_values_and_gradients(q):
    u = RANDOM.standard_normal((7, 2)) * 2.0
    values, slopes = density_with_slope(q)(u)
    with jax.enable_x64(True):
        expected = jax.vmap(jax.value_and_grad(q.log_density))(u)
    np.testing.assert_allclose(values, expected[0], rtol=1e-10)
    np.testing.assert_allclose(slopes, expected[1], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(values, q.log_density(u), rtol=1e-12)
    same = density_with_slope.registry[object](q)(u)
    np.testing.assert_allclose(slopes, same[1], rtol=1e-8, atol=1e-10)
