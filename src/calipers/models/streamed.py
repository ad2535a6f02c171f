"""A posterior whose likelihood is a sum over rows that need not fit the memory.

    log p̃(z) = log p(z) + Σ_i log p(row_i | z)

`log_likelihood(z, rows)` gets some of the rows at a time and returns the sum over them. The rows have to be independent
given z, all of z is shared (no latent variables of single rows), and `log_likelihood` must not scale by their number.
"""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from calipers.core.model import AbstractModel
from calipers.models.posterior import Posterior

_PIECE = 65536


class StreamedPosterior(AbstractModel):
    """A posterior given rows that are read in pieces; `StochasticVI` fits it.

    **Arguments:** `log_prior(z)`, normalised, and `log_likelihood(z, rows)`, the sum over the rows that it gets, both
    in JAX, nats; `rows`, with a `count` and `read(begin, end)`, as `cal.Rows` makes them; `example`, `prior_sample`
    and `constraints` as for `Posterior`.

    **Raises:** `ValueError` when the likelihood of two rows is not the sum of those of each.
    """

    posterior: Posterior  # without data
    rows: Any = eqx.field(static=True)

    def __init__(
        self,
        log_prior: Callable[[Any], Any],
        log_likelihood: Callable[[Any, Any], Any],
        rows: Any,
        *,
        example: Any = None,
        constraints: Any = None,
        prior_sample: Callable[[Any], Any] | None = None,
    ):
        if not (hasattr(rows, "count") and hasattr(rows, "read")):
            raise TypeError(f"rows is a {type(rows).__name__}; make it by cal.Rows.arrays, npy, parquet or iterator")
        self.posterior = Posterior(
            log_prior, log_likelihood, example=example, constraints=constraints, prior_sample=prior_sample
        )
        self.rows = rows
        self._check_sum()

    @property
    def dimension(self) -> int:
        """d, the number of unconstrained reals."""
        return self.posterior.dimension

    def log_weight(self, x: Any) -> Any:
        """Prior and likelihood of one z: reads all rows."""
        ends = [*range(0, self.rows.count, _PIECE), self.rows.count]
        total = float(self.posterior.log_prior(x))
        for begin, end in itertools.pairwise(ends):
            total += float(self.posterior.log_likelihood(x, self.rows.read(begin, end)))
        return total

    def subset(self, begin: int, end: int) -> Posterior:
        """The posterior given rows begin … end − 1 alone, held in memory: any other method takes it."""
        return self.posterior.with_data(self.rows.read(begin, end))

    def _check_sum(self) -> None:
        """Looks whether the likelihood is a sum, on a few rows at one point."""
        few = min(self.rows.count, 8)
        with jax.enable_x64(True):
            z = self.posterior.constrain(jax.numpy.full(self.dimension, 0.1))
            whole, *single = (
                float(self.posterior.log_likelihood(z, self.rows.read(begin, end)))
                for begin, end in [(0, few), *((i, i + 1) for i in range(few))]
            )
        if abs(whole - sum(single)) > 1e-4 * (1.0 + sum(map(abs, single))):
            raise ValueError(
                f"log_likelihood gives {whole:.6g} for {few} rows at once, and {sum(single):.6g} for them one by one; "
                "it must be the sum over the rows it gets"
            )

    def __repr__(self) -> str:
        return f"StreamedPosterior of {self.dimension} reals given {self.rows.count} rows"
