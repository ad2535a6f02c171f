"""The log-determinant relaxation: an upper bound on log Z of Ising models, the tightest known for dense ones.

    log Z ≤ ⅔ Σ_i λ_i − n/2 + Σ_k φ(μ_k) + ½ hᵀM⁻¹h + (n/2) log(πe/2),   M = diag(λ) − J ≻ 0
    φ(μ) = −½ log min(μ, 3) − max(μ − 3, 0)/6,   μ_k the eigenvalues of M;   J, h the couplings and fields times β

for any λ with M positive definite: spins smeared out over intervals of length 2 have a density, whose entropy a
Gaussian of the same covariance bounds. **Proves** an upper bound (Theorems 8, 13), convex in λ, which Newton's method
improves, every iterate a bound. **Cost** one dense eigenvalue problem a step, 10 n³. **Fails** to be tight where local
structure matters (sparse graphs: use strips or mini-buckets), and by 0.18 a spin for independent ones. **Source**
Wainwright & Jordan, *Log-determinant relaxation for approximate inference in discrete Markov random fields* (2006),
its dual solved by hand but for λ; the eigenvalues beyond 3 are its constraint that covariances have no negative ones.
"""

import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from calipers.core.answer import Answer, Grounds, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import LogDeterminant as Witness
from calipers.exact.kernels import ULP
from calipers.models.ising import Ising, require_magnet

_SECONDS = 1e-9  # times n³, a step on one 2026 core; only plans depend on it
_ENOUGH = 1e-6  # nats that a step must promise


class LogDeterminant(AbstractMethod):
    """An upper bound from the entropy of Gaussians.

    **Arguments:** `steps` of Newton's method, at most.

    **Proves** an upper bound for `Ising` models. **Raises** `Refusal` for other models, and for those whose dense
    matrix would not fit.
    """

    proves: ClassVar[Proves] = Proves.UPPER
    steps: int = 50

    def __check_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps is {self.steps}; it cannot be negative")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """States the size of the dense matrix."""
        model = require_magnet(model, "LogDeterminant() takes Ising models; use MiniBucket() for other factor graphs")
        bytes, seconds = 64.0 * model.n**2, _SECONDS * float(model.n) ** 3 * 10
        if bytes > limits.memory or seconds > limits.seconds_left():
            raise Refusal(f"a dense matrix of {model.n} spins needs {bytes / 1e9:.2g} GB and {seconds:.2g} s a step")
        return Plan(f"Log-determinant of {model.n} spins, {self.steps} steps.", bytes=bytes, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """The bound at the first λ, and after 5, 20, 80 … steps."""
        assert isinstance(model, Ising)
        J, h = _dense(model), model.beta * np.asarray(model.fields)
        lam = np.abs(J).sum(1) + np.sqrt(np.abs(J).sum(1) + 1.0)  # diagonally dominant, so positive definite
        for step, found in enumerate(_newton(J, h, lam, self.steps)):
            yield self._answer(model, found, step, plan)

    def _answer(self, model: Ising, found: "Bound", step: int, plan: Plan) -> Answer:
        value, error = found.value, found.error
        total = value - model.beta * model.offset
        error += ULP * (abs(value) + 2.0 * abs(model.beta * model.offset))
        proof = lambda: Witness((np.arange(2),) * model.n, found.at)  # noqa: E731
        upper = Side(outward(total, error, 1.0), Grounds.COMPUTED, method=repr(self), witness=proof)
        return Answer(upper=upper, stats={"steps": step}, plan=plan)


def _dense(model: Ising) -> np.ndarray:
    """βJ as a symmetric matrix, (n, n)."""
    J, (head, tail) = np.zeros((model.n, model.n)), np.asarray(model.edges).T
    J[head, tail] = J[tail, head] = model.beta * np.asarray(model.couplings)
    return J


class Bound(NamedTuple):
    """The bound at one λ, its rounding estimate, where, its gradient, a positive definite estimate of its Hessian."""

    value: float
    error: float
    at: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray


def bound(J: np.ndarray, h: np.ndarray, lam: np.ndarray) -> Bound | None:
    """The bound at λ; None where M is not safely positive definite."""
    n = len(lam)
    mu, V = np.linalg.eigh(np.diag(lam) - J)
    loose = 8.0 * n * ULP * float(np.abs(mu).max(initial=0.0))  # of every eigenvalue, by backward stability
    if not (mu > 4.0 * loose).all():
        return None
    y = V.T @ h
    mean, low = V @ (y / mu), np.minimum(mu, 3.0)
    terms = [*(2.0 / 3.0 * lam), *(-0.5 * np.log(low)), *(-np.maximum(mu - 3.0, 0.0) / 6.0), *(0.5 * y * y / mu)]
    value = math.fsum(terms) + 0.5 * n * math.log(math.pi / 2.0)
    covariance = (V / low) @ V.T
    slope = 2.0 / 3.0 - 0.5 * np.diag(covariance) - 0.5 * mean**2
    curvature = 0.5 * covariance**2 + np.outer(mean, mean) * ((V / mu) @ V.T)
    quadratic = float((y * y / mu).sum())
    error = loose * float((0.5 / low).sum()) + quadratic * (2.0 * loose / float(mu.min(initial=1.0)) + 16.0 * n * ULP)
    return Bound(value, error + 8.0 * ULP * (float(np.abs(terms).sum()) + n), lam, slope, curvature)


def _newton(J: np.ndarray, h: np.ndarray, lam: np.ndarray, steps: int) -> Iterator[Bound]:
    """Bounds at ever better λ, by Newton's method with a line search."""
    here = bound(J, h, lam)
    assert here is not None
    yield here
    for _ in range(steps if len(lam) else 0):
        step = -np.linalg.solve(here.curvature + 1e-12 * np.eye(len(lam)), here.slope)
        fall, size = float(here.slope @ step), 1.0
        if -fall < _ENOUGH:
            return
        there = None
        while size > 1e-6 and (there is None or there.value > here.value + 0.1 * size * fall):
            there, size = bound(J, h, lam + size * step), 0.5 * size
        if there is None or there.value >= here.value:
            return
        lam, here = lam + 2.0 * size * step, there
        yield here
