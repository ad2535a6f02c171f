"""Other objectives than KL(q ‖ p) for the same Gaussians: "why KL?", asked of a model at hand.

    ℓ = log p̃(u) − log q(u),  u ~ q
    kl            E[ℓ]                                                           the first-order bound, the ELBO
    renyi         log E[e^{(1−α)ℓ}] / (1 − α)            α → 1 is the ELBO, α → 0 importance weights, α < 0 from above
    perturbative  −V₀ + log Σ_{k ≤ 3} E[(V₀ + ℓ)^k]/k!, over V₀ too              the third-order bound
    forward       E_p[log q], by importance weights: moments of p                KL(p ‖ q)
    stein         −E[s(u)ᵀs(u′)κ + s(u)ᵀ∇′κ + s(u′)ᵀ∇κ + tr ∇∇′κ], s = ∇log p̃    Langevin–Stein operator, kernel

Draws are fixed and the objective climbed by L-BFGS, as for the ELBO (`fitting.py`). **Proves** nothing: the first and
third of these bound log Z in expectation (α ≤ 1; odd orders), fixed draws are optimistic, and what is reported are
fresh draws. **Cost** that of the ELBO; `stein` has the square of the draws and a second derivative. **Fails**: `renyi`
and `forward` need weights that have a variance, `perturbative` a narrow ℓ, `stein` does not see how much mass modes
have. **Source** Li & Turner, *Rényi divergence variational inference* (2016); Bamler, Zhang, Opper & Mandt,
*Perturbative black box variational inference* (2017); Naesseth, Lindsten & Blei, *Markovian score climbing* (2020);
Ranganath, Altosaar, Tran & Blei, *Operator variational inference* (2016); Liu, Lee & Jordan (2016) for the kernel.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from calipers.core.model import AbstractContinuousModel
from calipers.variational.approximation import Elliptical
from calipers.variational.ascent import maximise
from calipers.variational.fitting import Fit, draws_for
from calipers.variational.gaussian_families import Family, family
from calipers.variational.standard_normals import standard_normals
from calipers.variational.target import Target

OBJECTIVES = ("kl", "renyi", "perturbative", "forward", "stein")
_ROUNDS = 30  # of moment matching
_STEIN_DRAWS = 128  # at most: their pairs are what costs


class Weighed(NamedTuple):
    """An objective of log weights ℓ, shape (s,), and its derivative with respect to each, which sums to about one."""

    value: float
    slope: np.ndarray


def elbo(logs: np.ndarray) -> Weighed:
    """E[ℓ]."""
    return Weighed(float(logs.mean()), np.full(len(logs), 1.0 / len(logs)))


def renyi(alpha: float) -> Callable[[np.ndarray], Weighed]:
    """The variational Rényi bound of order α ≠ 1."""

    def objective(logs: np.ndarray) -> Weighed:
        scaled = (1.0 - alpha) * logs
        total = float(np.logaddexp.reduce(scaled))
        return Weighed((total - math.log(len(logs))) / (1.0 - alpha), np.exp(scaled - total))

    return objective


def perturbative(logs: np.ndarray) -> Weighed:
    """The third-order bound at its best V₀ = −c: c + log E[1 + x + x²/2 + x³/6], x = ℓ − c.

    d/dc = 1 − E[1 + x + x²/2] / E[1 + x + x²/2 + x³/6] vanishes where E[x³] = 0: the one real root of a cubic.
    """
    mean = float(logs.mean())
    with np.errstate(over="ignore", invalid="ignore"):
        y = logs - mean
        far = not np.isfinite(y**3).all()
    if far:  # a draw outside the density, or as good as: no third moment
        return Weighed(-math.inf, np.zeros(len(logs)))
    second, third = float((y**2).mean()), float((y**3).mean())
    roots = np.roots([-1.0, 0.0, -3.0 * second, third])  # E[(y − t)³] = E[y³] − 3 t E[y²] − t³
    shift = float(roots[np.argmin(np.abs(roots.imag))].real)
    x = y - shift
    total = float((1.0 + x + 0.5 * x**2 + x**3 / 6.0).mean())
    if total <= 0.0:
        return Weighed(-math.inf, np.zeros(len(logs)))
    return Weighed(mean + shift + math.log(total), (1.0 + x + 0.5 * x**2) / (total * len(logs)))


def fit_divergence(
    target: Target,
    start: Elliptical,
    random: np.random.Generator,
    objective: str,
    *,
    rank: str | int = "full",
    alpha: float = 0.5,
    draws: int | None = None,
) -> Fit:
    """The Gaussian of a rank that is best by `objective`, one of `OBJECTIVES`, from `start`.

    **Raises:** `ValueError` for other objectives, and for α = 1, which is "kl".
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective is {objective!r}; one of {', '.join(OBJECTIVES)} is needed")
    if objective == "renyi" and alpha == 1.0:
        raise ValueError('the Rényi bound of order alpha = 1 is the ELBO; ask for "kl"')
    trial = family(rank, start)
    count = draws_for(trial.noise) if draws is None else draws
    if objective == "forward":
        return _matched(target, start, random, rank, 8 * count)
    z = standard_normals(min(count, _STEIN_DRAWS) if objective == "stein" else count, trial.noise, random)
    if objective == "stein":
        function = _stein(target, trial, z)
    else:
        weigh = {"kl": elbo, "renyi": renyi(alpha), "perturbative": perturbative}[objective]
        function = _weighed(target, trial, z, weigh)
    found = maximise(function, trial.first()[None], tolerance=1e-7)
    return Fit(trial.result(found.points[0]), float(found.values[0]), found.iterations)


