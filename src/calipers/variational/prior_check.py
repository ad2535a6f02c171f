"""Whether a prior is normalised: its total, estimated from its own draws.

    Z = ∫ p̃(u) du,    1/Z = E_{u ~ prior} [r(u) / p̃(u)]    for any normalised r with tails no heavier than p̃'s

r is a Gaussian with the moments of half of the draws, narrowed; the other half is averaged. A prior that leaves out the
factor 2 of a half-normal has log Z = −log 2 = −0.693. **Proves** nothing: an estimate with its standard error, and none
where the ratios vary much, have a heavy tail (k̂ ≥ ½), or give another total for a narrower r. **Cost** a few thousand
prior densities. **Fails** to say anything of priors in many dimensions that are far from a Gaussian.
**Source** Gelfand & Dey, *Bayesian model choice* (1994): reciprocal importance sampling.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np

from calipers.models.posterior import Posterior
from calipers.variational.pareto import pareto_smooth

_DRAWS = 4096
_SLIGHT = 0.15  # nats, below which no complaint is made
_NARROWED = (0.8, 0.6, 0.5)
_HEAVY = 0.5  # k̂ of the ratios, from which their average is not trusted
_VARIES = 0.1  # of standard error, from which nothing is said


class PriorCheck(NamedTuple):
    """log of the prior's total, in nats, its standard error, and what to do; `normalised` None when it is not known."""

    log_total: float
    error: float
    normalised: bool | None
    words: str

    @property
    def complaint(self) -> str | None:
        """What is wrong, if anything is known to be."""
        return self.words if self.normalised is False else None


def check_prior(posterior: Posterior, seed: int = 0) -> PriorCheck:
    """Estimates the total mass of `posterior`'s prior; needs its `prior_sample`.

    **Raises:** `ValueError` without a `prior_sample`.
    """
    u, logs = _drawn(posterior, seed)
    usable = np.isfinite(logs) & np.isfinite(u).all(1)
    u, logs = u[usable], logs[usable]
    if len(u) < _DRAWS // 2:
        return PriorCheck(math.nan, math.inf, None, "most draws of prior_sample have no finite log_prior")
    looks = [look for narrowed in _NARROWED if (look := _total(u, logs, narrowed))[1] < _VARIES]
    agree = all(abs(a - b) < 3.0 * math.hypot(e, f) for a, e in looks for b, f in looks)
    return _judge(*(min(looks, key=lambda look: look[1]) if looks and agree else (math.nan, math.inf)))


def _total(u: np.ndarray, logs: np.ndarray, narrowed: float) -> tuple[float, float]:
    """log of the total and its error, r made from half of the draws and averaged over the others."""
    fit, held = u[: len(u) // 2], slice(len(u) // 2, None)
    centre = np.median(fit, axis=0)
    spread = (np.quantile(fit, 0.84, axis=0) - np.quantile(fit, 0.16, axis=0)) / 2.0
    shape = np.corrcoef(np.clip((fit - centre) / spread, -3.0, 3.0).T).reshape(len(spread), -1)
    factor = narrowed * spread[:, None] * np.linalg.cholesky(shape + 1e-9 * np.eye(len(spread)))
    z = np.linalg.solve(factor, (u[held] - centre).T)
    r = -0.5 * (z * z).sum(0) - np.log(np.diag(factor)).sum() - 0.5 * len(spread) * math.log(2.0 * math.pi)
    smoothed, k_hat = pareto_smooth(r - logs[held])
    log_mean = float(np.logaddexp.reduce(smoothed)) - math.log(len(smoothed))
    error = float(np.exp(smoothed - log_mean).std()) / math.sqrt(len(smoothed))
    return -log_mean, error if k_hat < _HEAVY else math.inf


@eqx.filter_jit
def _densities(posterior: Posterior, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
    u = jax.vmap(posterior.flat_prior_sample)(keys)
    return u, jax.vmap(posterior.flat_log_prior)(u)


def _drawn(posterior: Posterior, seed: int) -> tuple[np.ndarray, np.ndarray]:
    with jax.enable_x64(True):
        u, logs = _densities(posterior, jax.random.split(jax.random.key(seed), _DRAWS))
    return np.asarray(u), np.asarray(logs)


def _judge(log_total: float, error: float) -> PriorCheck:
    if not error < _VARIES:
        return PriorCheck(log_total, error, None, "the prior's total cannot be told from its draws")
    if abs(log_total) <= max(4.0 * error, _SLIGHT):
        return PriorCheck(log_total, error, True, f"the prior is normalised (log total {log_total:.3f} ± {error:.2g})")
    halves = log_total / math.log(2.0)
    hint = f"subtract {log_total:.3f} from log_prior"
    if abs(halves - round(halves)) * math.log(2.0) < 4.0 * error and round(halves):
        number = abs(round(halves))
        hint += f", which is {number} × log 2: half-normal and half-Cauchy priors have a factor 2 each"
    words = (
        f"the prior is not normalised: its total is e^{log_total:.3f} (± {error:.2g}), so log Z is off by that; {hint}"
    )
    return PriorCheck(log_total, error, False, words)
