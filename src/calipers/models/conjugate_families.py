"""Ready-made conjugate models of rows: a Gaussian mixture, and linear regression with unknown noise.

    mixture      π ~ Dirichlet(α), (μ_k, Λ_k) ~ Normal–Wishart, z_i ~ π, x_i ~ N(μ_z, Λ_z⁻¹)
    regression   τ ~ Gamma(a, b), w ~ N(0, s² I / τ), y_i ~ N(x_i·w, 1/τ)

Natural parameters are prior counts and sums: those of rows add to them. **Source** Bishop, *Pattern Recognition and
Machine Learning* (2006), §10.2 and exercise 3.12.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from calipers.models.conjugate_model import ConjugateModel

_LOG_2PI = math.log(2.0 * math.pi)


def mixture_log_normaliser(p: Any) -> Any:
    """A of a Dirichlet and k Normal–Wisharts.

    **Arguments:** `p`, a dict: "weight" α (k,); "count" ν − d (k,); "shrinkage" κ (k,); "sum" κ·mean (k, d); "square"
    W⁻¹ + κ·mean·meanᵀ (k, d, d). Their statistics are log π, ½ log |Λ|, −½ μᵀΛμ, Λμ and −½ Λ.
    """
    d = p["sum"].shape[-1]
    kappa, nu = p["shrinkage"], p["count"] + d
    scatter = p["square"] - p["sum"][:, :, None] * p["sum"][:, None, :] / kappa[:, None, None]
    log_det = 2.0 * jnp.log(jnp.diagonal(jnp.linalg.cholesky(scatter), axis1=1, axis2=2)).sum(1)
    gammas = jax.scipy.special.gammaln(0.5 * (nu[:, None] - jnp.arange(d))).sum(1) + 0.25 * d * (d - 1) * math.log(
        math.pi
    )
    wishart = 0.5 * nu * d * math.log(2.0) + gammas - 0.5 * nu * log_det
    normal = 0.5 * d * (_LOG_2PI - jnp.log(kappa))
    dirichlet = jax.scipy.special.gammaln(p["weight"]).sum() - jax.scipy.special.gammaln(p["weight"].sum())
    return dirichlet + (wishart + normal).sum()


class MixtureLocal(eqx.Module):
    """ℓ of a row: log Σ_k exp of the expected log weight and log density of component k."""

    location: np.ndarray

    def logits(self, m: Any, x: Any) -> Any:
        """Log weights of the components, shape (rows, k)."""
        centred = jnp.asarray(x) - self.location
        n, d = centred.shape
        outer = (centred[:, :, None] * centred[:, None, :]).reshape(n, d * d)
        constant = m["weight"] + m["count"] + m["shrinkage"] - 0.5 * d * _LOG_2PI
        return constant + centred @ m["sum"].T + outer @ m["square"].reshape(-1, d * d).T

    def __call__(self, m: Any, x: Any) -> Any:
        return jax.nn.logsumexp(self.logits(m, x), axis=1)


class MixtureStatistics(eqx.Module):
    """s(θ) of θ = {"weights": (k,), "means": (k, d), "precisions": (k, d, d)}."""

    location: np.ndarray

    def __call__(self, x: Any) -> Any:
        precision, mean = x["precisions"], x["means"] - self.location
        pull = jnp.einsum("kij,kj->ki", precision, mean)
        return {
            "weight": jnp.log(x["weights"]),
            "count": 0.5 * jnp.linalg.slogdet(precision)[1],
            "shrinkage": -0.5 * (pull * mean).sum(1),
            "sum": pull,
            "square": -0.5 * precision,
        }


class MixtureBegin(eqx.Module):
    """Seeds far apart (k-means++), and every row with the seed that is nearest."""

    prior: Any
    location: np.ndarray

    def __call__(self, x: Any, share: float, random: np.random.Generator) -> Any:
        rows, k = np.asarray(x, np.float64) - self.location, len(self.prior["weight"])
        near, chosen = np.full(len(rows), math.inf), np.zeros(len(rows), np.int64)
        for j in range(k):
            odds = near if j and near.sum() > 0.0 else np.ones(len(rows))
            seed = rows[random.choice(len(rows), p=odds / odds.sum())]
            away = ((rows - seed) ** 2).sum(1)
            chosen, near = np.where(away < near, j, chosen), np.minimum(near, away)
        mine = share * (chosen[:, None] == np.arange(k))
        count = mine.sum(0)
        told = {"weight": count, "count": count, "shrinkage": count, "sum": mine.T @ rows}
        told["square"] = np.einsum("nk,ni,nj->kij", mine, rows, rows)
        return jax.tree.map(np.add, self.prior, told)


def gaussian_mixture(
    rows: Any,
    components: int,
    *,
    concentration: float = 1.0,
    location: Any = 0.0,
    shrinkage: float = 0.01,
    degrees: float | None = None,
    scatter: Any = 1.0,
) -> ConjugateModel:
    """A mixture of Gaussians with unknown weights, means and precisions; each row's component is its latent variable.

    **Arguments:** `rows`, of shape (d,) each, as `cal.Rows` makes them; `components`, k; the prior:
    `concentration` α of the weights; means N(`location`, (shrinkage · Λ)⁻¹); precisions Wishart of `degrees` ν (d + 2
    unless told), E[Λ⁻¹] = `scatter` / (ν − d − 1), a number (times I) or shape (d, d).

    **Raises:** `ValueError` when the prior is not proper or the rows are not vectors.
    """
    shape = np.shape(rows.read(0, 1))
    if len(shape) != 2 or components < 1:
        raise ValueError(
            f"a mixture needs rows that are vectors and 1 component or more, not {shape[1:]}, {components}"
        )
    d, k = shape[1], components
    nu = d + 2.0 if degrees is None else float(degrees)
    if not (concentration > 0.0 and shrinkage > 0.0 and nu > d - 1.0):
        raise ValueError(
            f"concentration {concentration} and shrinkage {shrinkage} must be positive, degrees {nu} > d − 1"
        )
    wide = np.asarray(scatter, np.float64)
    wide = wide * np.eye(d) if wide.ndim == 0 else wide
    prior = {
        "weight": np.full(k, float(concentration)),
        "count": np.full(k, nu - d),
        "shrinkage": np.full(k, float(shrinkage)),
        "sum": np.zeros((k, d)),
        "square": np.tile(wide, (k, 1, 1)),
    }
    centre = np.broadcast_to(np.asarray(location, np.float64), (d,)).copy()
    local, known = MixtureLocal(centre), MixtureStatistics(centre)
    begin = MixtureBegin(prior, centre)
    return ConjugateModel(prior, mixture_log_normaliser, local, rows, statistics=known, begin=begin)


def regression_log_normaliser(p: Any) -> Any:
    """A of a Normal–Gamma.

    **Arguments:** `p`, a dict: "count" 2a − 2 + d; "gram" Λ (d, d); "pull" Λ·mean (d,); "square" 2b + meanᵀΛ mean.
    Their statistics are ½ log τ, −½ τ w wᵀ, τ w and −½ τ.
    """
    d = p["pull"].shape[-1]
    a = 0.5 * (p["count"] - d) + 1.0
    factor = jnp.linalg.cholesky(p["gram"])
    half = jax.scipy.linalg.solve_triangular(factor, p["pull"], lower=True)
    b = 0.5 * (p["square"] - half @ half)
    normal = 0.5 * d * _LOG_2PI - jnp.log(jnp.diag(factor)).sum()
    return normal + jax.scipy.special.gammaln(a) - a * jnp.log(b)


def _regression_local(m: Any, rows: Any) -> Any:
    x, y = map(jnp.asarray, rows)
    quadratic = ((x @ m["gram"]) * x).sum(1)
    return m["count"] - 0.5 * _LOG_2PI + quadratic + y * (x @ m["pull"]) + y**2 * m["square"]


def _regression_statistics(x: Any) -> Any:
    w, tau = x["coefficients"], x["precision"]
    return {
        "count": 0.5 * jnp.log(tau),
        "gram": -0.5 * tau * w[:, None] * w,
        "pull": tau * w,
        "square": -0.5 * tau,
    }


def conjugate_regression(
    rows: Any, *, prior_scale: float = 1.0, shape: float = 1.0, rate: float = 1.0
) -> ConjugateModel:
    """Linear regression with unknown noise of rows (x, y): no latent variables, so that the bound is log Z itself.

    **Arguments:** `rows` (x, y), x of shape (d,) with a one for an intercept; noise precision τ ~ Gamma(`shape`,
    `rate`); coefficients N(0, `prior_scale`² / τ).

    **Raises:** `ValueError` when the prior is not proper.
    """
    if not (prior_scale > 0.0 and shape > 0.0 and rate > 0.0):
        raise ValueError(f"prior_scale {prior_scale}, shape {shape} and rate {rate} must be positive")
    d = np.shape(rows.read(0, 1)[0])[1]
    prior = {
        "count": np.array(2.0 * shape - 2.0 + d),
        "gram": np.eye(d) / prior_scale**2,
        "pull": np.zeros(d),
        "square": np.array(2.0 * rate),
    }
    return ConjugateModel(prior, regression_log_normaliser, _regression_local, rows, statistics=_regression_statistics)
