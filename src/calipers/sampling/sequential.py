"""Population annealing: a population of configurations is cooled, and resampled by its weights at every step.

    log Ẑ = log Z(0) + Σ_t log (1/N) Σ_i e^{(λ_{t+1} − λ_t) w(x_i)}        E[Ẑ] = Z,    w as in `tempered_path.py`
    log Ẑ ≈ N(log Z − σ²/2, σ²);    the estimate is m + s²/2, its error √(s²/R + s⁴/2(R−1)), from R populations

After each step the population is resampled (systematically), then moved at the new λ. The schedule is spaced evenly in
thermodynamic length on a pilot run, and frozen: with fresh draws Ẑ is then unbiased, however badly the kernel mixes
(docs/theorems.md, theorem S10). **Proves** nothing; `AnnealedImportance(population=…)` makes a lower side at δ of the
same weights. **Cost** populations · N · steps · sweeps of the kernel. **Fails** where few families survive and the
kernel does not mix: then all populations may miss the same valleys, and the error bar is too small; and where log Ẑ
varies by more than half a nat² between populations, which `reliable` says. **Source** Hukushima & Iba (2003); Machta
(2010); Del Moral, *Feynman–Kac Formulae* (2004); Bérard, Del Moral & Doucet, *A lognormal central limit theorem*
(2014).
"""

import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from calipers.core.answer import Answer, Result
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.sampling import generator
from calipers.sampling.annealed import Length, thermodynamic_length
from calipers.sampling.kernel import AbstractKernel
from calipers.sampling.tempered_path import TemperedPath, tempered_path

_STEP = 0.5  # standard deviations of w between two temperatures
_FEWEST, _MOST = 8, 4096  # temperatures
_MOST_VARIANCE = 0.5  # of log Ẑ between populations; above it their number does not tell the tail
PILOT = (32, 100)  # chains, and steps of theirs


class PopulationAnnealing(AbstractMethod):
    """An estimate of log Z with an error bar, from independent populations.

    **Arguments:** `population`, configurations in each; `populations`; `steps` of the schedule, or None for as many as
    keep neighbours half a standard deviation of w apart; `sweeps` at each; `kernel`, or None for what suits the model.

    **Proves** nothing. **Raises** `Refusal` for models with zeros, and without a `key`.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    population: int = 256
    populations: int = 16
    steps: int | None = None
    sweeps: int = 1
    kernel: AbstractKernel | None = None

    def __check_init__(self) -> None:
        numbers = {"population": self.population, "populations": self.populations, "sweeps": self.sweeps}
        for name, number in (numbers | ({} if self.steps is None else {"steps": self.steps})).items():
            if number < 1:
                raise ValueError(f"{name} is {number}; at least one is needed")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Chooses the kernel; refuses models with zeros."""
        path = tempered_path(model, self.kernel)
        text = f"Population annealing of {path.n} variables, {self.populations} × {self.population}, {path.kernel!r}."
        return Plan(text, path, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """An estimate after every population, from the second on with an error bar."""
        if key is None:
            raise Refusal("population annealing is random; give it a key, such as jax.random.key(0)")
        path, random = plan.structure, generator(key)
        schedule = frozen_schedule(path, random, self.steps)
        logs: list[float] = []
        families: list[float] = []
        for _ in range(self.populations):
            run = population(path, schedule, random, self.population, self.sweeps)
            logs.append(run.log_weight)
            families.append(run.families)
            value, error = lognormal_mean(np.array(logs))
            stats: dict[str, Any] = {"standard_error": error, "populations": len(logs), "steps": len(schedule) - 1}
            stats |= {"families": min(families), "kernel": repr(path.kernel)}
            stats["reliable"] = len(logs) > 2 and float(np.var(logs, ddof=1)) <= _MOST_VARIANCE
            result = Result.RUNNING if stats["reliable"] else Result.UNCONVERGED
            yield Answer(value=path.log_base + value, stats=stats, plan=plan, result=result)


class Population(NamedTuple):
    """log Ẑ/Z(0); how many founders would leave as uneven a population if all were alike, N the most; the end."""

    log_weight: float
    families: float
    states: np.ndarray


def frozen_schedule(path: TemperedPath, random: np.random.Generator, steps: int | None) -> np.ndarray:
    """λ_0 = 0 … λ_T = 1, evenly spaced in thermodynamic length by a pilot run that is then thrown away."""
    if not path.n:
        return np.array([0.0, 1.0])
    return spaced(thermodynamic_length(path, random, *PILOT), steps)


def spaced(length: Length, steps: int | None) -> np.ndarray:
    """So many steps, or as many as keep neighbours half a standard deviation of w apart."""
    wanted = math.ceil(float(length.length[-1]) / _STEP)
    return length.even(int(min(max(wanted, _FEWEST), _MOST)) if steps is None else steps)


def population(
    path: TemperedPath, schedule: np.ndarray, random: np.random.Generator, size: int, sweeps: int = 1
) -> Population:
    """One population, cooled along a frozen schedule."""
    x, founder, total = path.draw(random, size), np.arange(size), 0.0
    for t in range(1, len(schedule)):
        logs = (schedule[t] - schedule[t - 1]) * path.log_weights(x)
        top = float(logs.max())
        weights = np.exp(logs - top)
        total += top + math.log(float(weights.mean()))
        chosen = systematic(weights, random)
        founder = founder[chosen]
        x = path.move(x[chosen], float(schedule[t]), sweeps, random) if t + 1 < len(schedule) else x[chosen]
    share = np.bincount(founder, minlength=size) / size
    return Population(total, 1.0 / float(share @ share), x)


def systematic(weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As many indices as there are weights, each drawn ⌊N w/Σw⌋ or ⌈N w/Σw⌉ times, N w/Σw in the mean."""
    edges = np.cumsum(weights)
    places = (np.arange(len(weights)) + random.random()) * (edges[-1] / len(weights))
    return np.minimum(np.searchsorted(edges, places, side="right"), len(weights) - 1)


def lognormal_mean(logs: np.ndarray) -> tuple[float, float]:
    """log E[Ẑ] of log-normal Ẑ, from m + s²/2 of their logs, and its standard error; NaN from a single one.

    The log of a long product of population means is nearly normal, so that the mean of a few Ẑ, though unbiased, would
    mostly miss the tail that carries it, and its error bar too.
    """
    variance, count = float(logs.var(ddof=1)) if len(logs) > 1 else math.nan, len(logs)
    if count == 1:
        return float(logs[0]), math.nan
    return float(logs.mean()) + 0.5 * variance, math.sqrt(variance / count + 0.5 * variance**2 / (count - 1))
