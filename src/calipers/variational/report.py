"""From an assessment to an answer: an estimate with its verdict, never a side."""

import math
from typing import Any

import jax
import numpy as np

from calipers.core.answer import Answer, Result
from calipers.core.method import Limits, Refusal
from calipers.core.model import AbstractContinuousModel
from calipers.models.streamed import StreamedPosterior
from calipers.variational.approximation import AbstractApproximation
from calipers.variational.assessment import Assessment, summarise
from calipers.variational.cloud import cloud
from calipers.variational.target import Target
from calipers.variational.verdict import Verdict

_FIRST, _MOST = 4096, 2**18


def continuous(model: Any) -> AbstractContinuousModel:
    """`model`, if it is a density over reals.

    **Raises:** `Refusal` when it is not.
    """
    if isinstance(model, StreamedPosterior):
        raise Refusal(
            "this method needs log weights of all rows at every step; StochasticVI fits a StreamedPosterior. Logs "
            "of mean weights (IWAE, Rényi, CUBO) are no bounds under minibatches: by Jensen's inequality, noise in the "
            "log weights moves them. model.subset(begin, end) is a Posterior of some rows"
        )
    if not isinstance(model, AbstractContinuousModel):
        raise Refusal(f"this method fits densities over reals; {type(model).__name__} is not one")
    return model


def randomness(key: Any) -> np.random.Generator:
    """NumPy's generator from a typed JAX key; without one, always the same."""
    return np.random.default_rng(0 if key is None else np.asarray(jax.random.key_data(key)).ravel().tolist())


def until(
    target: Target, q: AbstractApproximation, random: np.random.Generator, limits: Limits, error: float | None = None
) -> Assessment:
    """Fresh draws until log Z is known to `error` (None: a quarter of the gap) by their spread, or there are many."""
    wanted = max(0.25 * limits.gap, 1e-4) if error is None else error
    u, logs = np.zeros((0, target.dimension)), np.zeros(0)
    count = _FIRST
    while True:
        more, density = q.draw(random, count)
        u, logs = np.concatenate([u, more]), np.concatenate([logs, target.values(more) - density])
        found = summarise(q, u, logs)
        if found.relative <= wanted or len(u) >= _MOST or limits.seconds_left() < 1.0:
            return found
        ahead = len(u) * (found.relative / wanted) ** 2 if math.isfinite(found.relative) else math.inf
        count = int(min(max(ahead - len(u), 0.5 * len(u)), 3.0 * len(u), _MOST - len(u)))


def answer(target: Target, found: Assessment, verdict: Verdict, stats: dict[str, Any], *, last: bool = True) -> Answer:
    """An estimate; `value` is log Z only if the verdict is to trust it, and `stats["estimate"]` has it in any case."""
    told = {
        **stats,
        "verdict": verdict.words,
        "trust": verdict.level,
        "estimate": found.log_z,
        "std_error": found.error,
        "k_hat": found.k_hat,
        "ess": found.ess,
        "draws": len(found.draws),
        "evaluations": target.evaluations,
    }
    if target.not_numbers:
        told["not_numbers"] = target.not_numbers
    result = Result.RUNNING
    if last:
        result = Result.MISLEADING if verdict.level == "none" else Result.EXHAUSTED
    believed = None if verdict.level == "none" else cloud(target, found, told)
    return Answer(value=found.log_z if verdict.level == "trust" else None, belief=believed, result=result, stats=told)
