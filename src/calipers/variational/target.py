"""A continuous model as the fits see it: log weights and gradients of many flat vectors at once, in NumPy.

Two compiled functions a model (values; values with gradients), at one batch size each, float64. Models that differ in
their arrays alone share them. A log weight that is NaN counts as −∞, and is counted.
"""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from calipers.core.model import AbstractContinuousModel

_ENTRIES = 2**25  # numbers that a batch of copies of the data may hold
_MOST, _LEAST = 1024, 16


@eqx.filter_jit
def _values(model: AbstractContinuousModel, u: Any) -> Any:
    return jax.vmap(model.flat_log_weight)(u)


@eqx.filter_jit
def _gradients(model: AbstractContinuousModel, u: Any) -> Any:
    return jax.vmap(jax.value_and_grad(model.flat_log_weight))(u)


@eqx.filter_jit
def _constrained(model: AbstractContinuousModel, u: Any) -> Any:
    return jax.vmap(model.constrain)(u)


class Target:
    """The log weight of a model over R^d. **Arguments:** `model`."""

    def __init__(self, model: AbstractContinuousModel):
        self.model, self.dimension = model, model.dimension
        size = sum(np.size(leaf) for leaf in jax.tree.leaves(model) if eqx.is_array_like(leaf))
        self.batch = int(2 ** np.floor(np.log2(np.clip(_ENTRIES / max(size, 1), _LEAST, _MOST))))
        self.evaluations = self.not_numbers = 0

    def values(self, u: np.ndarray) -> np.ndarray:
        """log weights of the rows of u, shape (s,)."""
        return self._finish(self._run(_values, u, self.batch))

    def gradients(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log weights, shape (s,), and their gradients, shape (s, d); a gradient that is not finite is zero."""
        few = _LEAST if len(u) <= _LEAST else min(self.batch, 256)
        values, gradients = self._run(_gradients, u, few)
        return self._finish(values), np.where(np.isfinite(gradients), gradients, 0.0)

    def constrained(self, u: np.ndarray) -> Any:
        """The parameters of each row: a pytree of arrays with the rows along their first axis."""
        return self._run(_constrained, u, self.batch)

    def _finish(self, values: np.ndarray) -> np.ndarray:
        wrong = np.isnan(values)
        self.evaluations += len(values)
        self.not_numbers += int(wrong.sum())
        return np.where(wrong, -np.inf, values)

    def _run(self, function: Any, u: np.ndarray, batch: int) -> Any:
        """`function` on batches of one size, the last one filled up."""
        parts = []
        with jax.enable_x64(True):
            for begin in range(0, len(u), batch):
                rows = u[begin : begin + batch]
                filled = np.concatenate([rows, np.repeat(rows[:1], batch - len(rows), 0)])
                kept = len(rows)
                parts.append(jax.tree.map(lambda a, n=kept: np.asarray(a)[:n], function(self.model, filled)))
        return jax.tree.map(lambda *a: np.concatenate(a), *parts)
