"""Exponential families: one convex function, the log normaliser, from which everything else is derived.

    p(x) = h(x) exp(⟨η, t(x)⟩ − a(η))       mean  μ = ∇a(η)       covariance  ∇²a(η)
    a*(μ) = sup_η ⟨η, μ⟩ − a(η)             a(η) + a*(μ) ≥ ⟨η, μ⟩, equal where μ = ∇a(η); there a* = −entropy if h = 1

An Ising magnet is one: t(s) = (s_i s_j for each edge, then s_i), η_ij = βJ_ij, η_i = βH_i, a = log Z but for an offset.
Cost: the log normaliser's, and its derivatives' by JAX in float64; `ising` here sums 2^n terms, so n ≤ 20.
Fails when μ lies outside the interior of the means that any distribution can have: no η reaches it.
Source: Wainwright & Jordan 2008, Graphical models, exponential families, and variational inference, chapter 3.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from numpy.typing import ArrayLike

from calipers.models.ising import Ising

_MOST_SPINS = 20


class ExponentialFamily(eqx.Module):
    """A family of distributions.

    **Arguments:** `size`, the number of natural parameters k; `statistics`, t: x → (k,); `log_normalizer`, a: (k,) → a
    number, a function that JAX can differentiate; `log_base`, x → log h(x), 0 by default.
    """

    size: int
    statistics: Callable[[Any], Any]
    log_normalizer: Callable[[Any], Any]
    log_base: Callable[[Any], Any] = lambda _: 0.0

    def log_prob(self, eta: ArrayLike, x: Any) -> float:
        """log p(x) = log h(x) + ⟨η, t(x)⟩ − a(η)."""
        with jax.enable_x64(True):
            natural = _vector(eta, self.size)
            inner = natural @ jnp.asarray(self.statistics(x), float)
            return float(self.log_base(x) + inner - self.log_normalizer(natural))

    def log_partition(self, eta: ArrayLike) -> float:
        """a(η)."""
        with jax.enable_x64(True):
            return float(self.log_normalizer(_vector(eta, self.size)))

    def mean(self, eta: ArrayLike) -> np.ndarray:
        """Mean parameters μ = E[t(x)] = ∇a(η), shape (k,)."""
        with jax.enable_x64(True):
            return np.asarray(jax.grad(self.log_normalizer)(_vector(eta, self.size)))

    def covariance(self, eta: ArrayLike) -> np.ndarray:
        """Covariance of t(x), which is the Hessian of a, shape (k, k)."""
        with jax.enable_x64(True):
            return np.asarray(jax.hessian(self.log_normalizer)(_vector(eta, self.size)))

    def natural(self, mu: ArrayLike, *, tolerance: float = 1e-10, max_steps: int = 256) -> np.ndarray:
        """The natural parameters whose mean is μ: the inverse of `mean`, by damped Newton steps from η = 0.

        **Raises:** `ValueError` when none is found within `max_steps`: μ is not, or hardly, the mean of a distribution.
        """
        with jax.enable_x64(True):
            target = _vector(mu, self.size)
            solver: Any = optx.LevenbergMarquardt(rtol=tolerance, atol=tolerance)
            gradient = jax.grad(self.log_normalizer)
            found: Any = optx.root_find(
                lambda eta, goal: gradient(eta) - goal, solver, 0.0 * target, target, max_steps=max_steps, throw=False
            )
            miss = float(jnp.abs(gradient(found.value) - target).max(initial=0.0))
            if not miss <= 100 * tolerance:
                raise ValueError(f"no natural parameters have this mean; the closest found miss it by {miss:.2g}")
            return np.asarray(found.value)

    def conjugate(self, mu: ArrayLike) -> float:
        """a*(μ) = ⟨η, μ⟩ − a(η) at the η whose mean is μ; if h = 1 minus that distribution's entropy, in nats."""
        eta = self.natural(mu)
        return float(eta @ np.asarray(mu, float)) - self.log_partition(eta)


def bernoulli() -> ExponentialFamily:
    """One coin x ∈ {0, 1}: t(x) = x, η = log(p/(1−p)), a(η) = log(1 + e^η)."""
    return ExponentialFamily(1, lambda x: jnp.atleast_1d(x), lambda eta: jax.nn.softplus(eta[0]))


def ising(model: Ising) -> ExponentialFamily:
    """The family of all magnets on the edges of `model`, over spins ±1, its log normaliser summed over every state.

    **Raises:** `ValueError` above 20 spins; give `ExponentialFamily` a log normaliser that is cheaper.
    """
    if model.n > _MOST_SPINS:
        raise ValueError(f"{model.n} spins have 2^{model.n} states; at most {_MOST_SPINS} are summed over here")
    states = np.arange(2**model.n)[:, None] >> np.arange(model.n) & 1
    table = ising_statistics(model, 1.0 - 2.0 * states)
    statistics = functools.partial(ising_statistics, model)
    return ExponentialFamily(model.e + model.n, statistics, lambda eta: jax.nn.logsumexp(table @ eta))


def ising_statistics(model: Ising, spins: Any) -> Any:
    """t(s) = (s_i s_j for each edge, then s_i), shape (..., e + n)."""
    s = np.asarray(spins, float)
    return np.concatenate([s[..., model.edges[:, 0]] * s[..., model.edges[:, 1]], s], axis=-1)


def ising_natural(model: Ising) -> np.ndarray:
    """η = (βJ_ij for each edge, then βH_i), shape (e + n,); log Z of the model is a(η) − β·offset."""
    return model.beta * np.concatenate([model.couplings, model.fields])


def _vector(values: Any, size: int) -> jax.Array:
    vector = jnp.asarray(values, float)
    if vector.shape != (size,):
        raise ValueError(f"this family has {size} parameters, but shape {vector.shape} came")
    return vector
