"""Theorem 6 (docs/theorems.md; Ruozzi 2012): the Bethe functional of a log-supermodular model lies below log Z.

    log Z ≥ Σ_b (log Z_b − Σ_extra ⟨extra⟩) + Σ_{f across} Σ_x b_f (log f − log (b_f / Π_i b_i)) + Σ_{f constant} log f

b_i are the marginals of the blocks' trials, b_f = Π_i b_i + Σ_{|S| ≥ 2} c_S Π_{i ∈ S} s_i: consistent with b_i whatever
the numbers c_S are, so that only b_f ≥ 0 is left to be checked, beside the model's own property: variables with two
states, and f(x ∧ y) f(x ∨ y) ≥ f(x) f(y) for every factor once some variables' states are exchanged.
"""

from collections.abc import Mapping
from operator import add

import numpy as np
from flint import arb

from calipers_check.archive import ints
from calipers_check.blocks import Trial, total
from calipers_check.errors import Reject
from calipers_check.model import Model
from calipers_check.restricted import NOWHERE
from calipers_check.supermodular import check_supermodular
from calipers_check.tables import ZERO, product
from calipers_check.witness import narrow, read_blocks, read_links


class Bethe:
    """A witness of this kind; what it proves from below, of all of Z or of its part at a `path` (Theorem 5)."""

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        self.restricted, self.blocks = read_blocks(arrays, model)
        self.flips, self.links = ints(arrays, "flips").tolist(), read_links(arrays, self.restricted)

    def bound(self, side: str, path: Mapping[int, int] = NOWHERE) -> arb | float:
        """Encloses the bound on log Z at `path`; links that lose a variable there are given up."""
        if side != "lower":
            raise Reject("a Bethe functional bounds log Z from below only")
        restricted = self.restricted.narrowed(path)
        restricted.check_evidence()
        if restricted.empty:
            return float("-inf")
        joined = {v for block in self.blocks for v in block.order}
        check_supermodular(restricted, self.flips, joined.union(*(restricted.scope(a) for a in self.links)))
        links = {a: c for a, c in self.links.items() if restricted.scope(a) == self.restricted.scope(a)}
        trial = Trial(restricted, narrow(self.blocks, self.restricted, path), outside=links)
        scopes = {a: restricted.scope(a) for a in trial.across}
        if not links.keys() <= scopes.keys():
            raise Reject("a link belongs to a factor that has no variable left")
        values, marginals = trial.solve((v,) for scope in scopes.values() for v in scope)
        if not any(isinstance(x, float) for x in values):  # else some block has no mass, and no marginals
            for a, scope in scopes.items():
                independent = product([marginals[v,] for v in scope], scope, restricted.sizes)
                values.append(_term(a, restricted.logs(a), independent, links.get(a)))
        return total(values)


def _term(a: int, logs: list[arb | float], independent: list[arb], covariance: list[float] | None) -> arb | float:
    """Σ b (log f − log (b / Π b_i)) of one factor; −inf when b gives mass to a zero of f."""
    belief = independent if covariance is None else list(map(add, independent, _free(covariance)))
    value = ZERO
    for b, q, log in zip(belief, independent, logs, strict=True):
        if b.is_zero():
            continue
        if not (b > 0 and q > 0):
            raise Reject(f"the pseudo-marginal of factor {a} is not certainly positive: {b.str(6)}")
        if isinstance(log, float):
            return float("-inf")
        value += b * (log if covariance is None else log - (b / q).log())
    return value


def _free(table: list[float]) -> list[arb]:
    """The part of a table over k binary variables whose sums over all but one variable vanish, exactly.

    The table less its mean and, for each variable, less s_i times the mean of s_i times the table (s_i = ±1).
    """
    count, cells = len(table), [arb(x) for x in table]
    mean, places = sum(cells, ZERO) / count, range(count)
    slopes, step = [], 1
    while step < count:
        slopes.append((step, sum((-x if i & step else x for i, x in enumerate(cells)), ZERO) / count))
        step *= 2
    return [cells[i] - mean - sum((-m if i & step else m for step, m in slopes), ZERO) for i in places]
