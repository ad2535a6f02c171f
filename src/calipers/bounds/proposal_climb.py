"""Mini-bucket runs to sample from: several elimination orders, fewer of them at every larger size.

An order that is good with small tables need not be with large ones, and trying many with large ones is dear: so a few
sweeps of each candidate are compared at every size, and the best half goes on. Proves nothing by itself.
"""

import math

import numpy as np

from calipers.bounds.sweeps import build_tree, optimised, prepare
from calipers.core.method import Limits, Refusal
from calipers.exact.bucket_tree import Run
from calipers.models.reduction import Reduced

_TRIAL_SWEEPS = 5
_CELL = 5e-8  # seconds a joint entry and sweep, forward and back; only plans depend on it
_MEMORY = 2.5  # times what a tree needs: two runs are compared, and one is tabulated


def best_run(
    reduced: Reduced, candidates: list[np.ndarray], ibound: int, sweeps: int, limits: Limits
) -> tuple[Run, float, list[np.ndarray]]:
    """The best run of some orders at one size.

    **Returns:** the run, at its best shifts and weights; its bound in nats; the orders that were tried, best first.

    **Raises:** `Refusal` when memory would not do.
    """
    found: list[tuple[float, int]] = []
    best: Run | None = None
    for place, order in enumerate(candidates):
        tree = build_tree(reduced, order, ibound)
        if tree.bytes > limits.memory:
            raise Refusal(f"tables of 2^{ibound + 1} entries need {tree.bytes / 1e9:.2g} GB; that is not allowed")
        run = prepare(reduced, order, ibound)
        found.append((optimised(run, min(_TRIAL_SWEEPS, sweeps) if len(candidates) > 1 else 0), place))
        if best is None or found[-1] == min(found):
            best = run
        if not tree.split:
            break
    assert best is not None
    return best, optimised(best, sweeps), [candidates[place] for _, place in sorted(found)]


def cost_of_best_run(reduced: Reduced, candidates: list[np.ndarray], ibound: int, sweeps: int, limits: Limits) -> float:
    """Predicted seconds of `best_run`; infinite where memory would not do."""
    tree = build_tree(reduced, candidates[0], ibound)
    visits = sweeps + 2 + (_TRIAL_SWEEPS + 2) * (len(candidates) - 1)
    return tree.cells * _CELL * visits if _MEMORY * tree.bytes < limits.memory else math.inf
