"""Sides of log Z from annealed importance sampling: below from independent starts, above from exact samples.

    E[w] = Z / Z_0 forwards,    E[w′] = Z_0 / Z backwards;    a lower bound on either mean bounds one side of log Z

The weights are unbiased however badly the chains mix; a betting confidence sequence needs no more than that they are
non-negative and independent (docs/theorems.md, theorems S2 and S4). **Proves** the lower side with probability ≥ 1 −
δ; given exact samples, `annealed_upper` proves the upper one. log Z − lower ≈ √(13 cv²/n), with cv² the squared
coefficient of variation of the n weights. With `population` > 1 each weight is that of a whole population, resampled
as it cools (theorem S10). The schedule is adapted on pilot runs, frozen, and then met by fresh draws only. **Cost**
about 20 ns a spin, step and chain. **Fails** by a lower side far below where weights vary much; refuses models with
zeros. **Source** Neal, *Annealed importance sampling* (2001); Grosse, Ghahramani & Adams, *Sandwiching the marginal
likelihood* (2015); Waudby-Smith & Ramdas (2023).
"""

import itertools
import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from calipers.bounds.confidence import BettingSequence, log_mean
from calipers.core.answer import Answer, Grounds, Result, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.sampling import generator
from calipers.models.reduction import Reduced, as_reduced
from calipers.sampling.annealed import Path, anneal, annealing_path, even_schedule, thermodynamic_length
from calipers.sampling.cluster import SwendsenWang
from calipers.sampling.kernel import AbstractKernel
from calipers.sampling.kernel_choice import suitable_kernel
from calipers.sampling.sequential import population, spaced
from calipers.sampling.tempered_path import TemperedPath, tempered_path

_PILOT, _FEW = 32, 8  # chains, populations
_TRIAL = 200  # steps of the run that tells how many there should be
_GRID = (400, 100)  # steps of the run that places them, by heat bath and by temperature
_VARIANCE = 0.3  # of log weights, that the number of steps aims at
_FEWEST = 30.0  # effective chains below which their spread does not tell the tail
_CEILING = 30.0  # nats above the pilot's mean at which weights are cut, which only lowers their mean
_runs = itertools.count()


