"""What a fit believes about the parameters: weighted draws, and the trial density that they came from.

**Proves** nothing. Weights are normalised and smoothed; means and deviations are theirs.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from calipers.sampling.arviz_export import independent_draws
from calipers.variational.approximation import AbstractApproximation
from calipers.variational.assessment import Assessment
from calipers.variational.target import Target


class Cloud(eqx.Module):
    """Weighted draws from a posterior.

    **Arguments:** `draws`, the parameters, a pytree with the draws along the first axis of each array; `flat`, the same
    as unconstrained vectors, shape (s, d); `weights`, shape (s,), smoothed, adding up to 1; `log_weights`, log p̃ − log
    q, as they came, nats; `approximation`, q itself, over unconstrained vectors; `about`, what the fit said of itself.
    """

    draws: Any
    flat: np.ndarray
    weights: np.ndarray
    log_weights: np.ndarray
    approximation: AbstractApproximation
    about: Mapping[str, Any] = eqx.field(static=True, default_factory=dict)

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
        """`count` draws of equal weight, with repetitions."""
        chosen = self.chosen(random, count)
        return jax.tree.map(lambda a: a[chosen], self.draws)

    def columns(self) -> dict[str, np.ndarray]:
        """The parameters by name, each with the draws along the first axis: "slope", "theta"; a lone array is "x"."""
        paths, _ = jax.tree_util.tree_flatten_with_path(self.draws)
        return {jax.tree_util.keystr(path, simple=True, separator=".") or "x": leaf for path, leaf in paths}

    def to_arviz(self, count: int | None = None, *, seed: int = 0) -> Any:
        """An `arviz.InferenceData` of resampled draws: a posterior of the parameters by name, constrained.

        `sample_stats` has the log weight that each draw had, before smoothing, and its unconstrained vector; the
        attributes have the verdict, k̂ and the estimate of log Z, all of the fit's whole sample, of which a belief keeps
        20 000 draws. They are independent but for repetitions, and one chain: R̂ says nothing of them.

        **Arguments:** `count` of draws, None for as many as the weights are worth; `seed` of the resampling.

        **Raises:** `ImportError` naming the extra when arviz is not installed; `ValueError` when `count` is below 1.
        """
        count = max(int(self.effective_size), 1) if count is None else count
        if count < 1:
            raise ValueError(f"count is {count}; one draw is needed at least")
        chosen = self.chosen(np.random.default_rng(seed), count)
        stats = {"log_weight": self.log_weights, "unconstrained": self.flat}
        posterior, sample_stats = (
            {name: values[chosen] for name, values in group.items()} for group in (self.columns(), stats)
        )
        return independent_draws(posterior, sample_stats, self.about)

    def chosen(self, random: np.random.Generator, count: int) -> np.ndarray:
        """The places of `count` draws by weight, with repetitions: systematic resampling, in random order."""
        edges = np.cumsum(self.weights)
        places = np.searchsorted(edges, (np.arange(count) + random.random()) / count * edges[-1])
        return random.permutation(np.minimum(places, len(edges) - 1))


def cloud(target: Target, found: Assessment, about: Mapping[str, Any], most: int = 20000) -> Cloud:
    """The first `most` draws of a fit; `about` is kept as far as it is numbers and words."""
    u, logs = found.draws[:most], found.log_weights[:most]
    weights = np.exp(logs - np.logaddexp.reduce(logs))
    kept = {n: int(x) if isinstance(x, bool) else x for n, x in about.items() if isinstance(x, str | int | float)}
    return Cloud(target.constrained(u), u, weights / weights.sum(), found.raw[:most], found.q, kept)
