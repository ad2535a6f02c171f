"""Sides of a log evidence: below by annealing from a fitted q to the posterior, above by the way back from exact draws.

    E[w] = Z forwards from u ~ q,    E[w′] = 1/Z backwards from u ~ p;    a lower bound on either mean bounds one side

A betting confidence sequence over independent chains turns each into a side at δ, however badly the chains mix
(docs/theorems.md, theorems S2, S4). The schedule and the steps are tuned on pilots and then frozen. **Proves** the
lower side with probability ≥ 1 − δ; the upper side too where the model gives exact posterior draws, and then either
spends δ/2. log Z − lower ≈ √(13 cv²/n), cv² the squared coefficient of variation of n weights. **Cost** leaps ×
steps gradients a chain. **Fails** by a wide bracket, or one side only, where the path is too short or q misses a
region. The float64 rounding of the user's density is taken to be below 2⁻⁴⁰ of its size. **Source** as in
`calipers.sampling.hamiltonian`; Waudby-Smith & Ramdas, *Estimating means of bounded variables by betting* (2023).
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from calipers.bounds.confidence import log_mean
from calipers.bounds.mean_weight import MeanWeight, bennett
from calipers.core.answer import NOTHING_ABOVE, Answer, Grounds, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractContinuousModel
from calipers.exact.sampling import generator
from calipers.models.posterior import Posterior
from calipers.sampling.hamiltonian import (
    Bridge,
    Passage,
    Schedule,
    anneal_backwards,
    anneal_forwards,
    even_bridge,
    hamiltonian_step,
)
from calipers.variational.approximation import AbstractApproximation, Elliptical, Mixture
from calipers.variational.fitting import fit_gaussian
from calipers.variational.modes import find_modes
from calipers.variational.slopes import density_with_slope
from calipers.variational.target import Target

_BATCH = 256  # chains
_PILOT_STEPS = 24
_VARIANCE = 0.3  # of log weights, that the number of steps aims at
_MOST_STEPS = 4096
_WALK = 16  # transitions
_ROUNDING = 2.0**-40
_runs = itertools.count()


class Bracketed(NamedTuple):
    """A frozen bridge: what every batch of chains runs on."""

    bridge: Bridge
    schedule: Schedule
    trial: AbstractApproximation
    pilot: Passage
    seconds: float  # a batch


def prepare(
    target: Target,
    trial: AbstractApproximation,
    random: np.random.Generator,
    *,
    steps: int | None = None,
    leaps: int = 4,
    seconds: float = math.inf,
) -> Bracketed:
    """Spaces a schedule on one pilot, chooses its length on a second, and freezes it.

    **Arguments:** `trial`, q, normalised; `steps`, K, or None for as many as bring the variance of log weights to about
    0.3; `leaps` of every transition; `seconds` that a batch may take at most.
    """
    bridge = Bridge(density_with_slope(trial), target.gradients, preconditioner(trial), leaps)
    first = Schedule(np.linspace(0.0, 1.0, _PILOT_STEPS + 1) ** 2, np.full(_PILOT_STEPS + 1, trial.dimension**-0.25))
    began = time.perf_counter()
    seen = anneal_forwards(bridge, first, trial.sample(random, _BATCH), random, tune=True)
    pace = (time.perf_counter() - began) / _PILOT_STEPS
    most = int(min(max(seconds / max(pace, 1e-9), 4.0), _MOST_STEPS))
    count = steps or int(min(max(_PILOT_STEPS * _variance(seen) / _VARIANCE, 1.0), most))
    schedule = even_bridge(seen, first, count)
    again = anneal_forwards(bridge, schedule, trial.sample(random, _BATCH), random, tune=True)
    if steps is None and _variance(again) > 2.0 * _VARIANCE and count < most:
        count = int(min(count * _variance(again) / _VARIANCE, most))
        schedule = even_bridge(again, schedule, count)
    began = time.perf_counter()
    last = anneal_forwards(bridge, schedule, trial.sample(random, _BATCH), random)
    return Bracketed(bridge, schedule, trial, last, time.perf_counter() - began)


def preconditioner(trial: AbstractApproximation) -> np.ndarray:
    """A factor L of q's covariance, from its own draws where q is no Gaussian."""
    if isinstance(trial, Elliptical):
        return trial.factor
    draws = trial.sample(np.random.default_rng(0), 64 * trial.dimension)
    return np.linalg.cholesky(np.cov(draws.T).reshape(2 * draws.shape[1:]) + 1e-12 * np.eye(draws.shape[1]))


