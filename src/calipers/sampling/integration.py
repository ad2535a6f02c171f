"""Thermodynamic integration: log Z as the area under ⟨w⟩ from infinite temperature.

    log Z(1) − log Z(0) = ∫_0^1 ⟨w⟩_λ dλ,    d⟨w⟩/dλ = Var w ≥ 0;    for a magnet  log Z(β) = n log 2 + ∫_0^β ⟨−E⟩ dβ′
    Σ h_k ⟨w⟩_k  ≤  the integral  ≤  Σ h_k ⟨w⟩_{k+1}                     left and right Riemann sums
    Σ h_k (⟨w⟩_k + ⟨w⟩_{k+1}) / 2 + h_k² (Var_k − Var_{k+1}) / 12        what is given: trapezoids, slopes corrected

Points lie evenly in thermodynamic length. The sums bracket log Z if the averages are exact; those of a Markov chain are
not, so that `left` and `right` are statistics here, with their errors, and **nothing is proved** (`integrated_sides`
makes sides of exact samples). `standard_error` holds the statistical error, blocks of chains left out in turn, and the
quadrature's, a fifteenth of the difference to every second point. **Cost** points · chains · sweeps. **Fails** where
chains do not mix, and at a transition of first order. **Source** Kirkwood (1935); Gelman & Meng (1998).
"""

import abc
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.core.answer import Answer, Result
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.sampling import generator
from calipers.sampling.estimates import Estimate, jackknife
from calipers.sampling.kernel import AbstractKernel
from calipers.sampling.ladder import Ladder, inefficiency, reliable
from calipers.sampling.tempered_path import TemperedPath, tempered_path
from calipers.sampling.tempering import ParallelTempering

ROUNDS = (8, 4, 2, 1)  # parts of the sweeps after which there is an answer


class AbstractLadderEstimate(AbstractMethod):
    """An estimate of log Z with an error bar, from energies along a ladder of temperatures.

    **Arguments:** `points` of the ladder, or None for neighbours one standard deviation of w apart; `sweeps` at each,
    after a fifth of burn-in; `chains`; `kernel`, or None for what suits the model, or `ParallelTempering(…)`.

    **Proves** nothing. **Raises** `Refusal` for models with zeros, and without a `key`.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    points: int | None = None
    sweeps: int = 400
    chains: int = 4
    kernel: AbstractKernel | None = None

    def __check_init__(self) -> None:
        check_numbers(self.points, self.sweeps, self.chains)

    @abc.abstractmethod
    def estimate(self, path: TemperedPath, ladder: Ladder, plan: Plan) -> Answer:
        """What the ladder says so far."""

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Chooses the kernel; refuses models with zeros."""
        return ladder_plan(type(self).__name__, model, self.kernel, limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """An estimate after an eighth, a quarter, half, and all of the sweeps."""
        path = plan.structure
        for ladder in rounds(path, self.kernel, self.points, self.sweeps, self.chains, key):
            if ladder is None:
                yield trivial(path, plan)
                return
            yield self.estimate(path, ladder, plan)


class ThermodynamicIntegration(AbstractLadderEstimate):
    """Integrates the mean energy along the ladder; arguments as `AbstractLadderEstimate`."""

    def estimate(self, path: TemperedPath, ladder: Ladder, plan: Plan) -> Answer:
        return _answer(path, ladder, plan)


def _answer(path: TemperedPath, ladder: Ladder, plan: Plan) -> Answer:
    lam, series = ladder.lambdas, ladder.series
    taus, lengths = inefficiency(series)
    sums = {name: _sum(series, taus, *weights) for name, weights in _rules(lam).items()}
    best = sums.pop("corrected")
    quadrature = abs(best.value - sums.pop("coarse").value) / 15.0
    stats: dict[str, Any] = {"standard_error": math.hypot(best.error, quadrature), "statistical_error": best.error}
    stats |= {"quadrature_error": quadrature, "points": len(lam), "tau": float(taus.max())}
    stats |= {"reliable": reliable(lengths), "kernel": repr(ladder.kernel)}
    for name, found in sums.items():
        stats |= {name: path.log_base + found.value, f"{name}_error": found.error}
    result = Result.RUNNING if reliable(lengths) else Result.UNCONVERGED
    return Answer(value=path.log_base + best.value, stats=stats, plan=plan, result=result)


def _rules(lam: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weights of means and of variances at each point, for every sum."""
    h, zero = np.diff(lam), np.zeros(len(lam))
    left, right = np.append(h, 0.0), np.append(0.0, h)
    rest = [*range(0, len(lam) - 1, 2), len(lam) - 1]  # every second point, and the last
    coarse = [np.zeros(len(lam)) for _ in range(2)]
    for into, values in zip(coarse, _corrected(np.diff(lam[rest])), strict=True):
        into[rest] = values
    return {"left": (left, zero), "right": (right, zero), "corrected": _corrected(h), "coarse": tuple(coarse)}  # type: ignore[dict-item]


def _corrected(h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rule that is exact for cubic polynomials, from values and slopes."""
    return 0.5 * (np.append(h, 0.0) + np.append(0.0, h)), (np.append(h**2, 0.0) - np.append(0.0, h**2)) / 12.0


def _sum(series: np.ndarray, taus: np.ndarray, of_mean: np.ndarray, of_variance: np.ndarray) -> Estimate:
    """Σ_k a_k ⟨w⟩_k + b_k Var_k w, with its standard error."""
    parts = []
    for w, tau, a, b in zip(series, taus.tolist(), of_mean.tolist(), of_variance.tolist(), strict=True):
        shift = float(w.mean())
        x = w - shift
        found = jackknife([x, x * x], lambda m, s, a=a, b=b: a * m + b * (s - m * m), tau)
        parts.append(Estimate(a * shift + found.value, found.error))
    return Estimate(math.fsum(p.value for p in parts), math.hypot(*(p.error for p in parts)))


def check_numbers(points: int | None, sweeps: int, chains: int) -> None:
    """Raises `ValueError` for ladders that cannot be."""
    if (points is not None and points < 2) or sweeps < 32 or chains < 1:
        raise ValueError(f"points {points}, sweeps {sweeps}, chains {chains}: give ≥ 2 (or None), ≥ 32 and ≥ 1")


def ladder_plan(name: str, model: AbstractDiscreteModel, kernel: AbstractKernel | None, limits: Limits) -> Plan:
    """The path to the model, as the plan of a ladder. Raises `Refusal` for models with zeros."""
    single = None if isinstance(kernel, ParallelTempering) else kernel
    path = tempered_path(model, single)
    return Plan(f"{name} of {path.n} variables, {path.kernel if kernel is None else kernel!r}.", path, limits=limits)


def rounds(
    path: TemperedPath, kernel: AbstractKernel | None, points: int | None, sweeps: int, chains: int, key: Any
) -> Iterator[Ladder | None]:
    """The ladder after an eighth, a quarter, half and all of its sweeps; None when the model has no variables.

    **Raises:** `Refusal` without a key.
    """
    if key is None:
        raise Refusal("chains are random; give them a key, such as jax.random.key(0)")
    if not path.n:
        yield None
        return
    ladder, done = Ladder(path, kernel, points, chains, sweeps // 5, generator(key)), 0
    for part in ROUNDS:
        ladder.extend(sweeps // part - done)
        done = sweeps // part
        yield ladder


def trivial(path: TemperedPath, plan: Plan) -> Answer:
    """The answer about a model in which nothing is left to be sampled."""
    return Answer(value=path.log_base, stats={"standard_error": 0.0}, plan=plan)
