"""Smooth changes of variables from unconstrained reals to constrained parameters, each with its log |det dx/du|.

    Real          x = u
    Positive      x = lower + e^u                                       log det  Σ u
    Interval      x = a + (b − a) σ(u)                                  log det  Σ log (b − a) + log σ(u) + log σ(−u)
    Simplex       x = softmax(u_1 … u_{k−1}, 0)                         log det  Σ_{i ≤ k} log x_i
    Ordered       x_1 = u_1, x_i = x_{i−1} + e^{u_i}                    log det  Σ_{i ≥ 2} u_i
    CorrelationCholesky   rows of unit length from z = tanh(u), see the class

A density on a simplex is with respect to its first k − 1 entries, one on Cholesky factors with respect to the entries
below the diagonal: the conventions of the Dirichlet and LKJ distributions. Unbatched shapes; vector-valued ones act on
the last axis. **Cost** linear. **Fails** where x lies on its boundary: there is no such u. **Source** Stan's reference
manual, "Constraint transforms"; the simplex is the additive log-ratio of Aitchison (1982).
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

Shape = tuple[int, ...]


class AbstractBijector(eqx.Module):
    """A change of variables from u, a flat vector, to x of a given shape."""

    @abc.abstractmethod
    def size(self, shape: Shape) -> int:
        """How many reals an x of this shape has; `ValueError` when no x can have it."""

    @abc.abstractmethod
    def forward(self, u: Any, shape: Shape) -> tuple[Any, Any]:
        """x of `shape` from u of shape (size,), and log |det dx/du|."""

    @abc.abstractmethod
    def inverse(self, x: Any) -> Any:
        """u of shape (size,)."""


class Real(AbstractBijector):
    """No constraint."""

    def size(self, shape: Shape) -> int:
        return math.prod(shape)

    def forward(self, u: Any, shape: Shape) -> tuple[Any, Any]:
        return jnp.reshape(u, shape), jnp.zeros((), u.dtype)

    def inverse(self, x: Any) -> Any:
        return jnp.ravel(jnp.asarray(x))


class Positive(AbstractBijector):
    """x > lower, by the exponential function."""

    lower: float = 0.0

    def size(self, shape: Shape) -> int:
        return math.prod(shape)

    def forward(self, u: Any, shape: Shape) -> tuple[Any, Any]:
        return self.lower + jnp.exp(jnp.reshape(u, shape)), jnp.sum(u)

    def inverse(self, x: Any) -> Any:
        return jnp.log(jnp.ravel(jnp.asarray(x)) - self.lower)


class Interval(AbstractBijector):
    """lower < x < upper, by the logistic function."""

    lower: float = 0.0
    upper: float = 1.0

    def __check_init__(self) -> None:
        if not self.lower < self.upper:
            raise ValueError(f"an interval needs lower < upper, but [{self.lower}, {self.upper}] came")

    def size(self, shape: Shape) -> int:
        return math.prod(shape)

    def forward(self, u: Any, shape: Shape) -> tuple[Any, Any]:
        width = self.upper - self.lower
        x = self.lower + width * jax.nn.sigmoid(jnp.reshape(u, shape))
        return x, jnp.sum(math.log(width) - jax.nn.softplus(u) - jax.nn.softplus(-u))

    def inverse(self, x: Any) -> Any:
        flat = jnp.ravel(jnp.asarray(x))
        return jnp.log(flat - self.lower) - jnp.log(self.upper - flat)


class Simplex(AbstractBijector):
    """Positive entries that add up to 1 along the last axis."""

    def size(self, shape: Shape) -> int:
        return math.prod(shape[:-1]) * (_last(shape, "a simplex") - 1)

    def forward(self, u: Any, shape: Shape) -> tuple[Any, Any]:
        free = jnp.reshape(u, (*shape[:-1], shape[-1] - 1))
        logs = jax.nn.log_softmax(jnp.concatenate([free, jnp.zeros((*shape[:-1], 1), u.dtype)], -1), -1)
        return jnp.exp(logs), jnp.sum(logs)

    def inverse(self, x: Any) -> Any:
        logs = jnp.log(jnp.asarray(x))
        return jnp.ravel(logs[..., :-1] - logs[..., -1:])


class Ordered(AbstractBijector):
    """Increasing along the last axis."""

    def size(self, shape: Shape) -> int:
        return math.prod(shape[:-1]) * _last(shape, "an ordered vector")

    def forward(self, u: Any, shape: Shape) -> tuple[Any, Any]:
        free = jnp.reshape(u, shape)
        steps = jnp.concatenate([free[..., :1], jnp.exp(free[..., 1:])], -1)
        return jnp.cumsum(steps, -1), jnp.sum(free[..., 1:])

    def inverse(self, x: Any) -> Any:
        values = jnp.asarray(x)
        return jnp.ravel(jnp.concatenate([values[..., :1], jnp.log(jnp.diff(values, axis=-1))], -1))


class CorrelationCholesky(AbstractBijector):
    """Lower-triangular factors L, shape (k, k), of correlation matrices L Lᵀ.

    Row i fills up a unit of squared length: L_ij = tanh(u_ij) √(1 − Σ_{l<j} L_il²) for j < i, and L_ii the rest.
    """

    def size(self, shape: Shape) -> int:
        if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
            raise ValueError(f"a Cholesky factor is one square matrix, but shape {shape} came")
        return shape[0] * (shape[0] - 1) // 2

    def forward(self, u: Any, shape: Shape) -> tuple[Any, Any]:
        k, start = shape[0], 0
        log_det = 2.0 * jnp.sum(math.log(2.0) - u - jax.nn.softplus(-2.0 * u))  # Σ log (1 − tanh² u)
        rows = []
        for i in range(k):
            z, log_left = jnp.tanh(u[start : start + i]), jnp.zeros((), u.dtype)
            row = []
            for j in range(i):
                row.append(z[j] * jnp.exp(0.5 * log_left))
                log_det = log_det + 0.5 * log_left
                log_left = log_left + jnp.log1p(-(z[j] ** 2))
            rows.append(jnp.stack([*row, jnp.exp(0.5 * log_left), *([jnp.zeros((), u.dtype)] * (k - i - 1))]))
            start += i
        return jnp.stack(rows), log_det

    def inverse(self, x: Any) -> Any:
        factor = jnp.asarray(x)
        u = []
        for i in range(len(factor)):
            left = jnp.ones((), factor.dtype)
            for j in range(i):
                u.append(jnp.arctanh(factor[i, j] / jnp.sqrt(left)))
                left = left - factor[i, j] ** 2
        return jnp.stack(u) if u else jnp.zeros(0, factor.dtype)


def _last(shape: Shape, what: str) -> int:
    if not shape or not shape[-1]:
        raise ValueError(f"{what} has one axis at least, with an entry at least, but shape {shape} came")
    return shape[-1]
