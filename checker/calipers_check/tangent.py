"""Theorem 1 (docs/theorems.md): the Gibbs–Bogoliubov–Feynman bound of a trial that is independent between blocks.

    log Z ≥ Σ_b log Z_b − Σ_extra ⟨extra⟩_Q + Σ_{f across blocks} ⟨log f⟩_Q + Σ_{f constant} log f

`blocks.py` computes Z_b and the marginals; here only the factors across blocks are added.
"""

from collections.abc import Mapping

import numpy as np
from flint import arb

from calipers_check.blocks import Trial, total
from calipers_check.errors import Reject
from calipers_check.model import Model
from calipers_check.restricted import NOWHERE
from calipers_check.tables import ZERO, product
from calipers_check.witness import narrow, read_blocks


class Tangent:
    """A witness of this kind; what it proves from below, of all of Z or of its part at a `path` (Theorem 5)."""

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        self.restricted, self.blocks = read_blocks(arrays, model)

    def bound(self, side: str, path: Mapping[int, int] = NOWHERE) -> arb | float:
        """Encloses the bound on log Z at `path`."""
        if side != "lower":
            raise Reject("a tangent bounds log Z from below only")
        restricted = self.restricted.narrowed(path)
        restricted.check_evidence()
        if restricted.empty:
            return float("-inf")
        trial = Trial(restricted, narrow(self.blocks, self.restricted, path))
        parts = {a: list(trial.parts(restricted.scope(a)).values()) for a in trial.across}
        values, marginals = trial.solve(scope for scopes in parts.values() for scope in scopes)
        if not any(isinstance(x, float) for x in values):  # else some block has no mass, and no marginals
            for a, scopes in parts.items():
                scope, tables = restricted.scope(a), [marginals[scope] for scope in scopes]
                values.append(_mean(product(tables, scope, restricted.sizes), restricted.logs(a)))
        return total(values)


def _mean(weights: list[arb], logs: list[arb | float]) -> arb | float:
    """⟨log f⟩ under a distribution; −inf when it gives mass to a zero of f."""
    value = ZERO
    for p, log in zip(weights, logs, strict=True):
        if not p.is_zero():
            if isinstance(log, float):
                return float("-inf")
            value += p * log
    return value
