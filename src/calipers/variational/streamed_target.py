"""The log weight of a streamed posterior: unbiased from a minibatch, exact by a pass over all rows.

    minibatch   log p(u) + ℓ(u₀) + N/B Σ_{i ∈ batch} [ℓ_i(u) − ℓ_i(u₀)],      ℓ(u₀) = Σ_i ℓ_i(u₀) from one pass at u₀

Each slot of a batch holds any row with probability 1/N, so the mean over batches is the log weight itself, and the
same holds of its gradient. The anchor u₀ (a control variate, first order) leaves the noise proportional to the
distance from u₀; without it, a posterior of N rows is drowned in noise √(N/B) times as large as its own gradients. A
full pass has no noise: log weights are sums over all rows, for hundreds of u at once. **Cost** draws × rows
likelihoods, shared by the devices (`spread.py`). **Source** Johnson & Zhang, *Accelerating stochastic gradient descent
using predictive variance reduction* (2013); Baker, Fearnhead, Fox & Nemeth, *Control variates for stochastic gradient
MCMC* (2019).
"""

import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from calipers.models.posterior import Posterior
from calipers.models.streamed import StreamedPosterior
from calipers.variational.spread import Spread


class Anchor(NamedTuple):
    """A point, and the log likelihood of all rows there with its gradient in u."""

    point: np.ndarray
    value: float
    slope: np.ndarray


class Scaled(eqx.Module):
    """A log likelihood times a factor: some rows standing for all."""

    log_likelihood: Any
    factor: Any

    def __call__(self, z: Any, rows: Any) -> Any:
        return self.factor * self.log_likelihood(z, rows)


def _likelihood(posterior: Posterior, rows: Any) -> Any:
    return lambda u: posterior.log_likelihood(posterior.constrain(u), rows)


class _At(NamedTuple):
    """A posterior, and points u, shape (s, d)."""

    posterior: Posterior
    u: Any


def _sums(at: _At, rows: Any) -> Any:
    return jax.vmap(_likelihood(at.posterior, rows))(at.u)


def _slopes(at: _At, rows: Any) -> Any:
    return jax.vmap(jax.value_and_grad(_likelihood(at.posterior, rows)))(at.u)


def _slope(at: _At, rows: Any) -> Any:
    return jax.value_and_grad(_likelihood(at.posterior, rows))(at.u)


@eqx.filter_jit
def _priors(posterior: Posterior, u: Any) -> Any:
    return jax.vmap(jax.value_and_grad(posterior.flat_log_prior))(u)


class StreamedTarget:
    """**Arguments:** `model`; `batch`, rows at a time, in minibatches and passes; `piece`, rows read at a time;
    `devices`, that share the rows of each batch, 0 for all."""

    def __init__(self, model: StreamedPosterior, batch: int, piece: int, devices: int = 0):
        self.model, self.posterior, self.batch, self.piece = model, model.posterior, batch, piece
        self.spread = Spread(devices)
        self.dimension = model.dimension
        self.not_numbers = self.passes = 0
        self.seconds = 0.0  # of the last pass

    def minibatch(self, u: np.ndarray, rows: Any, anchor: Anchor) -> tuple[np.ndarray, np.ndarray]:
        """Unbiased log weights, shape (s,), and gradients, shape (s, d); one that is not finite becomes zero."""
        with jax.enable_x64(True):
            scale = self.model.rows.count / len(jax.tree.leaves(rows)[0])
            prior, pull = map(np.asarray, _priors(self.posterior, u))
            at = _At(self.posterior, np.concatenate([u, anchor.point[None]]))
            sums, slopes = self.spread.total(_slopes, at, rows)
        values = prior + anchor.value + scale * (sums[:-1] - sums[-1])
        slopes = pull + anchor.slope + scale * (slopes[:-1] - slopes[-1])
        finite = np.isfinite(slopes).all(1) & np.isfinite(values)
        self.not_numbers += int((~finite).sum())
        return values, np.where(finite[:, None], slopes, 0.0)

    def anchored(self, point: np.ndarray) -> Anchor:
        """One pass: the log likelihood and its gradient at `point`."""
        value, slope = self._whole(_slope, point)
        return Anchor(point, np.float64(value), slope)

    def log_weights(self, u: np.ndarray) -> np.ndarray:
        """One pass: the log weights of the rows of u, shape (s,), exact up to rounding."""
        sums = self._whole(_sums, u)
        with jax.enable_x64(True):
            values = sums + np.asarray(_priors(self.posterior, u)[0])
        self.not_numbers += int(np.isnan(values).sum())
        return np.where(np.isnan(values), -np.inf, values)

    def prior_slope(self, u: np.ndarray) -> tuple[float, np.ndarray]:
        """The flat log prior at one u, and its gradient."""
        with jax.enable_x64(True):
            value, slope = _priors(self.posterior, u[None])
        return float(value[0]), np.asarray(slope)[0]

    def pass_seconds(self, u: np.ndarray, rows: Any) -> float:
        """How long a pass at all of u would take, by one batch."""
        at = _At(self.posterior, u)
        with jax.enable_x64(True):
            self.spread.total(_sums, at, rows)
            began = time.monotonic()
            self.spread.total(_sums, at, rows)
        return self.seconds + (time.monotonic() - began) * self.model.rows.count / len(jax.tree.leaves(rows)[0])

    def _whole(self, function: Any, u: np.ndarray) -> Any:
        """Sums of `function` over all rows, a batch at a time, in the order of the rows."""
        began, total = time.monotonic(), None
        with jax.enable_x64(True):
            for rows, own in self.spread.blocks(self.model.rows, self.batch, self.piece):
                part = self.spread.total(function, _At(self.posterior, u), rows, own)
                total = part if total is None else jax.tree.map(np.add, total, part)
        self.passes += 1
        self.seconds = time.monotonic() - began
        return total
