"""A Gaussian whose scales and means bend with a few of its coordinates: an affine autoregressive flow of one layer.

    u = m + P L w,    w_i = z_i e^{s_i} + c_i,    s_i = Σ_{j < i} B_ij z_j + D_ij (log cosh z_j − κ),
                                                  c_i = Σ_{j < i} C_ij (z_j² − 1)/√2

P orders the coordinates; j runs over the first g of them, the ones that govern the others (the scale of a hierarchy
comes before what it scales). log cosh lets a scale level off on one side. B = C = D = 0 is the full-rank Gaussian.
Given z_1 … z_g the rest is Gaussian, so a funnel is matched exactly. Sampling and density are explicit. **Source** Tan,
Bhaskaran & Nott, *Conditionally structured variational Gaussian approximation with importance weights* (2020); Kingma
et al. (2016) for the general flow.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from calipers.variational.approximation import AbstractApproximation, Elliptical
from calipers.variational.gaussian_families import Full

_ROOT2 = math.sqrt(2.0)
_MOST_BEND = 20.0  # |s_i|, clipped beyond
_MEAN_LOG_COSH = 0.37459446  # of a standard normal; its error only moves m's parametrisation


class Conditional(AbstractApproximation):
    """**Arguments:** `gaussian`, m and L, in the permuted order; `order`, shape (d,), the coordinate of u that stands
    at each place; `scales` B and D, shape (d, 2g), and `means` C, shape (d, g), zero unless i > j; `base`, the law of
    z, standard normal to begin with.
    """

    gaussian: Elliptical
    order: np.ndarray
    scales: np.ndarray
    means: np.ndarray
    base: AbstractApproximation

    @property
    def dimension(self) -> int:
        return self.gaussian.dimension

    def with_base(self, base: AbstractApproximation) -> "Conditional":
        """Another law of z."""
        return Conditional(self.gaussian, self.order, self.scales, self.means, base)

    def place(self, z: np.ndarray) -> np.ndarray:
        """u of rows z."""
        w, _ = bend(z, self.scales, self.means)
        u = np.empty_like(w)
        u[:, self.order] = self.gaussian.place(w)
        return u

    def unplace(self, u: Any) -> tuple[Any, Any]:
        """z of u, shape (..., d), and s."""
        w = (u[..., self.order] - self.gaussian.mean) @ self.gaussian.inverse.T
        return _unbend(w, self.scales, self.means)

    def sample(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self.place(self.base.sample(random, count))

    def draw(self, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        return self.push(*self.base.draw(random, count))

    def push(self, z: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """u of rows z, and log q there, given the base's log density `logs` of z."""
        return self.place(z), logs - bend(z, self.scales, self.means)[1].sum(1) - self.gaussian.log_det

    def log_density(self, u: Any) -> Any:
        z, s = self.unplace(u)
        return self.base.log_density(z) - s.sum(-1) - self.gaussian.log_det


class Headed(AbstractApproximation):
    """A law of the first h coordinates, the others standard normal. **Arguments:** `head`; `tail`, d − h."""

    head: AbstractApproximation
    tail: int = eqx.field(static=True)

    @property
    def dimension(self) -> int:
        return self.head.dimension + self.tail

    def sample(self, random: np.random.Generator, count: int) -> np.ndarray:
        return np.concatenate([self.head.sample(random, count), random.standard_normal((count, self.tail))], axis=1)

    def log_density(self, u: Any) -> Any:
        h = self.head.dimension
        rest = -0.5 * (u[..., h:] ** 2).sum(-1) - 0.5 * self.tail * math.log(2.0 * math.pi)
        return self.head.log_density(u[..., :h]) + rest


def standard(d: int, scale: float = 1.0, freedom: float = math.inf) -> Elliptical:
    """N(0, scale² I), or a t."""
    return Elliptical(np.zeros(d), np.full(d, scale), freedom)


def straight(gaussian: Elliptical) -> Conditional:
    """A Gaussian as one that does not bend; its order is the given one."""
    d, factor = gaussian.dimension, gaussian.factor
    dense = Elliptical(gaussian.mean, np.diag(factor) if factor.ndim == 1 else factor)
    return Conditional(dense, np.arange(d), np.zeros((d, 2)), np.zeros((d, 1)), standard(d))


def bend(z: Any, scales: np.ndarray, means: np.ndarray) -> tuple[Any, Any]:
    """w and s of rows z; NumPy or JAX."""
    xp: Any = jnp if isinstance(z, jax.Array) else np
    governing = z[:, : means.shape[1]]
    s = xp.clip(_features(governing) @ scales.T, -_MOST_BEND, _MOST_BEND)
    return z * xp.exp(s) + _square(governing) @ means.T, s