class AnnealedImportance(AbstractMethod):
    """A lower bound at δ from annealed chains.

    **Arguments:** `chains`, at most, or None for as many as the limits allow; `steps` of the schedule, one sweep each,
    or None for as many as bring the variance of log weights to about 0.3, judging by a pilot run; `kernel` of the
    sweeps, or None: clusters for magnets without frustration, heat bath for the rest; `population`, configurations that
    are resampled together, instead of single chains.

    **Proves** the lower side statistically. Needs `limits.delta` > 0, a `key`, and tables without zeros.
    """

    proves: ClassVar[Proves] = Proves.LOWER
    chains: int | None = None
    steps: int | None = None
    kernel: AbstractKernel | None = None
    population: int = 1

    def __check_init__(self) -> None:
        for name, number in (("chains", self.chains), ("steps", self.steps), ("population", self.population)):
            if number is not None and number < 1:
                raise ValueError(f"{name} is {number}; at least one is needed")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model; refuses zeros, and when no failure probability was granted."""
        if limits.delta <= 0.0:
            raise Refusal("annealed importance sampling gives statistical sides only; grant it a δ (delta)")
        reduced = as_reduced(model)
        if not all(np.isfinite(t).all() for t in reduced.model.log_tables()):
            raise Refusal("annealed importance sampling needs a model without zeros")
        path = _path(reduced, self.kernel, self.population > 1)
        text = f"Annealed importance sampling over {reduced.model.n} variables, δ = {limits.delta:g}."
        return Plan(text, (reduced, path), limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """A better lower side after every batch of chains."""
        if key is None:
            raise Refusal("annealed importance sampling is random; give it a key, such as jax.random.key(0)")
        (reduced, path), limits = plan.structure, plan.limits
        if reduced.log_constant == -math.inf or not reduced.model.n:
            sides = exact_sides(reduced.log_constant, reduced.error, repr(self))
            yield Answer(*sides, value=reduced.log_constant, result=Result.EXACT, plan=plan)
            return
        random, most = generator(key), math.inf if self.chains is None else self.chains
        pilot = _pilot(path, random, self.steps, limits, self.population)
        target = self.chains if self.chains is not None else pilot.affordable(limits)
        sequence, logs = BettingSequence(np.exp(pilot.logs), target, limits.delta, 0.0), np.zeros(0)
        look = ("annealed importance sampling", next(_runs))
        while len(logs) < most:
            batch = int(min(pilot.batch(), max(len(logs), 32), most - len(logs)))
            new = _weights(path, pilot.schedule, random, batch, self.population) - pilot.scale
            sequence.update(np.exp(np.minimum(new, _CEILING)))
            logs = np.concatenate([logs, new])
            answer = self._answer(pilot, sequence.bounds()[0], logs, plan, look)
            yield answer
            if answer.value is not None and answer.value - answer.lower.value < 0.1 * limits.gap:
                return  # further chains would not narrow the bracket by much

    def _answer(self, pilot: "Pilot", low: float, logs: np.ndarray, plan: Plan, look: tuple) -> Answer:
        base = pilot.path.log_base + pilot.scale
        error = rounding(pilot.path, len(pilot.schedule))
        weights = np.exp(logs - logs.max())
        effective = float(weights.sum() ** 2 / (weights @ weights))
        stats: dict[str, Any] = {"chains": len(logs), "steps": len(pilot.schedule) - 1, "ess": effective}
        stats["cv2"] = max(len(logs) / effective - 1.0, 0.0)
        stats["reliable"] = effective >= _FEWEST  # the error bar of the value; the side holds anyway
        stats["standard_error"] = math.sqrt(stats["cv2"] / len(logs))
        if low <= 0.0:
            reason = f"the weights of {len(logs)} chains vary too much to bound Z from below"
            lower = Side(-math.inf, Grounds.NONE, plan.limits.delta, reason=reason, look=look)
        else:
            value = outward(base + math.log(low), error, -1.0)
            lower = Side(value, Grounds.STATISTICAL, plan.limits.delta, repr(self), look=look)
        return Answer(lower, value=base + log_mean(logs), stats=stats, plan=plan)


class Pilot(NamedTuple):
    """A frozen schedule, log weights on it less `scale` (their log mean), and seconds a chain."""

    path: Path | TemperedPath
    schedule: np.ndarray
    logs: np.ndarray
    scale: float
    seconds: float
    population: int

    def batch(self) -> int:
        """Chains that take about a third of a second by count of updates, whatever the clock says."""
        return max(int(1.5e7 / (len(self.schedule) * self.path.n * self.population)), 1)

    def affordable(self, limits: Limits) -> int:
        """Chains that fit the time, or that bring the lower side within a tenth of the gap."""
        weights = np.exp(self.logs)
        spread = float(weights.var() / weights.mean() ** 2)
        wanted = 13.0 * spread / (0.1 * limits.gap) ** 2 if limits.gap > 0.0 else 1e9
        return int(max(min(wanted, limits.seconds_left() / max(self.seconds, 1e-9), 1e9), 64.0))


def _pilot(
    path: Path | TemperedPath, random: np.random.Generator, steps: int | None, limits: Limits, population: int
) -> Pilot:
    """Spaces the schedule on one pilot run, chooses its length on a second, and scales weights on a third."""
    length, trials = thermodynamic_length(path, random, _PILOT, _GRID[isinstance(path, TemperedPath)]), _PILOT
    if population > 1:
        schedule, trials = spaced(length, steps), _FEW
    elif steps is None:
        began = time.perf_counter()
        variance = float(anneal(path, length.even(_TRIAL), random, _PILOT)[0].var())
        most = 0.1 * max(limits.seconds_left(), 0.0) * _TRIAL / max(time.perf_counter() - began, 1e-9)
        schedule = length.even(int(max(min(_TRIAL * variance / _VARIANCE, most, 1e5), 20.0)))
    else:
        schedule = length.even(steps)
    began = time.perf_counter()
    logs = _weights(path, schedule, random, trials, population)
    scale = log_mean(logs)
    return Pilot(path, schedule, logs - scale, scale, (time.perf_counter() - began) / trials, population)


def _path(reduced: Reduced, kernel: AbstractKernel | None, populations: bool) -> Path | TemperedPath:
    """The way to the model: by main effects and heat bath, or by temperature where another kernel does the sweeps."""
    if kernel is None and not populations and not isinstance(suitable_kernel(reduced.model), SwendsenWang):
        return annealing_path(reduced)
    return tempered_path(reduced, kernel)


def _weights(
    path: Path | TemperedPath, schedule: np.ndarray, random: np.random.Generator, count: int, size: int
) -> np.ndarray:
    """Log weights of so many chains, or of so many populations of `size`."""
    if size == 1:
        return anneal(path, schedule, random, count)[0]
    assert isinstance(path, TemperedPath)
    return np.array([population(path, schedule, random, size).log_weight for _ in range(count)])


def rounding(path: Path | TemperedPath, steps: int) -> float:
    """What a log weight may be off by: a sum over the steps of energies that each of n·steps updates has changed."""
    return path.error * (steps + math.sqrt(path.n * steps))


def annealed_upper(
    model: AbstractDiscreteModel | Reduced, states: np.ndarray, *, delta: float, key: Any, steps: int = 1000
) -> Side:
    """An upper bound on log Z from exact, independent samples, annealed backwards; it fails with probability ≤ δ.

    **Arguments:** `states`, shape (c, n), c ≥ 32, drawn exactly from the model: the bound is worth what they are;
    `delta`; `key`, a typed `jax.random.key`; `steps` of the schedule, one sweep each.

    **Returns:** the upper side, statistical.

    **Raises:** `ValueError` when the model has zeros, or there are fewer than 32 samples.
    """
    if len(states) < 32:
        raise ValueError(f"{len(states)} samples are too few; give 32 or more")
    reduced = as_reduced(model)
    path, random = annealing_path(reduced), generator(key)
    kept = [np.searchsorted(reduced.states[v], states[:, v]) for v in reduced.variables.tolist()]
    x = np.stack(kept, axis=1) if kept else np.zeros((len(states), 0), np.int64)
    logs = anneal(path, even_schedule(path, random, steps)[::-1].copy(), random, len(x), x)[0]
    first = len(logs) // 16 + 8
    scale = log_mean(logs[:first])
    sequence = BettingSequence(np.exp(np.minimum(logs[:first] - scale, _CEILING)), len(logs) - first, delta, 0.0)
    sequence.update(np.exp(np.minimum(logs[first:] - scale, _CEILING)))
    low = sequence.bounds()[0]
    name = f"annealed_upper(steps={steps})"
    if low <= 0.0:
        return Side(math.inf, Grounds.NONE, delta, reason="the backward weights vary too much to bound Z from above")
    value = outward(path.log_base - scale - math.log(low), rounding(path, steps + 1), 1.0)
    return Side(value, Grounds.STATISTICAL, delta, name)
