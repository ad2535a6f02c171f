"""Changes of variables: there and back, and log |det dx/du| against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipers.models.bijector import (
    CorrelationCholesky,
    Interval,
    Ordered,
    Positive,
    Real,
    Simplex,
)

CASES = [
    (Real(), (2, 3), 6),
    (Positive(), (), 1),
    (Positive(lower=-1.5), (4,), 4),
    (Interval(-2.0, 5.0), (3,), 3),
    (Simplex(), (4,), 3),
    (Simplex(), (2, 3), 4),
    (Ordered(), (2, 3), 6),
    (CorrelationCholesky(), (1, 1), 0),
    (CorrelationCholesky(), (4, 4), 6),
]


def free_entries(bijector, x):
    """The entries that the density of x is with respect to."""
    if isinstance(bijector, Simplex):
        return x[..., :-1].ravel()
    return x[np.tril_indices(len(x), -1)] if isinstance(bijector, CorrelationCholesky) else x.ravel()


@pytest.mark.parametrize(("bijector", "shape", "size"), CASES, ids=lambda c: str(c))
@given(seed=st.integers(0, 2**32 - 1))
def test_there_and_back_and_the_jacobian(bijector, shape, size, seed):
    assert bijector.size(shape) == size
    with jax.enable_x64(True):
        u = jnp.asarray(1.5 * np.random.default_rng(seed).normal(size=size))
        x, log_det = bijector.forward(u, shape)
        assert x.shape == shape
        np.testing.assert_allclose(bijector.inverse(x), u, rtol=1e-7, atol=1e-7)
        jacobian = jax.jacobian(lambda u: free_entries(bijector, bijector.forward(u, shape)[0]))(u)
        sign, expected = np.linalg.slogdet(np.asarray(jacobian).reshape(size, size))
        assert abs(sign) == 1.0
        assert float(log_det) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_constraints_hold():
    with jax.enable_x64(True):
        u = jnp.asarray(np.random.default_rng(1).normal(size=6))
        assert (Positive(lower=2.0).forward(u, (6,))[0] > 2.0).all()
        inside = Interval(-1.0, 1.0).forward(9.0 * u, (6,))[0]
        assert (abs(inside) < 1.0).all()
        simplex = Simplex().forward(u, (2, 4))[0]
        np.testing.assert_allclose(simplex.sum(-1), 1.0)
        assert (jnp.diff(Ordered().forward(u, (2, 3))[0], axis=-1) > 0.0).all()
        factor = CorrelationCholesky().forward(u, (4, 4))[0]
        np.testing.assert_allclose(jnp.diag(factor @ factor.T), 1.0)
        assert not jnp.triu(factor, 1).any()


def test_impossible_shapes_are_refused():
    with pytest.raises(ValueError, match="lower < upper"):
        Interval(1.0, 1.0)
    for bijector, shape in ((Simplex(), ()), (Ordered(), (2, 0)), (CorrelationCholesky(), (2, 3))):
        with pytest.raises(ValueError, match="shape"):
            bijector.size(shape)
