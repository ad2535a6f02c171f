"""Log densities of trial densities with their gradients, many points at once: by formula where there is one, else JAX.

    Gaussian  ∇log q = −Σ⁻¹(u − m);    t: times (ν + d)/(ν + |z|²);    mixture: the terms' gradients by their shares

**Cost** d² a point; other densities are compiled once each.
"""

import functools
import math
from collections.abc import Callable

import jax
import numpy as np

from calipers.variational.approximation import AbstractApproximation, Elliptical, Mixture

Density = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@functools.singledispatch
def density_with_slope(q: AbstractApproximation) -> Density:
    """A function from rows u, shape (s, d), to log q, shape (s,), and its gradients, shape (s, d), float64."""
    compiled = jax.jit(jax.vmap(jax.value_and_grad(q.log_density)))

    def density(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with jax.enable_x64(True):
            values, slopes = compiled(u)
        return np.asarray(values), np.asarray(slopes)

    return density


@density_with_slope.register
def _elliptical(q: Elliptical) -> Density:
    def density(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        diagonal = q.factor.ndim == 1
        z = (u - q.mean) * q.inverse if diagonal else (u - q.mean) @ q.inverse.T
        slope = -(z * q.inverse if diagonal else z @ q.inverse)
        if math.isfinite(q.freedom):
            slope = slope * (q.freedom + q.dimension) / (q.freedom + (z * z).sum(-1, keepdims=True))
        return q.log_density(u), slope

    return density


@density_with_slope.register
def _mixture(q: Mixture) -> Density:
    parts = [density_with_slope(part) for part in q.components]

    def density(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = zip(*(part(u) for part in parts), strict=True)
        logs = np.log(q.weights) + np.stack(values, axis=-1)
        total = np.logaddexp.reduce(logs, axis=-1)
        return total, np.einsum("sk,ksd->sd", np.exp(logs - total[:, None]), np.stack(slopes))

    return density
