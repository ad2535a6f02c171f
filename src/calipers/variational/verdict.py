"""How far a fit is to be trusted, in words.

    trust              k̂ ≤ min(0.7, 1 − 1/log₁₀ S), 400 effective draws, and every other look agrees
    trust the mean     log Z is off by an unknown amount, but q's means and the weighted ones are within 0.2 deviations
    do not trust       neither

The rules are those of Vehtari et al. (2024) and Yao et al. (2018); what they cannot see, a mode that no start and no
draw came near, is said in the verdict where there is a sign of it (maxima that were met once only). **Proves** nothing.
"""

from typing import NamedTuple

import numpy as np

from calipers.variational.assessment import Assessment
from calipers.variational.pareto import threshold

FEWEST = 400.0  # effective draws
_APART = 0.2  # posterior deviations between q's mean and the weighted one
_UNSEEN = 0.15
_NATS = 0.25  # of standard error, beyond which an estimate is none


class Verdict(NamedTuple):
    """`level` is "trust", "mean" or "none"; `words` say it with the reason."""

    level: str
    words: str


def judge(
    found: Assessment, *, unseen: float = 0.0, rival: Assessment | None = None, prior: str | None = None
) -> Verdict:
    """The verdict on an assessment.

    **Arguments:** `found`; `unseen`, the chance that one more start would find a new mode; `rival`, the best
    assessment of another trial density; `prior`, what is wrong with it.
    """
    if prior is not None:
        return Verdict("none", f"do not trust, because {prior}")
    reasons = _reasons(found, unseen, rival)
    good = f"{tail_words(found.k_hat)}, {found.ess:.0f} effective draws, log Z ± {found.error:.2g}"
    if not reasons:
        return Verdict("trust", f"trust: {good}")
    why = "; ".join(reasons)
    if found.k_hat < 1.0 and found.ess >= 50.0 and unseen <= _UNSEEN and means_apart(found) < _APART:
        return Verdict("mean", f"trust the mean only, not log Z, because {why}")
    return Verdict("none", f"do not trust, because {why}")


def _reasons(found: Assessment, unseen: float, rival: Assessment | None) -> list[str]:
    reasons = []
    if not np.isfinite(found.log_z):
        return ["no draw had a finite log weight"]
    most = threshold(len(found.draws))
    if not found.k_hat <= most:
        reasons.append(f"k̂ = {found.k_hat:.2f} is above {most:.2f}: a few draws carry the weights")
    if found.ess < FEWEST:
        reasons.append(f"the draws are worth {found.ess:.0f} only, {FEWEST:.0f} are needed")
    if found.error > _NATS:
        reasons.append(f"log Z is known to ± {found.error:.2g} nats only")
    if unseen > _UNSEEN:
        reasons.append(f"one more start would find a new mode with a chance of about {unseen:.0%}")
    if rival is not None and rival.k_hat < 0.7:
        apart, noise = rival.log_z - found.log_z, float(np.hypot(found.error, rival.error))
        if apart > 4.0 * noise + 0.02:
            reasons.append(f"another fit found {apart:.2g} nats more")
    return reasons


def tail_words(k_hat: float) -> str:
    """k̂ in words: −∞ is a set of weights that hardly vary, which has no tail for k̂ to describe."""
    return "weights without a tail" if k_hat == -np.inf else f"k̂ = {k_hat:.2f}"


def means_apart(found: Assessment) -> float:
    """The largest distance between the plain and the weighted mean of the draws, in weighted deviations."""
    w = np.exp(found.log_weights - np.logaddexp.reduce(found.log_weights))
    mean = w @ found.draws
    deviation = np.sqrt(w @ (found.draws - mean) ** 2) + 1e-300
    plain = np.median(found.draws, axis=0)
    return float(np.abs((plain - mean) / deviation).max())
