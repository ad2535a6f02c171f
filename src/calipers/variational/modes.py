"""Where to begin: several ascents, their distinct maxima, and the curvature at each.

    Laplace:  q = N(u*, H⁻¹),  H = −∇² log p̃(u*), by central differences of gradients, made positive definite

Starts are prior draws where the model has them, else spread around the origin (the unconstrained space's scale is 1 for
scale-free parameters); each climbs by L-BFGS. A maximum at infinity (a density that rises without end) is left out.
**Proves** nothing: a mode that no start reaches is missed. **Cost** ten to a hundred gradients a start, 2d a mode.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from calipers.models.posterior import Posterior
from calipers.variational.approximation import Elliptical
from calipers.variational.ascent import maximise
from calipers.variational.target import Target

_APART = 3.0  # standard deviations, root mean square over coordinates, that make two maxima two
_NEGLIGIBLE = 25.0  # nats of Laplace evidence below the best, from which a mode is left out
_SPREAD = (0.0, 0.5, 1.0, 2.0, 4.0)


class Mode(NamedTuple):
    """A local maximum, its Laplace approximation, the evidence that this gives it in nats, and the starts it drew."""

    point: np.ndarray
    value: float
    laplace: Elliptical
    evidence: float
    visits: int


def starting_points(model: Any, random: np.random.Generator, count: int) -> np.ndarray:
    """Half prior draws, where there are any, the rest spread around the origin; shape (count, d)."""
    d = model.dimension
    scales = np.resize(_SPREAD, count)[:, None]
    points = scales * random.standard_normal((count, d))
    if isinstance(model, Posterior) and model.prior_sample is not None:
        with jax.enable_x64(True):
            keys = jax.random.split(jax.random.key(int(random.integers(2**31))), count // 2)
            drawn = np.asarray(jax.jit(jax.vmap(model.flat_prior_sample))(keys), np.float64)
        points[count - len(drawn) :] = np.where(np.isfinite(drawn), drawn, 0.0)
    return points


def wide_start(model: Any, random: np.random.Generator) -> Elliptical:
    """A Gaussian as wide as the starting points are."""
    points = starting_points(model, random, 512)
    d = points.shape[1]
    return Elliptical(points.mean(0), np.linalg.cholesky(np.cov(points.T).reshape(d, d) + 1e-6 * np.eye(d)))


def find_modes(target: Target, random: np.random.Generator, *, starts: int = 16, most: int = 32) -> list[Mode]:
    """The distinct maxima that `starts` ascents reach, by Laplace evidence, at most `most`; may be empty."""
    found = maximise(target.gradients, starting_points(target.model, random, starts), most=400)
    modes: list[Mode] = []
    for i in np.argsort(-found.values):
        if not np.isfinite(found.values[i]) or np.abs(found.points[i]).max() > 1e6:
            continue
        near = next((k for k, mode in enumerate(modes) if _near(found.points[i], mode)), None)
        if near is not None:
            modes[near] = modes[near]._replace(visits=modes[near].visits + 1)
        elif len(modes) < most:
            modes.append(_mode(target, found.points[i], float(found.values[i])))
    modes.sort(key=lambda mode: -mode.evidence)
    return [mode for mode in modes if mode.evidence > modes[0].evidence - _NEGLIGIBLE]


def unseen(modes: list[Mode]) -> float:
    """Good and Turing's estimate of the chance that one more start would end at a new maximum."""
    return sum(mode.visits == 1 for mode in modes) / max(sum(mode.visits for mode in modes), 1)


def _mode(target: Target, point: np.ndarray, value: float) -> Mode:
    laplace = laplace_at(target, point)
    evidence = value + 0.5 * len(point) * float(np.log(2.0 * np.pi)) + laplace.log_det
    return Mode(point, value, laplace, evidence, 1)


def _near(point: np.ndarray, mode: Mode) -> bool:
    z = mode.laplace.inverse @ (point - mode.point)
    return bool(np.sqrt(np.mean(z * z)) < _APART)


def laplace_at(target: Target, point: np.ndarray, step: float = 1e-4) -> Elliptical:
    """N(u*, H⁻¹) at a maximum; eigenvalues of H are kept within 1e-8 and 1e8 of its largest and positive."""
    d = len(point)
    h = step * np.maximum(np.abs(point), 1.0)
    shifts = np.diag(h)
    _, gradients = target.gradients(np.concatenate([point + shifts, point - shifts]))
    hessian = -(gradients[:d] - gradients[d:]) / (2.0 * h[:, None])
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    floor = max(1e-8 * float(np.abs(values).max(initial=0.0)), 1e-6)
    covariance = (vectors / np.maximum(np.abs(values), floor)) @ vectors.T
    return Elliptical(point, np.linalg.cholesky(covariance))
