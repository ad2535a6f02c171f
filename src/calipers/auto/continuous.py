"""What Auto does with a density over reals: fits from the simplest up, until fresh draws say that one will do.

A known evidence (conjugate models) is taken. Otherwise: ascents from several starts, Gaussians by the ELBO at every
mode, conditional Gaussians, population Monte Carlo; the first whose k̂ is below ½ and whose draws are worth a fifth of
their number ends the search, else the best is kept. Its log Z is then importance-sampled to a quarter of the gap.
**Proves** nothing at δ = 0: every number is an estimate, and comes with a verdict in words. At δ > 0 the methods of
`STATISTICAL` are run for sides. **Cost** seconds for d ≤ 100.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from calipers.auto.candidates import Candidate, candidates, look_for_modes
from calipers.core.answer import Answer
from calipers.core.method import AbstractMethod, Limits, Plan, Refusal
from calipers.core.model import AbstractContinuousModel
from calipers.models.posterior import Posterior
from calipers.variational.report import answer, randomness, until
from calipers.variational.target import Target
from calipers.variational.verdict import judge

STATISTICAL: tuple[AbstractMethod, ...] = ()  # run in turn where δ is granted, which they share
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
    yield from _statistical(model, plan.limits, key)


def _good(candidate: Candidate) -> bool:
    return any(candidate.found.k_hat < k and candidate.found.share > share for k, share in _GOOD)


def _acceptable(candidate: Candidate) -> bool:
    return candidate.found.k_hat < _ACCEPTABLE[0] and candidate.found.share > _ACCEPTABLE[1]


def _rank(candidate: Candidate) -> tuple[bool, float]:
    """Sound weights first, then the precision of log Z."""
    return candidate.found.k_hat > 0.7, candidate.found.error


def _statistical(model: AbstractContinuousModel, limits: Limits, key: Any) -> Iterator[Answer]:
    """Sides at δ, which the methods share equally."""
    if limits.delta <= 0.0 or key is None:
        return
    shared = dataclasses.replace(limits, delta=limits.delta / max(len(STATISTICAL), 1))
    for method in STATISTICAL:
        try:
            plan = method.plan(model, shared)
            yield from (dataclasses.replace(a, plan=None) for a in method.answers(model, plan, key))
        except Refusal as reason:
            yield Answer(stats={type(method).__name__: str(reason)})
