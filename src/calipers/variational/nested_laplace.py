"""A law of the few coordinates θ that govern the others, and a Gaussian of the others around their mode given θ.

    q(θ, x) = q(θ) q(x | θ),     q(x | θ) = N(m(θ), H(θ)⁻¹),    m(θ) = argmax_x log p̃(θ, x),   H = −∇²_x log p̃ at m(θ)
    log p̂(θ) = log p̃(θ, m) + ½ r log 2π − ½ log det H                        which q(θ) is fitted to, r = dim x

Where p̃ is Gaussian in x given θ (paths and random effects whose scales are unknown), q(x | θ) is exact, and weights
depend on the few θ alone: scales may fall to zero, where x narrows in a way that no fixed family follows. Elsewhere
draws of x have wider tails. m and H come from damped Newton steps that are a function of θ alone, so that q is
normalised wherever they end (docs/theorems.md, theorem V3). **Proves** nothing. **Cost** r gradients and r³ a draw.
**Fails** where x given θ has several modes. **Source** Rue, Martino & Chopin, *Approximate Bayesian inference for
latent Gaussian models by using integrated nested Laplace approximations* (2009); importance weights on top correct what
is not Gaussian.
"""

import math
import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from calipers.core.model import AbstractContinuousModel
from calipers.variational.approximation import AbstractApproximation, Elliptical, Mixture
from calipers.variational.conditional import Conditional, standard, straight
from calipers.variational.modes import wide_start
from calipers.variational.population import adapt, reinforced
from calipers.variational.target import Target

_BATCH = 64
_STEPS = 30  # of Newton
_NEAR = 1e-6  # squared deviations from the mode
_HALVINGS = (1.0, 0.5, 0.25, 0.0625, 1.0 / 1024.0)
_TOLD = 64  # draws to time, and to see whether x is Gaussian given θ
_EXACT = 1e-6  # nats that log weights at one θ may differ by
_DRAWS, _ROUNDS, _REINFORCED = 4096, 10, 2  # of θ


class Given(NamedTuple):
    """What is known of x at each θ: the mode (s, r), the Cholesky factor of H (s, r, r), log p̂(θ) in nats (s,)."""

    mode: np.ndarray
    factor: np.ndarray
    log_marginal: np.ndarray


class Inner(eqx.Module):
    """x given θ. **Arguments:** `model`; `head` and `rest`, the places of θ and of x in u; `mean` and `slope`, shapes
    (r,) and (r, g), of the line that Newton's steps begin on; `factor`, of the H to use where there is none.
    """

    model: AbstractContinuousModel
    head: np.ndarray
    rest: np.ndarray
    mean: np.ndarray
    slope: np.ndarray
    factor: np.ndarray

    def joined(self, theta: Any, x: Any) -> Any:
        """u of rows θ and x."""
        xp: Any = jnp if isinstance(theta, jax.Array) or isinstance(x, jax.Array) else np
        places = xp.argsort(xp.concatenate([self.head, self.rest]))
        return xp.concatenate([theta, x], axis=-1)[..., places]

    def given(self, theta: np.ndarray) -> Given:
        """At every row of θ."""
        parts = []
        with jax.enable_x64(True):
            for begin in range(0, len(theta), _BATCH):
                rows = theta[begin : begin + _BATCH]
                filled = np.concatenate([rows, np.repeat(rows[:1], _BATCH - len(rows), 0)])
                parts.append([np.asarray(a)[: len(rows)] for a in _climbed(self, jnp.asarray(filled))])
        return Given(*(np.concatenate(a) for a in zip(*parts, strict=True)))


@eqx.filter_jit
def _climbed(inner: Inner, theta: Any) -> Any:
    return jax.vmap(lambda row: _climb(inner, row))(theta)


def _climb(inner: Inner, theta: Any) -> Any:
    """Damped Newton steps at one θ: the mode, the factor of H, log p̂."""
    line = inner.mean + inner.slope @ theta

    def value(x: Any) -> Any:
        return inner.model.flat_log_weight(inner.joined(theta, x))

    slope, hessian = jax.grad(value), jax.hessian(value)
    halvings = jnp.asarray(_HALVINGS)

    def step(state: Any) -> Any:
        x, high, gradient, _, count, _ = state
        factor = jnp.linalg.cholesky(-hessian(x))
        factor = jnp.where(jnp.isfinite(factor).all(), factor, inner.factor)
        direction = jax.scipy.linalg.cho_solve((factor, True), gradient)
        trials = x + halvings[:, None] * direction
        values = jax.vmap(value)(trials)
        values = jnp.where(jnp.isfinite(values), values, -jnp.inf)
        best = jnp.argmax(values)
        better = values[best] > high
        x, high = jnp.where(better, trials[best], x), jnp.where(better, values[best], high)
        gradient = slope(x)
        whitened = jax.scipy.linalg.solve_triangular(factor, gradient, lower=True)
        done = ~better | ~(whitened @ whitened > _NEAR)
        return x, high, gradient, factor, count + 1, done

    first = (line, value(line), slope(line), jnp.asarray(inner.factor), 0, jnp.asarray(False))
    x, high, _, factor, _, _ = jax.lax.while_loop(lambda s: ~s[5] & (s[4] < _STEPS), step, first)
    log_det = jnp.log(jnp.diagonal(factor)).sum()
    return x, factor, high + 0.5 * len(line) * math.log(2.0 * math.pi) - log_det


