"""Bounds and natural gradients of a conditionally conjugate model, from sums over rows.

    Λ(m) = Σ_i ℓ(m, row_i),   T(m) = ∇Λ(m):  expected statistics of all rows, their local step in closed form
    log Z  ≥  bound(m) = A(λ₀ + T) − A(λ₀) + Λ(m) − ⟨m, T⟩        for every m, optimal or not (Theorem M1)
    natural gradient of the ELBO at λ:  λ₀ + T(∇A(λ)) − λ         (Theorem M2)

Of a minibatch B, N/B · T_B is unbiased, and so is T(m₀) + N/B [T_B(m) − T_B(m₀)], whose noise vanishes as m → m₀. The
bound is not linear in the rows: only a pass over all of them gives one. **Source** Hoffman et al., *Stochastic
variational inference* (2013), §2; Johnson & Zhang (2013).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from calipers.models.conjugate_model import ConjugateModel
from calipers.variational.spread import Spread

_ROUNDING = 2.0**-40  # of the sizes of all terms: 4096 units in the last place (Theorem M3)


class Pass(NamedTuple):
    """What a pass over all rows at m gave: the bound, its rounding estimate, and T(m)."""

    m: np.ndarray
    statistics: np.ndarray
    bound: float
    error: float


@eqx.filter_jit
def _moments(model: ConjugateModel, p: Any) -> Any:
    return jax.value_and_grad(model.log_normaliser)(p)


def _local(common: tuple[ConjugateModel, Any], rows: Any) -> Any:
    """Λ, T and Σ |ℓ| of some rows."""
    model, m = common

    def total(m: Any) -> Any:
        values = model.log_local(m, rows)
        return values.sum(), jnp.abs(values).sum()

    (value, size), statistics = jax.value_and_grad(total, has_aux=True)(m)
    return value, statistics, size


class ConjugateTarget:
    """**Arguments:** `model`; `batch` and `piece`, rows summed and read together; `devices`, 0 for all.

    Natural parameters, means and statistics are flat vectors, shape (p,).
    """

    def __init__(self, model: ConjugateModel, batch: int, piece: int, devices: int = 0):
        self.treedef: Any
        leaves, self.treedef = jax.tree.flatten(model.prior)
        self.shapes = [np.shape(leaf) for leaf in leaves]
        self.prior, self.rows = self.flat(model.prior), model.rows
        self.batch, self.piece, self.spread = batch, piece, Spread(devices)
        self.model = eqx.tree_at(lambda x: x.begin, model, None, is_leaf=lambda x: x is None)
        self.origin = self.log_normaliser(self.prior)[0]

    def flat(self, tree: Any) -> np.ndarray:
        """A tree as a vector."""
        return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])

    def tree(self, vector: np.ndarray) -> Any:
        """A vector as the model's tree."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        parts = zip(np.split(vector, ends), self.shapes, strict=True)
        return self.treedef.unflatten([part.reshape(shape) for part, shape in parts])

    def log_normaliser(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        """A(λ) and m = ∇A(λ); not finite outside the domain."""
        with jax.enable_x64(True):
            value, m = _moments(self.model, self.tree(p))
        return float(value), self.flat(m)

    def local(self, m: np.ndarray, rows: Any, own: bool = False) -> tuple[float, np.ndarray, float]:
        """Λ, T and Σ |ℓ| of some rows."""
        with jax.enable_x64(True):
            value, statistics, size = self.spread.total(_local, (self.model, self.tree(m)), rows, own)
        return float(value), self.flat(statistics), float(size)

    def bound(self, m: np.ndarray, parts: tuple[float, np.ndarray, float]) -> Pass:
        """The bound at m, from Λ, T and Σ |ℓ| of all rows; −∞ where it is not a number."""
        value, statistics, size = parts
        after = self.prior + statistics
        top, mean = self.log_normaliser(after)
        with np.errstate(all="ignore"):  # what is not finite is no bound
            found = top - self.origin + value - float(m @ statistics)
            inner = float(np.abs(m) @ np.abs(statistics) + np.abs(mean) @ np.abs(after))
        sizes = abs(top) + abs(self.origin) + size + inner
        finite = bool(np.isfinite(found) and np.isfinite(sizes))
        return Pass(m, statistics, found if finite else -np.inf, _ROUNDING * sizes if finite else np.inf)

    def whole(self, m: np.ndarray) -> Pass:
        """One pass over all rows."""
        value, statistics, size = 0.0, np.zeros_like(m), 0.0
        for rows, own in self.spread.blocks(self.rows, self.batch, self.piece):
            found = self.local(m, rows, own)
            value, statistics, size = value + found[0], statistics + found[1], size + found[2]
        return self.bound(m, (value, statistics, size))
