"""What a trial density is worth, by fresh draws: the ELBO, the importance-sampled log Z, k̂ and the effective size.

    ELBO = E_q[log p̃ − log q],     log Z ≈ log (1/S) Σ_s w_s,   w = p̃/q, their tail smoothed;    both ± a standard error

Draws that a fit has seen are never used: its training objective is optimistic. **Proves** nothing; a mode that q does
not reach is missing from all four. **Cost** one log weight a draw. **Source** Vehtari et al. (2024); Yao, Vehtari,
Simpson & Gelman, *Yes, but did it work?* (2018).
"""

import math
from typing import NamedTuple

import numpy as np

from calipers.variational.approximation import AbstractApproximation
from calipers.variational.pareto import pareto_smooth
from calipers.variational.target import Target

_BATCHES = 16  # of draws, to see how much log Z varies from one to another


class Assessment(NamedTuple):
    """Nats, ± standard errors, from `draws` u, shape (s, d), with smoothed log weights and `raw` ones, shape (s,)."""

    q: AbstractApproximation
    draws: np.ndarray
    log_weights: np.ndarray
    elbo: float
    elbo_error: float
    log_z: float
    error: float
    k_hat: float
    ess: float
    raw: np.ndarray

    @property
    def relative(self) -> float:
        """The standard error of log Z that the effective size alone says."""
        return math.sqrt(max(1.0 / self.ess - 1.0 / len(self.draws), 0.0)) if self.ess else math.inf

    @property
    def share(self) -> float:
        """The effective size as a share of the draws."""
        return self.ess / len(self.draws)


def assess(target: Target, q: AbstractApproximation, random: np.random.Generator, count: int) -> Assessment:
    """Fresh draws of q, `count` of them."""
    u, logs = q.draw(random, count)
    return summarise(q, u, target.values(u) - logs)


def summarise(q: AbstractApproximation, u: np.ndarray, logs: np.ndarray) -> Assessment:
    """The same from draws and their log weights as they are.

    The standard error of log Z is the larger of what the smoothed weights say and what batches say. Where k̂ > ½ the
    weights' variance is infinite, and sums of S of them settle like S^(k̂ − 1), not S^(−1/2): the error is multiplied by
    S^(k̂ − ½).
    """
    count = len(u)
    smoothed, k_hat = pareto_smooth(logs)
    total = float(np.logaddexp.reduce(smoothed))
    log_z = total - math.log(count)
    ess = 1.0 / float(np.exp(2.0 * (smoothed - total)).sum()) if math.isfinite(total) else 0.0
    relative = math.sqrt(max(1.0 / ess - 1.0 / count, 0.0)) if ess else math.inf
    parts = [float(np.logaddexp.reduce(part)) - math.log(len(part)) for part in np.array_split(smoothed, _BATCHES)]
    spread = float(np.std(np.exp(np.array(parts) - log_z))) / math.sqrt(_BATCHES) if ess else math.inf
    penalty = count ** min(k_hat - 0.5, 1.0) if k_hat > 0.5 else 1.0
    finite = np.isfinite(logs).all()
    elbo = float(logs.mean()) if finite else -math.inf
    elbo_error = float(logs.std()) / math.sqrt(count) if finite else math.inf
    error = max(relative, spread) * penalty
    return Assessment(q, u, smoothed, elbo, elbo_error, log_z, error, k_hat, ess, logs)