class NestedLaplace(AbstractApproximation):
    """**Arguments:** `inner`; `law`, of θ; `base`, of the whitened x, standard normal where that is exact."""

    inner: Inner
    law: AbstractApproximation
    base: AbstractApproximation

    @property
    def dimension(self) -> int:
        return len(self.inner.head) + len(self.inner.rest)

    def sample(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self.draw(random, count)[0]

    def draw(self, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        theta, outer = self.law.draw(random, count)
        z, below = self.base.draw(random, count)
        at = self.inner.given(theta)
        x = at.mode + np.linalg.solve(np.swapaxes(at.factor, 1, 2), z[..., None])[..., 0]
        return self.inner.joined(theta, x), outer + below + _log_det(at)

    def log_density(self, u: Any) -> Any:
        flat = np.asarray(u, np.float64).reshape(-1, self.dimension)
        theta, x = flat[:, self.inner.head], flat[:, self.inner.rest]
        at = self.inner.given(theta)
        z = np.einsum("sji,sj->si", at.factor, x - at.mode)
        logs = self.law.log_density(theta) + self.base.log_density(z) + _log_det(at)
        return logs.reshape(np.shape(u)[:-1])


def _log_det(at: Given) -> np.ndarray:
    return np.asarray(np.log(np.diagonal(at.factor, axis1=1, axis2=2)).sum(1))


class Marginal:
    """log p̂ as a function of θ, the way fits look at a target. **Arguments:** `inner`."""

    def __init__(self, inner: Inner):
        self.inner = inner

    def values(self, theta: np.ndarray) -> np.ndarray:
        """log p̂ of the rows of θ, shape (s,); −∞ where it is no number."""
        logs = self.inner.given(theta).log_marginal
        return np.where(np.isfinite(logs), logs, -np.inf)


def fit_nested(
    target: Target, gaussian: Elliptical, bent: Conditional, random: np.random.Generator, seconds: float = math.inf
) -> NestedLaplace | None:
    """The law of the coordinates that govern `bent`, fitted to log p̂ by population Monte Carlo.

    **Arguments:** `gaussian`, the full-rank fit; `bent`, the fit whose order and governing coordinates are taken;
    `seconds` that it may take; None is returned where that would not do, or nothing is left to be governed.
    """
    g = bent.means.shape[1]
    if g >= target.dimension:
        return None
    head = bent.order[:g]
    inner = _inner(target, gaussian, head, np.sort(bent.order[g:]))
    near = Elliptical(
        gaussian.mean[inner.head], np.linalg.cholesky(gaussian.covariance[np.ix_(inner.head, inner.head)])
    )
    theta = near.sample(random, _TOLD)
    inner.given(theta)  # compiles
    began = time.monotonic()
    at = inner.given(theta)
    if (time.monotonic() - began) / _TOLD * _DRAWS * (_ROUNDS + _REINFORCED + 2) > seconds:
        return None
    exact = _exact(target, inner, theta, at, random)
    wide = _wide(target, near, head, random)
    law, _ = adapt(Marginal(inner), straight(wide), random, head=g, draws=_DRAWS, rounds=_ROUNDS)
    r, shares = len(inner.rest), np.array([0.9, 0.1])
    base = standard(r) if exact else Mixture(shares, (standard(r), standard(r, 1.1, 5.0)))
    whole: AbstractApproximation = Mixture(shares, (law, wide.widened(1.0, 4.0)))
    for _ in range(_REINFORCED):
        whole = reinforced(Marginal(inner), whole, random, _DRAWS)
    return NestedLaplace(inner, whole, base)


def _wide(target: Target, near: Elliptical, head: np.ndarray, random: np.random.Generator) -> Elliptical:
    """As wide as the starting points are, around the fit: plateaus lie many of its deviations away."""
    spread = wide_start(target.model, random).covariance[np.ix_(head, head)]
    return Elliptical(near.mean, np.linalg.cholesky(near.covariance + spread))


def _inner(target: Target, gaussian: Elliptical, head: np.ndarray, rest: np.ndarray) -> Inner:
    """Newton's steps begin at the mean that the Gaussian fit has given θ."""
    covariance = gaussian.covariance
    slope = np.linalg.solve(covariance[np.ix_(head, head)], covariance[np.ix_(head, rest)]).T
    mean = gaussian.mean[rest] - slope @ gaussian.mean[head]
    given = covariance[np.ix_(rest, rest)] - slope @ covariance[np.ix_(head, rest)]
    return Inner(target.model, head, rest, mean, slope, np.linalg.cholesky(np.linalg.inv(given)))


def _exact(target: Target, inner: Inner, theta: np.ndarray, at: Given, random: np.random.Generator) -> bool:
    """Whether log weights of draws of x at one θ are all log p̂(θ): then x given θ is Gaussian."""
    z = random.standard_normal(at.mode.shape)
    x = at.mode + np.linalg.solve(np.swapaxes(at.factor, 1, 2), z[..., None])[..., 0]
    logs = target.values(inner.joined(theta, x)) - standard(z.shape[1]).log_density(z) - _log_det(at)
    return bool(np.abs(logs - at.log_marginal).max() < _EXACT * (1.0 + np.abs(at.log_marginal).max()))
