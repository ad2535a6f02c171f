"""What beliefs say of a model: energy, entropy and magnetization from marginals, exact or not.

U = −⟨log w⟩,  S = log Z + βU,  m = Σ⟨s_i⟩/n        (w the model's weight at β = 1)
"""

from typing import Any

import numpy as np

from calipers.core.answer import Answer, Belief
from calipers.models.factor_graph import FactorGraph


def belief_averages(base: FactorGraph, beta: float, answer: Answer) -> dict[str, float]:
    """Totals "energy" and "entropy", and "magnetization" per site of spins, of one method's beliefs.

    **Arguments:** `base`, the graph at β = 1; `beta`; `answer`, about the graph at β, with a belief.
    """
    assert answer.belief is not None
    found: dict[str, Any] = {"energy": _energy(base, answer.belief)}
    if answer.value is not None:
        found["entropy"] = answer.value + beta * found["energy"]
    if base.n and all(k == 2 for k in base.sizes):
        found["magnetization"] = sum(float(p[0] - p[1]) for p in answer.belief.marginals) / base.n
    return found


def _energy(base: FactorGraph, belief: Belief) -> float:
    """U: minus the expected log weight at β = 1; impossible states do not count."""
    total = 0.0
    for a, (scope, table) in enumerate(zip(base.scopes, base.log_tables(), strict=True)):
        if belief.factors is not None:
            p = np.asarray(belief.factors[a])
        else:
            p = np.ones(())
            for v in scope:
                p = np.multiply.outer(p, belief.marginals[v])
        total -= float(np.sum(np.where(p > 0, p, 0.0) * np.where(p > 0, table, 0.0)))
    return total
