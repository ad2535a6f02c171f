"""What Auto does with a density over reals: fits from the simplest up, until fresh draws say that one will do.

A known evidence (conjugate models) is taken. Otherwise: ascents from several starts, Gaussians by the ELBO at every
mode, conditional Gaussians, population Monte Carlo; the first whose k̂ is below ½ and whose draws are worth half of
their number ends the search, else the best is kept. Its log Z is then importance-sampled to a quarter of the gap.
**Proves** both sides where the model states its curvature; at δ > 0 the lower side, by annealing from the best fit, and
the upper one too where the model draws from its own posterior. Every other number is an estimate, and comes with a
verdict in words. **Cost** seconds for d ≤ 100.
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from calipers.auto.candidates import Candidate, candidates, look_for_modes
from calipers.bounds.curvature import CurvatureBounds
from calipers.bounds.hamiltonian_annealing import annealed_sides, draws_exactly, exact_drawer, prepare
from calipers.core.answer import Answer
from calipers.core.method import Limits, Plan, Refusal
from calipers.core.model import AbstractContinuousModel
from calipers.exact.conjugate import Conjugate
from calipers.models.posterior import Posterior
from calipers.variational.assessment import Assessment
from calipers.variational.prior_check import check_prior
from calipers.variational.report import answer, randomness, until
from calipers.variational.target import Target
from calipers.variational.verdict import Verdict, judge, tail_words

_GOOD = ((0.5, 0.5), (0.7, 0.9))  # k̂ below, and the share of the draws that they are worth above: the search ends
_ACCEPTABLE = (0.5, 0.05)  # after the cheap ones
_CHEAP = 3
_FINALISTS = 2  # trial densities that are drawn from at length
_EXPLORED = 10  # dimensions
_SOUND = 0.05  # standard error up to which another estimate is compared
_RESERVE = 0.4  # of the time, for the last draws


def plan_continuous(model: AbstractContinuousModel, limits: Limits) -> Plan:
    """Says what will be tried."""
    starts = "prior draws and spread starts" if _draws(model) else "spread starts"
    text = (
        f"A density over {model.dimension} reals: Gaussians by the ELBO at every mode that {starts} lead to; then "
        "conditional Gaussians and population Monte Carlo, until importance weights are sound."
    )
    return Plan(text, model, limits=limits)


def _draws(model: AbstractContinuousModel) -> bool:
    return isinstance(model, Posterior) and model.prior_sample is not None


def answers_continuous(model: AbstractContinuousModel, plan: Plan, key: Any) -> Iterator[Answer]:
    """An answer a candidate, the last one the best."""
    if isinstance(model, Posterior) and model.evidence is not None:
        known = Conjugate()
        yield from known.answers(model, known.plan(model, plan.limits))
        return
    random, began = randomness(key), time.monotonic()
    target = Target(model)
    found = look_for_modes(target, random)
    stats: dict[str, Any] = {"modes": len(found.modes)}
    yield from _structural(model, plan.limits)
    tried: list[Candidate] = []
    for candidate in candidates(target, found.modes, random, plan.limits):
        tried.append(candidate)
        if _enough(tried, candidate.humps > 1 and target.dimension <= _EXPLORED):
            break
        if plan.limits.seconds_left() < _RESERVE * _seconds(plan.limits, began):
            break
        yield _so_far(target, min(tried, key=_rank), stats)
    if not tried:
        raise Refusal("no start had a finite log weight; check the density, its constraints and its data")
    best, final = _finals(target, sorted(tried, key=_rank), random, plan.limits)
    rivals = [c.found for c in tried if c is not best]
    final = final._replace(error=float(np.hypot(final.error, _disagreement(final, rivals))))
    rival = max(rivals, key=lambda a: a.log_z, default=None)
    missing, complaint = found.unseen if best.humps > 1 else 0.0, None
    if isinstance(model, Posterior) and model.prior_sample is not None:
        prior = check_prior(model)
        stats["prior"], complaint = prior.words, prior.complaint
    verdict = judge(final, unseen=missing, rival=rival, prior=complaint)
    stats |= {"fit": best.name, "elbo": best.plain.elbo, "elbo_error": best.plain.elbo_error}
    yield answer(target, final, verdict, stats | {"k_hat_q": best.plain.k_hat})
    if plan.limits.delta > 0.0 and key is not None:
        yield from _statistical(model, target, best.found.q, random, plan.limits)


def _disagreement(final: Assessment, rivals: list[Assessment]) -> float:
    """Half of what trial densities whose weights are as sound differ by: none has tails for everything."""
    sound = [a.log_z for a in rivals if a.k_hat < min(max(final.k_hat, 0.5), 0.7) and a.relative < _SOUND]
    return 0.5 * max((abs(z - final.log_z) for z in sound), default=0.0)


def _so_far(target: Target, candidate: Candidate, stats: dict[str, Any]) -> Answer:
    """What a run that stops here knows: an estimate on the way, which is no value."""
    told = stats | {"fit": candidate.name, "elbo": candidate.plain.elbo, "elbo_error": candidate.plain.elbo_error}
    verdict = Verdict("none", f"do not trust yet: stopped early, at {tail_words(candidate.found.k_hat)}")
    return answer(target, candidate.found, verdict, told, last=False)


def _seconds(limits: Limits, began: float) -> float:
    """How long the whole run may take."""
    return limits.deadline - began


def _enough(tried: list[Candidate], explore: bool) -> bool:
    """Whether no further trial densities are needed; a few dimensions with several modes are explored to the end."""
    if explore:
        return False
    return _good(tried[-1]) or (len(tried) >= _CHEAP and any(_acceptable(c) for c in tried))


def _finals(
    target: Target, ranked: list[Candidate], random: np.random.Generator, limits: Limits
) -> tuple[Candidate, Assessment]:
    """The best of the few most promising, by all their draws."""
    finals: list[tuple[Candidate, Assessment]] = []
    for candidate in ranked[:_FINALISTS]:
        finals.append((candidate, until(target, candidate.found.q, random, limits)))
        if finals[-1][1].k_hat < _ACCEPTABLE[0] or limits.seconds_left() < 0.0:
            break
    return min(finals, key=lambda pair: (pair[1].k_hat > 0.7, pair[1].error))


def _good(candidate: Candidate) -> bool:
    return any(candidate.found.k_hat < k and candidate.found.share > share for k, share in _GOOD)


def _acceptable(candidate: Candidate) -> bool:
    return candidate.found.k_hat < _ACCEPTABLE[0] and candidate.found.share > _ACCEPTABLE[1]


def _rank(candidate: Candidate) -> tuple[bool, float]:
    """Sound weights first, then the precision of log Z."""
    return candidate.found.k_hat > 0.7, candidate.found.relative


def _structural(model: AbstractContinuousModel, limits: Limits) -> Iterator[Answer]:
    """Deterministic sides, where the model states its curvature."""
    method = CurvatureBounds()
    if getattr(model, "curvature", None) is not None:
        yield from method.answers(model, method.plan(model, limits))


def _statistical(
    model: AbstractContinuousModel, target: Target, trial: Any, random: Any, limits: Limits
) -> Iterator[Answer]:
    """Sides at δ: annealing from the best fit, and back from exact draws where the model has them.

    The fit's own estimate stays the value: its verdict is about that one.
    """
    prepared = prepare(target, trial, random, seconds=0.1 * max(limits.seconds_left(), 0.0))
    draws = exact_drawer(model, random) if draws_exactly(model) else None
    for found in annealed_sides(target, prepared, random, limits, draws=draws):
        yield dataclasses.replace(found, value=None, stats={f"annealed_{name}": x for name, x in found.stats.items()})
