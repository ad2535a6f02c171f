"""Sweeps over a mini-bucket tree: moment matching and reweighting, each a descent of the upper bound Φ.

    Φ = Σ over buckets of what they send out;   ∂Φ/∂shift: marginals,   ∂Φ/∂w: conditional entropies

A sweep goes forward, matching the marginals of the mini-buckets of each variable on what they share, then backward for
the moments of the whole. **Proves** an upper bound at every value yielded. **Source** Liu & Ihler (ICML 2011), §5.
"""

import math
from collections.abc import Iterator

import numpy as np

from calipers.bounds.masks import with_masks
from calipers.exact.bucket_tree import BucketTree, Run
from calipers.models.reduction import Reduced


def build_tree(reduced: Reduced, order: np.ndarray, ibound: int) -> BucketTree:
    """The mini-bucket tree of the reduced model at this i-bound."""
    return BucketTree.build(reduced.model.domains, list(reduced.model.scopes), order, max_cells=2.0 ** (ibound + 1))


def prepare(reduced: Reduced, order: np.ndarray, ibound: int) -> Run:
    """A run over that tree, with the masks of factors that have zeros."""
    tree, masks = with_masks(reduced.model, build_tree(reduced, order, ibound))
    return tree.run([*reduced.model.log_tables(), *masks])


def improve(run: Run, sweeps: int) -> Iterator[float]:
    """Φ after each sweep of moment matching and reweighting; a sweep that made it worse halves the damping.

    Every value yielded belongs to the shifts and weights that `run` holds at that moment.
    """
    best = run.forward()
    yield best
    if not run.tree.split or best == -math.inf:
        return
    damping, kept = 1.0, (run.shifts.copy(), run.weights.copy())
    for _ in range(sweeps):
        value = run.forward(damping)
        yield value
        if value == -math.inf:
            return
        if value < best:
            best, kept = value, (run.shifts.copy(), run.weights.copy())
        elif value > best + 0.5 * damping * max(1.0, abs(best) * 1e-3):
            damping *= 0.6
            run.shifts[:], run.weights[:] = kept
            run.forward()
        run.backward()
        run.reweight(0.3)
        damping = min(damping, 0.7)


def optimised(run: Run, sweeps: int) -> float:
    """The least Φ that `improve` finds; `run` holds the shifts, weights and messages that belong to it."""
    best, kept = math.inf, (run.shifts.copy(), run.weights.copy())
    for value in improve(run, sweeps):
        if value < best:
            best, kept = value, (run.shifts.copy(), run.weights.copy())
    if best < math.inf:
        run.shifts[:], run.weights[:] = kept
    return run.forward()
