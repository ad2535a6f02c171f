"""Trial densities over an unconstrained vector that can be sampled and evaluated: Gaussians, Student's t, mixtures.

    u = m + L z / √(χ²_ν / ν),   z ~ N(0, I);        log q(u) from |L⁻¹(u − m)|² and log det L

Arithmetic is written in operators, so that `log_density` takes NumPy arrays and traced JAX arrays alike. **Cost** d² a
point (d when L is diagonal). **Proves** nothing; q is normalised by construction, which is all that bounds need of it.
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln


class AbstractApproximation(eqx.Module):
    """A normalised density q over R^d."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """d."""

    @abc.abstractmethod
    def sample(self, random: np.random.Generator, count: int) -> np.ndarray:
        """`count` independent draws, shape (count, d), float64."""

    @abc.abstractmethod
    def log_density(self, u: Any) -> Any:
        """log q at u, shape (..., d), in nats, shape (...)."""

    def draw(self, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws u, and log q at them: from what they were made of where inverting that would lose digits."""
        u = self.sample(random, count)
        return u, self.log_density(u)


class Elliptical(AbstractApproximation):
    """A Gaussian (ν = ∞), or Student's t with ν degrees of freedom.

    **Arguments:** `mean`, shape (d,); `factor`, L lower-triangular, shape (d, d), or its diagonal, shape (d,);
    `freedom`, ν.
    """

    mean: np.ndarray
    factor: np.ndarray
    inverse: np.ndarray  # of the factor
    log_det: float
    freedom: float = eqx.field(static=True)

    def __init__(self, mean: np.ndarray, factor: np.ndarray, freedom: float = math.inf):
        self.mean, self.factor, self.freedom = np.asarray(mean, np.float64), np.asarray(factor, np.float64), freedom
        diagonal = self.factor if self.factor.ndim == 1 else np.diag(self.factor)
        if not (np.isfinite(self.factor).all() and (diagonal > 0.0).all()):
            raise ValueError("the factor of a Gaussian needs finite entries and a positive diagonal")
        self.inverse = 1.0 / self.factor if self.factor.ndim == 1 else np.linalg.inv(self.factor)
        self.log_det = float(np.log(diagonal).sum())

    @property
    def dimension(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> np.ndarray:
        """L Lᵀ: the covariance of a Gaussian, the scale matrix of a t."""
        return np.diag(self.factor**2) if self.factor.ndim == 1 else self.factor @ self.factor.T

    def place(self, z: np.ndarray) -> np.ndarray:
        """m + L z for rows z."""
        return self.mean + (z * self.factor if self.factor.ndim == 1 else z @ self.factor.T)

    def sample(self, random: np.random.Generator, count: int) -> np.ndarray:
        z = random.standard_normal((count, self.dimension))
        if math.isfinite(self.freedom):
            z /= np.sqrt(random.chisquare(self.freedom, (count, 1)) / self.freedom)
        return self.place(z)

    def log_density(self, u: Any) -> Any:
        centred = u - self.mean
        z = centred * self.inverse if self.factor.ndim == 1 else centred @ self.inverse.T
        square, d, v = (z * z).sum(-1), self.dimension, self.freedom
        if math.isinf(v):
            return -0.5 * square - self.log_det - 0.5 * d * math.log(2.0 * math.pi)
        log1p = jnp.log1p if isinstance(u, jax.Array) else np.log1p
        constant = float(gammaln(0.5 * (v + d)) - gammaln(0.5 * v)) - 0.5 * d * math.log(v * math.pi)
        return constant - self.log_det - 0.5 * (v + d) * log1p(square / v)

    def widened(self, scale: float, freedom: float) -> "Elliptical":
        """The same shape with L times `scale`, and other tails."""
        return Elliptical(self.mean, self.factor * scale, freedom)


class Mixture(AbstractApproximation):
    """Σ_k w_k q_k. **Arguments:** `weights`, shape (k,), positive; they are normalised here; `components`."""

    weights: np.ndarray
    components: tuple[AbstractApproximation, ...]

    def __init__(self, weights: np.ndarray, components: tuple[AbstractApproximation, ...]):
        self.weights = np.asarray(weights, np.float64) / np.sum(weights)
        self.components = tuple(components)

    @property
    def dimension(self) -> int:
        return self.components[0].dimension

    def sample(self, random: np.random.Generator, count: int) -> np.ndarray:
        counts = random.multinomial(count, self.weights)
        draws = [q.sample(random, int(n)) for q, n in zip(self.components, counts, strict=True) if n]
        return random.permutation(np.concatenate(draws))

    def log_density(self, u: Any) -> Any:
        logs = self.log_terms(u)
        return jax.nn.logsumexp(logs, axis=-1) if isinstance(u, jax.Array) else np.logaddexp.reduce(logs, axis=-1)

    def log_terms(self, u: Any) -> Any:
        """log (w_k q_k(u)), shape (..., k)."""
        stack = jnp.stack if isinstance(u, jax.Array) else np.stack
        terms = zip(self.weights, self.components, strict=True)
        return stack([np.log(w) + q.log_density(u) for w, q in terms], axis=-1)
