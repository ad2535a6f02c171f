"""Conditionally conjugate models of rows: shared parameters in an exponential family, and latent variables of each row.

    p(θ) = exp(⟨λ₀, s(θ)⟩ − A(λ₀)),    log Σ_z p(row, z | θ) = ℓ(s(θ), row),    ℓ(m, row) = log Σ_z h exp⟨m, t(row, z)⟩

Two functions say everything: A, the log-normaliser of the family, and ℓ, the log-normaliser of a row's own latent
variables, of which there may be none (ℓ is then linear in m). Moments are gradients: ∇A(λ) = E[s(θ)], and ∇_m ℓ is the
row's expected statistics t given m, its conjugate local step in closed form. **Source** Hoffman, Blei, Wang & Paisley,
*Stochastic variational inference* (2013), §2.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from calipers.core.model import AbstractModel

_PIECE = 65536


class ConjugateModel(AbstractModel):
    """A conditionally conjugate model of rows, which `ConjugateVI` fits and bounds; Z is the evidence of all rows.

    **Arguments:** `prior`, λ₀, a tree of arrays; `log_normaliser(λ)`, A, convex, NaN or infinite outside its domain;
    `log_local(m, rows)`, ℓ of each row, shape (rows,), both in JAX, nats; `rows`, as `cal.Rows` makes them;
    `statistics(θ)`, s, if configurations are to be θ and not s(θ); `begin(rows, share, random)`, a λ to start from,
    made of some rows that stand for `share` times as many (without it, the prior: symmetric latent variables then stay
    symmetric). A and ℓ are taken at their word.

    **Raises:** `ValueError` when the prior is not proper or ℓ has another shape.
    """

    prior: Any
    log_normaliser: Callable[[Any], Any]
    log_local: Callable[[Any, Any], Any]
    rows: Any = eqx.field(static=True)
    statistics: Callable[[Any], Any] | None
    begin: Callable[[Any, float, np.random.Generator], Any] | None

    def __init__(
        self,
        prior: Any,
        log_normaliser: Callable[[Any], Any],
        log_local: Callable[[Any, Any], Any],
        rows: Any,
        *,
        statistics: Callable[[Any], Any] | None = None,
        begin: Callable[[Any, float, np.random.Generator], Any] | None = None,
    ):
        if not (hasattr(rows, "count") and hasattr(rows, "read")):
            raise TypeError(f"rows is a {type(rows).__name__}; make it by cal.Rows.arrays, npy, parquet or iterator")
        self.prior = jax.tree.map(lambda a: np.asarray(a, np.float64), prior)
        self.log_normaliser, self.log_local, self.rows = log_normaliser, log_local, rows
        self.statistics, self.begin = statistics, begin
        self._check()

    def log_weight(self, x: Any) -> Any:
        """log p(θ) + log p(rows | θ), x being θ, or s(θ) where the model has no `statistics`: reads all rows."""
        s = x if self.statistics is None else self.statistics(x)
        with jax.enable_x64(True):
            inner = sum(
                float((a * b).sum()) for a, b in zip(jax.tree.leaves(self.prior), jax.tree.leaves(s), strict=True)
            )
            total = inner - float(self.log_normaliser(self.prior))
            for begin in range(0, self.rows.count, _PIECE):
                part = self.rows.read(begin, min(begin + _PIECE, self.rows.count))
                total += float(self.log_local(s, part).sum())
        return total

    def _check(self) -> None:
        with jax.enable_x64(True):
            value, m = jax.value_and_grad(self.log_normaliser)(self.prior)
            if not all(np.isfinite(a).all() for a in (value, *jax.tree.leaves(m))):
                raise ValueError(f"the log-normaliser of the prior is {float(value)}, or its gradient not finite")
            few = min(self.rows.count, 4)
            local = np.asarray(self.log_local(m, self.rows.read(0, few)))
        if local.shape != (few,):
            raise ValueError(f"log_local gave shape {local.shape} for {few} rows; one number for each is needed")

    def __repr__(self) -> str:
        size = sum(np.size(a) for a in jax.tree.leaves(self.prior))
        return f"ConjugateModel of {size} natural parameters given {self.rows.count} rows"