def _square(z: Any) -> Any:
    return (z * z - 1.0) / _ROOT2


def _features(z: Any) -> Any:
    """z and log cosh z less its mean under N(0, 1), side by side."""
    xp: Any = jnp if isinstance(z, jax.Array) else np
    return xp.concatenate([z, xp.logaddexp(z, -z) - math.log(2.0) - _MEAN_LOG_COSH], axis=-1)


def _unbend(w: Any, scales: np.ndarray, means: np.ndarray) -> tuple[Any, Any]:
    """z and s of w: the governing coordinates one after another, then all others at once."""
    xp: Any = jnp if isinstance(w, jax.Array) else np
    g = means.shape[1]
    first = w[..., :0]
    for i in range(g):
        known = list(range(i)) + list(range(g, g + i))
        s = xp.clip(_features(first) @ scales[i, known], -_MOST_BEND, _MOST_BEND)
        z = (w[..., i] - _square(first) @ means[i, :i]) * xp.exp(-s)
        first = xp.concatenate([first, z[..., None]], axis=-1)
    s = xp.clip(_features(first) @ scales.T, -_MOST_BEND, _MOST_BEND)
    return (w - _square(first) @ means.T) * xp.exp(-s), s


class ConditionalFamily:
    """Conditional Gaussians in flat parameters (m, log diag L, L below, B, D, C), whitened by a Gaussian to start from.

    **Arguments:** `start`; `order`; `governing`, g.
    """

    def __init__(self, start: Elliptical, order: np.ndarray, governing: int):
        covariance = start.covariance[np.ix_(order, order)]
        self.order, self.g = order, governing
        self.full = Full(Elliptical(start.mean[order], np.linalg.cholesky(covariance)))
        self.start, self.d, self.noise = self.full.start, start.dimension, start.dimension
        below = np.arange(self.d)[:, None] > np.arange(governing)[None, :]
        self.bent, self.shifted = np.nonzero(np.concatenate([below, below], axis=1)), np.nonzero(below)
        self.cut = len(self.full.first())
        self.cut_means = self.cut + len(self.bent[0])

    def first(self) -> np.ndarray:
        return np.concatenate([self.full.first(), np.zeros(len(self.bent[0]) + len(self.shifted[0]))])

    def _bends(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scales, means = np.zeros((self.d, 2 * self.g)), np.zeros((self.d, self.g))
        scales[self.bent], means[self.shifted] = theta[self.cut : self.cut_means], theta[self.cut_means :]
        return scales, means

    def place(self, w: np.ndarray) -> np.ndarray:
        u = np.empty_like(w)
        u[:, self.order] = self.full.place(w)
        return u

    def pull(self, gradients: np.ndarray) -> np.ndarray:
        return self.full.pull(gradients[:, self.order])

    def draw(self, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
        return self.full.draw(theta[: self.cut], bend(z, *self._bends(theta))[0])

    def entropy(self, theta: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
        """That of the Gaussian, and the mean of Σ_i s_i over the draws."""
        value, gradient = self.full.entropy(theta[: self.cut], z)
        features = _features(z[:, : self.g]).mean(0)
        scales, _ = self._bends(theta)
        bent = np.broadcast_to(features, scales.shape)[self.bent]
        value += float((scales @ features).sum())
        return value, np.concatenate([gradient, bent, np.zeros(len(self.shifted[0]))])

    def chain(self, theta: np.ndarray, z: np.ndarray, g: np.ndarray) -> np.ndarray:
        w, s = bend(z, *self._bends(theta))
        gaussian = self.full.chain(theta[: self.cut], w, g)
        inner = g @ self.full.matrix(theta[: self.cut])  # ∂f/∂w
        governing = z[:, : self.g]
        scales = (inner * z * np.exp(s)).T @ _features(governing) / len(z)
        means = inner.T @ _square(governing) / len(z)
        return np.concatenate([gaussian, scales[self.bent], means[self.shifted]])

    def result(self, theta: np.ndarray) -> Conditional:
        scales, means = self._bends(theta)
        return Conditional(self.full.result(theta[: self.cut]), self.order, scales, means, standard(self.d))


def governing_order(w: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates by how much they govern the curvature of the others, and that number, both shape (d,).

    **Arguments:** `w`, draws in coordinates in which they are standard normal, `g`, gradients of log p̃ there, both
    shape (s, d). By Stein's identity E[(g_j w_j + …) w_i] averages ∂³ log p̃ / ∂w_i ∂w_j².
    """
    curvature = g * w
    curvature = curvature - curvature.mean(0)
    influence = np.abs(w.T @ curvature / len(w))  # (i, j)
    np.fill_diagonal(influence, 0.0)
    total = np.sqrt((influence**2).sum(1))
    return np.argsort(-total), np.sort(total)[::-1]
