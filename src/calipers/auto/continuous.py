"""What Auto does with a density over reals: fits from the simplest up, until fresh draws say that one will do.

A known evidence (conjugate models) is taken. Otherwise: ascents from several starts, Gaussians by the ELBO at every
mode, conditional Gaussians, population Monte Carlo; the first whose k̂ is below ½ and whose draws are worth a fifth of
their number ends the search, else the best is kept. Its log Z is then importance-sampled to a quarter of the gap.
**Proves** both sides where the model states its curvature; at δ > 0 the lower side, by annealing from the best fit, and
the upper one too where the model draws from its own posterior. Every other number is an estimate, and comes with a
verdict in words. **Cost** seconds for d ≤ 100.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from calipers.auto.candidates import Candidate, candidates, look_for_modes
from calipers.bounds.curvature import CurvatureBounds
from calipers.bounds.hamiltonian_annealing import annealed_sides, draws_exactly, exact_drawer, prepare
from calipers.core.answer import Answer
from calipers.core.method import Limits, Plan, Refusal
from calipers.core.model import AbstractContinuousModel
from calipers.models.posterior import Posterior
from calipers.variational.report import answer, randomness, until
from calipers.variational.target import Target
from calipers.variational.verdict import judge

_GOOD = ((0.5, 0.2), (0.7, 0.9))  # k̂ below, and the share of the draws that they are worth above: the search ends
_ACCEPTABLE = (0.65, 0.05)  # after the cheap ones
_CHEAP = 3


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
    random = randomness(key)
    target = Target(model)
    found = look_for_modes(target, random)
    stats: dict[str, Any] = {"modes": len(found.modes)}
    yield from _structural(model, plan.limits)
    tried: list[Candidate] = []
    for candidate in candidates(target, found.modes, random):
        tried.append(candidate)
        if _good(candidate):
            break
        if len(tried) >= _CHEAP and any(_acceptable(c) for c in tried):
            break
        yield Answer(stats=stats | {"fit": candidate.name, "elbo": candidate.plain.elbo})
    if not tried:
        raise Refusal("no start had a finite log weight; check the density, its constraints and its data")
    best = min(tried, key=_rank)
    rivals = [c.found for c in tried if c is not best]
    final = until(target, best.found.q, random, plan.limits)
    verdict = judge(final, unseen=found.unseen, rival=max(rivals, key=lambda a: a.log_z, default=None))
    stats |= {
        "fit": best.name,
        "elbo": best.plain.elbo,
        "elbo_error": best.plain.elbo_error,
        "k_hat_q": best.plain.k_hat,
    }
    yield answer(target, final, verdict, stats)
    if plan.limits.delta > 0.0 and key is not None:
        yield from _statistical(model, target, best.found.q, random, plan.limits)


def _good(candidate: Candidate) -> bool:
    return any(candidate.found.k_hat < k and candidate.found.share > share for k, share in _GOOD)


def _acceptable(candidate: Candidate) -> bool:
    return candidate.found.k_hat < _ACCEPTABLE[0] and candidate.found.share > _ACCEPTABLE[1]


def _rank(candidate: Candidate) -> tuple[bool, float]:
    """Sound weights first, then the precision of log Z."""
    return candidate.found.k_hat > 0.7, candidate.found.error


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
