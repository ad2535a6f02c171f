"""What a fit believes about the parameters: weighted draws, and the trial density that they came from.

**Proves** nothing. Weights are normalised and smoothed; means and deviations are theirs.
"""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from calipers.variational.approximation import AbstractApproximation
from calipers.variational.target import Target


class Cloud(eqx.Module):
    """Weighted draws from a posterior.

    **Arguments:** `draws`, the parameters, a pytree with the draws along the first axis of each array; `flat`, the same
    as unconstrained vectors, shape (s, d); `weights`, shape (s,), adding up to 1; `approximation`, q itself, over
    unconstrained vectors.
    """

    draws: Any
    flat: np.ndarray
    weights: np.ndarray
    approximation: AbstractApproximation

    @property
    def mean(self) -> Any:
        """Posterior means, a pytree of arrays."""
        return jax.tree.map(lambda a: np.tensordot(self.weights, a, 1), self.draws)

    @property
    def sd(self) -> Any:
        """Posterior standard deviations, a pytree of arrays."""
        return jax.tree.map(lambda a, m: np.sqrt(np.tensordot(self.weights, (a - m) ** 2, 1)), self.draws, self.mean)

    @property
    def effective_size(self) -> float:
        """How many equal weights these are worth."""
        return float(1.0 / (self.weights @ self.weights))

    def resample(self, random: np.random.Generator, count: int) -> Any:
        """`count` draws of equal weight, with repetitions: systematic resampling."""
        edges = np.cumsum(self.weights)
        places = np.searchsorted(edges, (np.arange(count) + random.random()) / count * edges[-1])
        chosen = random.permutation(np.minimum(places, len(edges) - 1))
        return jax.tree.map(lambda a: a[chosen], self.draws)


def cloud(target: Target, q: AbstractApproximation, u: np.ndarray, log_weights: np.ndarray, most: int = 20000) -> Cloud:
    """The first `most` draws of a fit."""
    u, logs = u[:most], log_weights[:most]
    weights = np.exp(logs - np.logaddexp.reduce(logs))
    return Cloud(target.constrained(u), u, weights / weights.sum(), q)
