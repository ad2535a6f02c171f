"""Two families that are hard in their own ways: a hierarchy of normal means, and a mixture of normals.

    hierarchy   y_i ~ N(θ_i, σ_i²),  θ_i = μ + τ η_i,  η_i ~ N(0, 1),  μ ~ N(0, m²),  τ ~ C⁺(0, t)   (not centred)
                the same with θ_i ~ N(μ, τ²) as the parameters                                       (centred)
    mixture     y_i ~ Σ_k w_k N(μ_k, s_k²),  w ~ Dirichlet(1),  μ_k ~ N(0, m²) in order,  s_k ~ half-normal(t)

The half-Cauchy and half-normal carry their factor 2, ordered means the k! of their orderings: priors are normalised.
**Source** Rubin (1981) for the eight schools; Gelman et al., *Bayesian Data Analysis*.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from calipers.models.bijector import Ordered, Positive, Simplex
from calipers.models.posterior import Posterior
from calipers.models.regression import normal_log_density


class HierarchyPrior(eqx.Module):
    """μ, τ and the groups' effects."""

    mean_scale: float
    scale: float
    groups: int = eqx.field(static=True)
    centred: bool = eqx.field(static=True)

    def __call__(self, z: Any) -> Any:
        top = normal_log_density(z["mu"], 0.0, self.mean_scale) + half_cauchy_log_density(z["tau"], self.scale)
        centre, width = (z["mu"], z["tau"]) if self.centred else (0.0, 1.0)
        return top + normal_log_density(z["theta"], centre, width).sum()

    def sample(self, key: Any) -> Any:
        a, b, c = jax.random.split(key, 3)
        mu = self.mean_scale * jax.random.normal(a)
        tau = jnp.abs(self.scale * jax.random.cauchy(b))
        eta = jax.random.normal(c, (self.groups,))
        return {"mu": mu, "tau": tau, "theta": mu + tau * eta if self.centred else eta}


class GroupMeans(eqx.Module):
    """Each group's mean, measured with a known error; data are (y, σ)."""

    centred: bool = eqx.field(static=True)

    def _means(self, z: Any) -> Any:
        return z["theta"] if self.centred else z["mu"] + z["tau"] * z["theta"]

    def __call__(self, z: Any, data: Any) -> Any:
        return normal_log_density(data[0], self._means(z), data[1]).sum()


class GroupSimulator(eqx.Module):
    """Draws y for the same errors."""

    likelihood: GroupMeans
    errors: np.ndarray

    def __call__(self, key: Any, z: Any) -> Any:
        return self.likelihood._means(z) + self.errors * jax.random.normal(key, np.shape(self.errors)), self.errors


def hierarchical_normal(
    y: Any, errors: Any, *, mean_scale: float = 5.0, scale: float = 5.0, centred: bool = False
) -> Posterior:
    """A hierarchy of group means, as of the eight schools; parameters `mu`, `tau`, `theta`.

    **Arguments:** `y`, what each group measured, and its standard `errors`, shape (n,); `mean_scale` of μ; `scale` of
    the half-Cauchy τ; `centred`, whether `theta` are the means themselves, or their standardised offsets.

    **Raises:** `ValueError` when the shapes do not fit, or an error is not positive.
    """
    data = np.asarray(y, np.float64), np.asarray(errors, np.float64)
    if data[0].ndim != 1 or data[0].shape != data[1].shape or not (data[1] > 0.0).all():
        raise ValueError("a hierarchy needs y and positive errors, both of shape (n,)")
    prior, likelihood = HierarchyPrior(mean_scale, scale, len(data[0]), centred), GroupMeans(centred)
    return Posterior(
        prior,
        likelihood,
        data,
        prior_sample=prior.sample,
        simulate=GroupSimulator(likelihood, data[1]),
        constraints={"tau": Positive()},
    )


class MixturePrior(eqx.Module):
    """Weights, ordered means and scales of `components` normals."""

    mean_scale: float
    scale: float
    components: int = eqx.field(static=True)

    def __call__(self, z: Any) -> Any:
        k = self.components
        means = normal_log_density(z["means"], 0.0, self.mean_scale).sum() + math.lgamma(k + 1)
        scales = k * math.log(2.0) + normal_log_density(z["scales"], 0.0, self.scale).sum()
        return math.lgamma(k) + means + scales

    def sample(self, key: Any) -> Any:
        a, b, c = jax.random.split(key, 3)
        k = self.components
        return {
            "weights": jax.random.dirichlet(a, jnp.ones(k)),
            "means": jnp.sort(self.mean_scale * jax.random.normal(b, (k,))),
            "scales": jnp.abs(self.scale * jax.random.normal(c, (k,))),
        }


class MixtureLikelihood(eqx.Module):
    """Independent observations of a mixture."""

    def __call__(self, z: Any, y: Any) -> Any:
        logs = jnp.log(z["weights"]) + normal_log_density(jnp.asarray(y)[:, None], z["means"], z["scales"])
        return jax.nn.logsumexp(logs, axis=1).sum()


class MixtureSimulator(eqx.Module):
    """Draws `count` observations."""

    count: int = eqx.field(static=True)

    def __call__(self, key: Any, z: Any) -> Any:
        a, b = jax.random.split(key)
        which = jax.random.categorical(a, jnp.log(z["weights"]), shape=(self.count,))
        return z["means"][which] + z["scales"][which] * jax.random.normal(b, (self.count,))


def normal_mixture(y: Any, components: int = 2, *, mean_scale: float = 3.0, scale: float = 1.0) -> Posterior:
    """A mixture of normals with ordered means; parameters `weights`, `means`, `scales`.

    **Raises:** `ValueError` when `y` is not a vector of finite numbers, or there are no two components.
    """
    data = np.asarray(y, np.float64)
    if data.ndim != 1 or not np.isfinite(data).all() or components < 2:
        raise ValueError("a mixture needs y of shape (n,), finite, and two components or more")
    prior = MixturePrior(mean_scale, scale, components)
    constraints = {"weights": Simplex(), "means": Ordered(), "scales": Positive()}
    simulate = MixtureSimulator(len(data))
    return Posterior(
        prior, MixtureLikelihood(), data, prior_sample=prior.sample, simulate=simulate, constraints=constraints
    )


def half_cauchy_log_density(x: Any, scale: float) -> Any:
    """log of 2 / (π s (1 + (x/s)²)), x > 0."""
    return math.log(2.0 / math.pi) - jnp.log(scale) - jnp.log1p((x / scale) ** 2)
