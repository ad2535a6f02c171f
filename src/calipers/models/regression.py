"""Regressions as posteriors: linear-Gaussian, with its exact evidence, and logistic.

    linear      y = X w + noise,  w ~ N(0, s² I):     p(y) = N(y; 0, s² X Xᵀ + σ² I),   w | y ~ N(A⁻¹ Xᵀ y / σ², A⁻¹),
                A = XᵀX / σ² + I / s²
    logistic    p(y_i = 1) = σ(x_i · w),  w ~ N(0, s² I),  I / s²  ⪯  −∇² log p(y, w)  ⪯  I / s² + XᵀX / 4

The last because σ′ = σ (1 − σ) lies between 0 and ¼: `CurvatureBounds` makes two sides of it.
**Cost** of the evidence d³ + n d². **Source** Bishop, *Pattern Recognition and Machine Learning* (2006), §3.5; the
curvature is Böhning's (1992).
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from calipers.models.posterior import Posterior

Rows = tuple[Any, Any]  # X, shape (n, d), and y, shape (n,)


class NormalPrior(eqx.Module):
    """w ~ N(0, scale² I), `scale` shape (d,)."""

    scale: np.ndarray

    def __call__(self, w: Any) -> Any:
        return normal_log_density(w, 0.0, self.scale).sum()

    def sample(self, key: Any) -> Any:
        return self.scale * jax.random.normal(key, np.shape(self.scale))


class GaussianNoise(eqx.Module):
    """y ~ N(X w, noise² I) with prior scales beside it, for what is conjugate."""

    scale: np.ndarray
    noise: np.ndarray

    def __call__(self, w: Any, data: Rows) -> Any:
        return normal_log_density(data[1], jnp.asarray(data[0]) @ w, self.noise).sum()

    def simulate(self, key: Any, w: Any, x: Any) -> Rows:
        return x, jnp.asarray(x) @ w + self.noise * jax.random.normal(key, (len(x),))

    def _precision(self, x: Any) -> Any:
        return x.T @ x / self.noise**2 + jnp.diag(1.0 / jnp.asarray(self.scale) ** 2)

    def evidence(self, data: Rows) -> Any:
        """log p(y), by the d × d posterior precision."""
        x, y = map(jnp.asarray, data)
        factor = jnp.linalg.cholesky(self._precision(x))
        pull = jax.scipy.linalg.solve_triangular(factor, x.T @ y / self.noise**2, lower=True)
        log_det = 2.0 * (jnp.log(jnp.diag(factor)).sum() + jnp.log(self.scale).sum()) + 2.0 * len(y) * jnp.log(
            self.noise
        )
        return -0.5 * (len(y) * math.log(2.0 * math.pi) + log_det + y @ y / self.noise**2 - pull @ pull)

    def posterior_sample(self, key: Any, data: Rows) -> Any:
        x, y = map(jnp.asarray, data)
        factor = jnp.linalg.cholesky(self._precision(x))
        mean = jax.scipy.linalg.cho_solve((factor, True), x.T @ y / self.noise**2)
        noise = jax.random.normal(key, (x.shape[1],))
        return mean + jax.scipy.linalg.solve_triangular(factor.T, noise, lower=False)


class BernoulliLogit(eqx.Module):
    """y ∈ {0, 1} with log odds X w."""

    def __call__(self, w: Any, data: Rows) -> Any:
        signs = 2.0 * jnp.asarray(data[1]) - 1.0
        return -jax.nn.softplus(-signs * (jnp.asarray(data[0]) @ w)).sum()

    def simulate(self, key: Any, w: Any, x: Any) -> Rows:
        return x, jax.random.bernoulli(key, jax.nn.sigmoid(jnp.asarray(x) @ w)).astype(w.dtype)


class LogisticCurvature(eqx.Module):
    """Matrices A ⪯ −∇² log p(y, w) ⪯ B of a logistic regression under N(0, scale²), whatever the labels."""

    scale: np.ndarray

    def __call__(self, data: Rows) -> tuple[np.ndarray, np.ndarray]:
        x = np.asarray(data[0], np.float64)
        n, d = x.shape
        precision = np.diag(1.0 / np.asarray(self.scale) ** 2)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused
            off = (n + 2.0) * d * np.finfo(np.float64).eps * (x * x).sum(0)  # more than XᵀX is, as a matrix
            return precision, precision + 0.25 * x.T @ x + np.diag(off)


def linear_gaussian(x: Any, y: Any, *, noise: float = 1.0, prior_scale: Any = 1.0) -> Posterior:
    """Linear regression with known noise, conjugate: its log evidence and exact posterior draws come with it.

    **Arguments:** `x`, shape (n, d), with a column of ones for an intercept; `y`, shape (n,); `noise`, the standard
    deviation of y; `prior_scale`, that of each coefficient, a number or shape (d,).

    **Raises:** `ValueError` when the shapes do not fit, or a scale is not positive.
    """
    rows, scale = _rows(x, y), _scale(x, prior_scale)
    if not noise > 0.0:
        raise ValueError(f"noise is {noise}; it must be positive")
    prior, likelihood = NormalPrior(scale), GaussianNoise(scale, np.asarray(noise, np.float64))
    return Posterior(
        prior,
        likelihood,
        rows,
        prior_sample=prior.sample,
        simulate=Simulator(likelihood, rows[0]),
        posterior_sample=likelihood.posterior_sample,
        evidence=likelihood.evidence,
    )


def logistic_regression(x: Any, y: Any, *, prior_scale: Any = 1.0) -> Posterior:
    """Logistic regression: y ∈ {0, 1}, coefficients N(0, prior_scale²); log-concave, with its curvature stated.

    **Raises:** `ValueError` when the shapes do not fit, a label is neither 0 nor 1, or a scale is not positive.
    """
    rows, prior, likelihood = _rows(x, y), NormalPrior(_scale(x, prior_scale)), BernoulliLogit()
    if not np.isin(rows[1], (0.0, 1.0)).all():
        raise ValueError("labels of a logistic regression are 0 or 1")
    return Posterior(
        prior,
        likelihood,
        rows,
        prior_sample=prior.sample,
        simulate=Simulator(likelihood, rows[0]),
        curvature=LogisticCurvature(prior.scale),
    )


class Simulator(eqx.Module):
    """Draws y for the same x."""

    likelihood: Any
    x: np.ndarray

    def __call__(self, key: Any, w: Any) -> Rows:
        return self.likelihood.simulate(key, w, self.x)


def normal_log_density(x: Any, mean: Any, scale: Any) -> Any:
    """log N(x; mean, scale²), entry by entry."""
    z = (x - mean) / scale
    return -0.5 * z * z - jnp.log(scale) - 0.5 * math.log(2.0 * math.pi)


def _rows(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    rows, values = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if rows.ndim != 2 or values.shape != rows.shape[:1] or not rows.size:
        raise ValueError(
            f"a regression needs x of shape (n, d) and y of shape (n,), not {rows.shape} and {values.shape}"
        )
    if not (np.isfinite(rows).all() and np.isfinite(values).all()):
        raise ValueError("x and y need finite entries")
    return rows, values


def _scale(x: Any, scale: Any) -> np.ndarray:
    wide = np.broadcast_to(np.asarray(scale, np.float64), np.shape(x)[1:]).copy()
    if not (wide > 0.0).all():
        raise ValueError(f"prior_scale is {scale}; it must be positive")
    return wide
