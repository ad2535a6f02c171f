"""Log densities of trial densities with their gradients, many points at once: by formula where there is one, else JAX.

    Gaussian  ∇log q = −Σ⁻¹(u − m);    t: times (ν + d)/(ν + |z|²);    mixture: the terms' gradients by their shares

**Cost** d² a point; other densities are compiled once each.
"""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import numpy as np

from calipers.variational.approximation import AbstractApproximation, Elliptical, Mixture


@functools.singledispatch
def log_density_and_slope(q: AbstractApproximation, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log q at the rows of u, shape (s,), and its gradients, shape (s, d), float64."""
    with jax.enable_x64(True):
        values, slopes = _compiled(q, u)
    return np.asarray(values), np.asarray(slopes)


@eqx.filter_jit
def _compiled(q: AbstractApproximation, u: Any) -> Any:
    return jax.vmap(jax.value_and_grad(q.log_density))(u)


@log_density_and_slope.register
def _elliptical(q: Elliptical, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    diagonal = q.factor.ndim == 1
    z = (u - q.mean) * q.inverse if diagonal else (u - q.mean) @ q.inverse.T
    slope = -(z * q.inverse if diagonal else z @ q.inverse)
    if math.isfinite(q.freedom):
        slope = slope * (q.freedom + q.dimension) / (q.freedom + (z * z).sum(-1, keepdims=True))
    return q.log_density(u), slope


@log_density_and_slope.register
def _mixture(q: Mixture, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, slopes = zip(*(log_density_and_slope(part, u) for part in q.components), strict=True)
    logs = np.log(q.weights) + np.stack(values, axis=-1)
    total = np.logaddexp.reduce(logs, axis=-1)
    return total, np.einsum("sk,ksd->sd", np.exp(logs - total[:, None]), np.stack(slopes))
