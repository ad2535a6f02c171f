"""Stochastic variational inference with STL gradients ("sticking the landing"), and a rule for when to stop.

    ∇_θ L ≈ (1/S) Σ_s (∂u_s/∂θ)ᵀ ∇_u [log p̃(u) − log q(u)] at u_s = u_θ(z_s),      z_s fresh

The path derivative leaves out the score of q, whose mean is zero, so that the gradient's variance vanishes as q → p.
Steps, and the rule that ends them, are those of `settling.py`, in units in which the start has deviation 1. **Cost** S
gradients a step, a thousand steps or more. **Source** Roeder, Wu & Duvenaud (2017).
"""

from collections.abc import Callable

import numpy as np

from calipers.variational.approximation import Elliptical
from calipers.variational.fitting import Fit
from calipers.variational.gaussian_families import Family, family
from calipers.variational.settling import Settling
from calipers.variational.target import Target


def fit_stochastic(
    target: Target,
    start: Elliptical,
    random: np.random.Generator,
    rank: str | int = "full",
    *,
    draws: int = 64,
    tolerance: float = 0.02,
    most: int = 20000,
) -> Fit:
    """A Gaussian of some rank by fresh draws; `objective` is the average ELBO of the last window."""
    trial = family(rank, start)
    ascent = Settling(trial.first(), tolerance=tolerance, most=most)
    trace = []
    while not ascent.over:
        z = random.standard_normal((draws, trial.noise))
        gradient, value = stl_gradient(target.gradients, trial, ascent.theta, z)
        trace.append(value)
        ascent.advance(gradient, value)
    return Fit(trial.result(ascent.average), ascent.value, ascent.total, tuple(trace))


def stl_gradient(
    gradients: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], trial: Family, theta: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, float]:
    """The STL gradient and the ELBO of one batch, from log weights and `gradients` at points, unbiased or exact."""
    u = trial.place(trial.draw(theta, z))
    logs, slopes = gradients(u)
    q = trial.result(theta)
    centred = u - q.mean
    score = -centred * q.inverse**2 if q.factor.ndim == 1 else -(centred @ q.inverse.T) @ q.inverse
    value = float((logs - q.log_density(u)).mean())
    return trial.chain(theta, z, trial.pull(slopes - score)), value
