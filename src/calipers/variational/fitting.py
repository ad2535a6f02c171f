"""Deterministic variational inference: the ELBO over fixed normal draws, climbed by L-BFGS.

    L(θ) ≈ (1/S) Σ_s log p̃(u_θ(z_s)) + H(q_θ),       Σ_s z_s = 0,  Σ_s z_s z_sᵀ = S·I

The draws stay the same, so that this is an ordinary smooth function, and a fit ends where its gradient vanishes: no
step sizes, no schedule. Because the draws' mean and covariance are exact, so is the fit of a Gaussian to a Gaussian.
The training objective is optimistic (q fits these draws) and is never reported: fresh draws are. **Proves** nothing.
**Cost** S gradients an iteration, ten to a hundred iterations. **Fails** where p̃ is not differentiable. **Source**
Giordano, Ingram & Broderick, *Black box variational inference with a deterministic objective* (2024); Kucukelbir et
al., *Automatic differentiation variational inference* (2017).
"""

import math
from typing import Any, NamedTuple

import numpy as np

from calipers.variational.approximation import Elliptical
from calipers.variational.ascent import maximise
from calipers.variational.conditional import ConditionalFamily, governing_order
from calipers.variational.gaussian_families import Family, family
from calipers.variational.standard_normals import standard_normals
from calipers.variational.target import Target

_GOVERNING = 4  # coordinates at most that the others are made to depend on
_WEAK = 0.3  # of the strongest influence, below which a coordinate governs nothing


class Fit(NamedTuple):
    """A fitted q, the training objective in nats (to compare fits with the same draws only), iterations, and the
    training objective after each of them.
    """

    q: Any
    objective: float
    iterations: int
    trace: tuple[float, ...] = ()


def draws_for(dimension: int, least: int = 256, each: int = 4) -> int:
    """A power of two, at least `least` and `each` a dimension."""
    return 1 << math.ceil(math.log2(max(least, each * dimension + 2)))


def fit(
    target: Target,
    trial: Family | ConditionalFamily,
    z: np.ndarray,
    *,
    tolerance: float = 1e-7,
    most: int = 300,
) -> Fit:
    """The member of `trial` that maximises the ELBO over the draws `z`, shape (s, trial.noise), from its start."""
    constant = trial.start.log_det + 0.5 * trial.d * (1.0 + math.log(2.0 * math.pi))

    def objective(thetas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = np.empty(len(thetas)), np.empty_like(thetas)
        for i, theta in enumerate(thetas):
            with np.errstate(over="ignore", invalid="ignore"):  # of steps too far, which are halved
                logs, gradients = target.gradients(trial.place(trial.draw(theta, z)))
                entropy, entropy_slope = trial.entropy(theta, z)
                values[i] = logs.mean() + entropy
                slopes[i] = trial.chain(theta, z, trial.pull(gradients)) + entropy_slope
        wrong = ~np.isfinite(values) | ~np.isfinite(slopes).all(1)
        return np.where(wrong, -math.inf, values), np.where(wrong[:, None], 0.0, slopes)

    found = maximise(objective, trial.first()[None], tolerance=tolerance, most=most)
    trace = tuple((found.trace + constant).tolist())
    return Fit(trial.result(found.points[0]), trace[-1], found.iterations, trace)


def fit_gaussian(
    target: Target, start: Elliptical, random: np.random.Generator, rank: str | int = "full", draws: int | None = None
) -> Fit:
    """A Gaussian of some rank; one with correlations starts from the best independent one if that is better."""
    d = target.dimension
    count = draws_for(d) if draws is None else draws
    z = standard_normals(count, d, random)
    found = fit(target, family("diagonal", start), z, tolerance=1e-5, most=100)
    if rank == "diagonal" or rank == 0:
        return fit(target, family("diagonal", found.q), z)
    logs = target.values(start.place(z))
    rough = -math.inf if not np.isfinite(logs).all() else float(logs.mean()) + start.log_det
    rough += 0.5 * d * (1.0 + math.log(2.0 * math.pi))
    better = start if rough > found.objective else found.q
    trial = family(rank, better)
    if trial.noise > d:
        z = standard_normals(draws_for(trial.noise) if draws is None else draws, trial.noise, random)
    return fit(target, trial, z)


def fit_conditional(target: Target, start: Elliptical, random: np.random.Generator) -> Fit:
    """A Gaussian that bends with the coordinates that govern the others most; `start` is the full-rank fit."""
    d = target.dimension
    z = standard_normals(draws_for(d, 2048, 40), d, random)
    deviations = np.sqrt(np.diag(start.covariance))
    u = start.place(z)
    _, gradients = target.gradients(u)
    order, influence = governing_order((u - start.mean) / deviations, gradients * deviations)
    governing = max(1, min(_GOVERNING, int((influence > _WEAK * influence[0]).sum())))
    return fit(target, ConditionalFamily(start, order, governing), z)