def _variance(passage: Passage) -> float:
    """Variance of log weights, those cut off that are as good as zero."""
    logs = passage.logs[np.isfinite(passage.logs)]
    return float(np.maximum(logs, np.median(logs) - 20.0).var()) if len(logs) > 1 else math.inf


class HamiltonianAnnealing(AbstractMethod):
    """Both sides of a log evidence at δ: from a fit below, from exact posterior draws above.

    **Arguments:** `chains`, at most, or None for as many as the limits allow; `steps` of the schedule, None for a
    pilot to choose; `leaps` of a transition.

    **Proves** the lower side statistically, and the upper one for models with `posterior_sample`. Needs `limits.delta`
    > 0 and a `key`.
    """

    proves: ClassVar[Proves] = Proves.BOTH
    chains: int | None = None
    steps: int | None = None
    leaps: int = 4

    def __check_init__(self) -> None:
        for name, number in (("chains", self.chains), ("steps", self.steps), ("leaps", self.leaps)):
            if number is not None and number < 1:
                raise ValueError(f"{name} is {number}; at least one is needed")

    def plan(self, model: AbstractContinuousModel, limits: Limits = Limits()) -> Plan:
        """Refuses what is not continuous, and when no failure probability was granted."""
        if not isinstance(model, AbstractContinuousModel):
            raise Refusal(
                f"Hamiltonian annealing is for densities over reals, not a {type(model).__name__}; AnnealedImportance "
                "is for discrete models"
            )
        if limits.delta <= 0.0:
            raise Refusal("annealing gives statistical sides only; grant it a δ (delta)")
        above = "and back from exact draws" if draws_exactly(model) else "(no exact draws: no upper side)"
        return Plan(f"Hamiltonian annealing over {model.dimension} reals {above}, δ = {limits.delta:g}.", limits=limits)

    def answers(self, model: AbstractContinuousModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """A better bracket after every batch of chains."""
        if key is None:
            raise Refusal("annealing is random; give it a key, such as jax.random.key(0)")
        random, target, limits = generator(key), Target(model), plan.limits
        trial = fitted_trial(target, random)
        prepared = prepare(
            target, trial, random, steps=self.steps, leaps=self.leaps, seconds=0.1 * limits.seconds_left()
        )
        draws = exact_drawer(model, random) if draws_exactly(model) else None
        yield from annealed_sides(target, prepared, random, limits, chains=self.chains, draws=draws, name=repr(self))


def fitted_trial(target: Target, random: np.random.Generator) -> AbstractApproximation:
    """What chains start from: the best full-rank Gaussian, or the Laplace mixture of several modes.

    **Raises:** `Refusal` when no start climbs to a mode.
    """
    modes = find_modes(target, random)
    if not modes:
        raise Refusal("no ascent ended in a mode; the density may rise without end")
    if len(modes) == 1:
        return fit_gaussian(target, modes[0].laplace, random).q
    evidence = np.array([mode.evidence for mode in modes])
    return Mixture(np.exp(evidence - evidence.max()), tuple(mode.laplace for mode in modes))


def draws_exactly(model: AbstractContinuousModel) -> bool:
    """Whether the model can draw from its own posterior."""
    return isinstance(model, Posterior) and model.posterior_sample is not None


def exact_drawer(model: Any, random: np.random.Generator) -> Callable[[int], np.ndarray]:
    """What draws independent exact posterior draws, as flat vectors, shape (count, d)."""
    draw = jax.jit(jax.vmap(lambda key: model.unconstrain(model.posterior_sample(key, model.data))))

    def drawer(count: int) -> np.ndarray:
        with jax.enable_x64(True):
            keys = jax.random.split(jax.random.key(int(random.integers(2**63))), max(count, _BATCH))
            return np.asarray(draw(keys), np.float64)[:count]

    return drawer


def annealed_sides(
    target: Target,
    prepared: Bracketed,
    random: np.random.Generator,
    limits: Limits,
    *,
    chains: int | None = None,
    draws: Callable[[int], np.ndarray] | None = None,
    name: str = "HamiltonianAnnealing()",
) -> Iterator[Answer]:
    """A better bracket after every batch of chains.

    **Arguments:** `prepared`, a frozen bridge; `limits`, whose `delta` is spent once for the whole stream; `chains` at
    most, each way; `draws(count)`, independent exact draws of the posterior, shape (count, d), or None.
    """
    share = limits.delta if draws is None else 0.5 * limits.delta
    most = chains if chains is not None else _affordable(prepared, limits, draws is not None)
    look = ("Hamiltonian annealing", next(_runs))
    below = MeanWeight(prepared.pilot.logs, most, share)
    start = _ends(prepared, random) if draws is None else draws(_BATCH)
    back = anneal_backwards(prepared.bridge, prepared.schedule, start, random)
    above = None if draws is None else MeanWeight(back.logs, most, share)
    stats = {"upper_if_mixed": -log_mean(back.logs)} if draws is None else {}  # an estimate
    done = 0
    while done < most:
        count = min(_BATCH, most - done)
        start = prepared.trial.sample(random, count)
        below.add(anneal_forwards(prepared.bridge, prepared.schedule, start, random).logs)
        if above is not None and draws is not None:
            above.add(anneal_backwards(prepared.bridge, prepared.schedule, draws(count), random).logs)
        done += count
        answer = _answer(prepared, below, above, limits.delta, look, name, stats)
        yield answer
        if answer.value is not None and answer.value - answer.lower.value < 0.1 * limits.gap and above is None:
            return  # further chains would not narrow the bracket by much


def _ends(prepared: Bracketed, random: np.random.Generator) -> np.ndarray:
    """Where the pilot's chains ended, drawn by their weights, and a walk from there: nearly posterior draws."""
    logs = prepared.pilot.logs
    weights = (
        np.exp(logs - log_mean(logs)) / len(logs) if np.isfinite(logs).any() else np.full(len(logs), 1.0 / len(logs))
    )
    cloud = prepared.bridge.cloud(prepared.pilot.end.u[random.choice(len(logs), len(logs), p=weights / weights.sum())])
    for _ in range(_WALK):
        cloud, _ = hamiltonian_step(prepared.bridge, cloud, 1.0, float(prepared.schedule.step[-1]), random)
    return cloud.u


def _affordable(prepared: Bracketed, limits: Limits, both: bool) -> int:
    """Chains each way that fit the time, or that bring a side within a tenth of the gap."""
    logs = prepared.pilot.logs - log_mean(prepared.pilot.logs)
    spread = float(np.exp(np.minimum(logs, 20.0)).var())
    wanted = max(13.0 * spread / (0.1 * limits.gap) ** 2, 40.0 / limits.gap) if limits.gap > 0.0 else 1e7
    fits = _BATCH * limits.seconds_left() / max(prepared.seconds * (2 if both else 1), 1e-9)
    return int(max(min(wanted, fits, 1e7), _BATCH))


def _answer(
    prepared: Bracketed, below: MeanWeight, above: MeanWeight | None, delta: float, look: tuple, name: str, known: dict
) -> Answer:
    low, upper = below.log_lower(), NOTHING_ABOVE
    high = prepared.pilot.end.high  # −inf where a chain never entered the density
    error = _ROUNDING * (1.0 + float(np.abs(high[np.isfinite(high)]).max(initial=0.0)))
    stats: dict[str, Any] = known | {
        "chains": len(below.logs),
        "steps": len(prepared.schedule.t) - 1,
        "cv2": below.cv2(),
    }
    stats["ess"] = len(below.logs) / (1.0 + stats["cv2"])
    stats["std_error"] = math.sqrt(stats["cv2"] / len(below.logs))
    lower = _side(low, error, -1.0, delta, look, name)
    value = log_mean(below.logs)
    if above is not None:
        upper = _side(-above.log_lower(), error, 1.0, delta, look, name)
        value = bennett(below.logs, above.logs)
        stats["cv2_back"] = above.cv2()
    return Answer(lower, upper, value=value if math.isfinite(value) else None, stats=stats)


def _side(value: float, error: float, sign: float, delta: float, look: tuple, name: str) -> Side:
    if math.isfinite(value):
        return Side(outward(value, error, sign), Grounds.STATISTICAL, delta, name, look=look)
    return Side(sign * math.inf, Grounds.NONE, delta, reason="the weights vary too much to bound Z", look=look)