def _weighed(target: Target, trial: Family, z: np.ndarray, objective: Callable[[np.ndarray], Weighed]) -> Callable:
    """The objective of θ over fixed draws: along them, log q(u_θ(z)) = log N(z) − log |det|."""
    normal = -0.5 * (z**2).sum(1) - 0.5 * z.shape[1] * math.log(2.0 * math.pi) - trial.start.log_det

    def one(theta: np.ndarray) -> tuple[float, np.ndarray]:
        logs, gradients = target.gradients(trial.place(trial.draw(theta, z)))
        entropy, entropy_slope = trial.entropy(theta, z)
        value, slope = objective(logs + entropy - normal)
        pulled = trial.pull(gradients) * (slope * len(z))[:, None]
        return value, trial.chain(theta, z, pulled) + slope.sum() * entropy_slope

    return _rows(one)


def _stein(target: Target, trial: Family, z: np.ndarray) -> Callable:
    """Minus the squared kernel Stein discrepancy, in coordinates whitened by the start."""
    shift, factor = trial.start.mean, trial.start.factor
    factor = np.diag(factor) if factor.ndim == 1 else factor

    def one(theta: np.ndarray) -> tuple[float, np.ndarray]:
        with jax.enable_x64(True):
            value, slope = _discrepancy(target.model, shift, factor, trial.draw(theta, z))
        return -float(value), trial.chain(theta, z, -np.asarray(slope) * len(z))

    return _rows(one)


def _rows(one: Callable[[np.ndarray], tuple[float, np.ndarray]]) -> Callable:
    def function(thetas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = zip(*(one(theta) for theta in thetas), strict=True)
        found, steep = np.array(values), np.array(slopes)
        good = np.isfinite(found) & np.isfinite(steep).all(1)
        return np.where(good, found, -np.inf), np.where(good[:, None], steep, 0.0)

    return function


@eqx.filter_jit
@eqx.filter_value_and_grad
def _squared(points: jax.Array, model: AbstractContinuousModel, shift: jax.Array, factor: jax.Array) -> jax.Array:
    """The discrepancy with κ = (1 + |w − w′|²/d)^{−1/2}, inverse multiquadric, over all pairs of whitened points w."""
    d = points.shape[1]
    score = jax.vmap(jax.grad(lambda w: model.flat_log_weight(shift + factor @ w)))(points)
    apart = points[:, None] - points[None]
    base = 1.0 + (apart**2).sum(-1) / d
    kernel = base**-0.5
    first = -(base**-1.5) / d  # κ' of the squared distance, twice: ∇κ = first · (w − w′)
    along = jnp.einsum("ijk,ik->ij", apart, score) - jnp.einsum("ijk,jk->ij", apart, score)
    trace = -first * d - 3.0 / d**2 * base**-2.5 * (apart**2).sum(-1)
    return (score @ score.T * kernel - first * along + trace).mean()


def _discrepancy(
    model: AbstractContinuousModel, shift: np.ndarray, factor: np.ndarray, points: np.ndarray
) -> tuple[jax.Array, jax.Array]:
    return _squared(jnp.asarray(points), model, jnp.asarray(shift), jnp.asarray(factor))


def _matched(target: Target, start: Elliptical, random: np.random.Generator, rank: str | int, draws: int) -> Fit:
    """Moments of p by the weights of the last q, with its tails widened, round after round; ends when they repeat."""
    q, objective, rounds = start, -math.inf, 0
    while rounds < _ROUNDS:
        rounds += 1
        wide = q.widened(1.0, 8.0)
        u = wide.sample(random, draws)
        logs = target.values(u) - wide.log_density(u)
        if not np.isfinite(logs.max()):
            break
        w = np.exp(logs - np.logaddexp.reduce(logs))
        mean = w @ u
        centred = u - mean
        if rank == "full":
            covariance = (centred * w[:, None]).T @ centred
            ridge = 1e-9 * np.trace(covariance) / len(mean)
            new = Elliptical(mean, np.linalg.cholesky(covariance + ridge * np.eye(len(mean))))
        else:
            new = Elliptical(mean, np.sqrt(w @ centred**2 + 1e-300))
        value = float(w @ new.log_density(u))
        scale = np.sqrt(np.diag(new.covariance))
        still = float(np.abs((new.mean - q.mean) / scale).max()) < 0.02 and abs(value - objective) < 0.02
        q, objective = new, value
        if still:
            break
    return Fit(q, objective, rounds)
