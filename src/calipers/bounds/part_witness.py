"""What a certificate of a clamped model needs: a decision tree whose leaves are parts, done or open.

Done parts share one witness, elimination of what the cutset leaves; open groups share another, the mini-buckets, read
on the states that their prefix leaves (docs/theorems.md, Theorems 5 and 9). The lower side needs the done parts alone.
Models with zeros leave no witness of the upper side: prefixes that a message of zeros cut off are not kept. Witnesses
are written only when a checker could follow them: at most `MOST` leaves.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from calipers.bounds.cutset import Conditioner, rest_tree
from calipers.bounds.decision_tree import Path, decision_tree
from calipers.bounds.frontier import Frontier
from calipers.bounds.mini_bucket import snapshot
from calipers.core.witness import Bucket, Decomposition
from calipers.exact.bucket_tree import Run
from calipers.exact.feasible import has_zeros
from calipers.models.reduction import Reduced

MOST = 20_000  # leaves of a certificate


class DoneParts:
    """Evaluates parts, and remembers which ones were done, in order."""

    def __init__(self, conditioner: Conditioner):
        self.conditioner, self.count = conditioner, 0
        self._done: list[np.ndarray] = []

    def log_masses(self, assignments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What `Conditioner.log_masses` gives."""
        masses, lost = self.conditioner.log_masses(assignments)
        if self.count <= MOST:
            self._done += [row.copy() for row, mass in zip(assignments, masses, strict=True) if mass > -np.inf]
        self.count += len(assignments)
        return masses, lost

    def rows(self) -> list[np.ndarray]:
        """The assignments of positive mass so far."""
        return list(self._done)


def part_witnesses(reduced: Reduced, run: Run, frontier: Frontier, done: DoneParts, halved: bool) -> tuple[Any, Any]:
    """Functions that write the witnesses of the lower and the upper side as they stand now; None where there is none.

    **Arguments:** `reduced`, a model of one component; `run`, the mini-buckets; `halved`, whether every part stands for
    its mirror image too.
    """
    if done.count + frontier.open > MOST:
        return None, None
    rows, prefixes = done.rows(), frontier.open_prefixes()
    loose = snapshot(reduced, run)

    def write(with_open: bool) -> Any:
        chosen = [(row, 0) for row in rows] + ([(row, 1) for row in prefixes] if with_open else [])
        if halved:
            chosen += [(1 - row, place) for row, place in chosen]
        leaves = [(_path(reduced, done.conditioner.cutset.variables, row), place) for row, place in chosen]
        return decision_tree(leaves, reduced.original.sizes, [_rest(reduced, done.conditioner), loose()])

    lower = (lambda: write(False)) if rows else None
    complete = frontier.lost < -600.0 and not has_zeros(reduced.model)
    complete = complete and not (halved and prefixes)  # mirror images of open groups need not weigh the same
    return lower, (lambda: write(True)) if complete else None


def _path(reduced: Reduced, variables: np.ndarray, row: np.ndarray) -> Path:
    """The branches that a row of states of the first cutset variables takes, in the original model's numbers."""
    for i, x in zip(variables[: len(row)].tolist(), row.tolist(), strict=True):
        v = int(reduced.variables[i])
        yield v, int(reduced.states[v][x])


def _rest(reduced: Reduced, conditioner: Conditioner) -> Decomposition:
    """Elimination of all but the cutset; factors inside the cutset are constants once it is fixed."""
    return Decomposition(reduced.states, tuple(_buckets(reduced, conditioner)))


def _buckets(reduced: Reduced, conditioner: Conditioner) -> Iterator[Bucket]:
    cut = conditioner.cutset
    tree, outside = rest_tree(reduced.model, cut.variables, cut.order), set(cut.order.tolist())
    held = [a for a, s in enumerate(reduced.model.scopes) if outside.intersection(s)]
    for place, bucket in enumerate(tree.buckets):
        factors = tuple(f for a in bucket.tables for f in reduced.members[held[a]])
        variable = int(reduced.variables[cut.order[bucket.variable]])
        yield Bucket(variable, 1.0, factors, (), int(tree.parents[place]))
