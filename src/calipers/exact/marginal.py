"""Joint marginals of a few variables, given what is known of others: p(x_A | x_B = b), exactly.

The set A is given a table of its own, elimination is run once forwards, once backwards. **Proves** nothing; exact up to
rounding. **Cost** an elimination in which A is a clique: up to Π_A sizes times dearer. **Fails** by refusing with the
estimate. **Source** Lauritzen & Spiegelhalter 1988; Dechter 1999.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.exact.query import lay_out, until
from calipers.models.tempered import condition


def marginal(
    model: AbstractDiscreteModel,
    variables: int | Sequence[int],
    evidence: Mapping[int, int] | None = None,
    *,
    time_limit: float = 60.0,
    memory: float = 8e9,
) -> np.ndarray:
    """The joint distribution p(x_A | x_B = b) of some variables.

    **Arguments:** `variables` A, one number or distinct numbers; `evidence`, {variable: state} of B, beside what the
    model holds already; `time_limit`, seconds that one pass may take by estimate; `memory`, bytes.

    **Returns:** shape (domains[v] for v in A), in A's order, adding up to 1.

    **Raises:** `ValueError` when the evidence has probability zero, contradicts the model's, or A is not as said;
    `Refusal` with the estimate when elimination does not fit.
    """
    scope = (variables,) if isinstance(variables, int | np.integer) else tuple(int(v) for v in variables)
    if len(set(scope)) != len(scope) or not all(0 <= v < model.n for v in scope):
        raise ValueError(f"variables are {scope}; they must be distinct and from 0 to {model.n - 1}")
    layout = lay_out(condition(model, evidence or {}), [scope], until(time_limit, memory), copies=2.0)
    run = layout.run()
    inner = layout.inner(scope)
    table = np.ones(())
    if inner:
        run.backward()
        table = run.marginals()[layout.slots[inner]]
    free = [int(layout.place[v]) for v in scope if layout.place[v] >= 0]
    kept = [layout.reduced.states[v] for v in scope]
    whole = np.zeros([int(model.domains[v]) for v in scope])
    ordered = table.transpose([inner.index(p) for p in free]).reshape([len(k) for k in kept])
    whole[np.ix_(*kept)] = ordered / ordered.sum()
    return whole
