"""What a certificate of clamping needs: the parts that are summed and the groups that are open, as a decision tree.

    lower   exact elimination of every part that is summed, one order for all, the clamped variables last
    upper   the same; mini-buckets along that order for open groups of parts, and for whatever is in neither

Parts and groups are read when the certificate is written: a bracket only narrows, so that what was claimed before still
follows. **Cost** a checker repeats every part: none is written when that would be more than 2^28 table entries, or when
the model falls into several components, whose brackets add up.
"""

from collections.abc import Callable, Iterator

import numpy as np

from calipers.bounds.cutset import Cutset
from calipers.bounds.decision_tree import decision_tree
from calipers.bounds.frontier import Frontier
from calipers.bounds.mini_bucket import snapshot
from calipers.core.witness import Split
from calipers.exact.bucket_tree import BucketTree, Run
from calipers.exact.elimination import elimination_witness
from calipers.models.reduction import Reduced

_MOST = 2.0**28  # table entries

Writer = Callable[[], Split | None]


def part_witnesses(reduced: Reduced, frontier: Frontier, cut: Cutset, run: Run) -> tuple[Writer, Writer]:
    """Functions that write the witness of the lower and of the upper side, or None when it would be too long.

    **Arguments:** `reduced`, a model of one component; `frontier` over the variables of `cut`; `run`, the mini-buckets
    whose bounds it uses.
    """
    loose = snapshot(reduced, run)

    def write(above: bool) -> Split | None:
        found, open_groups = np.concatenate(frontier.found or [np.zeros((0, 0), np.uint8)]), list(frontier.groups())
        work = len(found) * 2.0**cut.log2_cells + above * len(open_groups) * run.tree.cells
        if work > _MOST:
            return None
        leaves = [(path, 0) for row in found for path in _paths(reduced, frontier, row)]
        if above:
            leaves += [(path, 1) for row in open_groups for path in _paths(reduced, frontier, row)]
        order = np.concatenate([cut.order, cut.variables[::-1]])
        tree = BucketTree.build(reduced.model.domains, list(reduced.model.scopes), order, keep=False)
        witnesses = [elimination_witness(reduced, tree), *([loose()] if above else [])]
        return decision_tree(leaves, reduced.original.sizes, witnesses, rest=1 if above else None)

    return lambda: write(False), lambda: write(True)


def _paths(reduced: Reduced, frontier: Frontier, row: np.ndarray) -> Iterator[list[tuple[int, int]]]:
    """A prefix in the original variables and states; its mirror image too, where the search left that out."""
    numbers = [int(reduced.variables[v]) for v in frontier.variables[: len(row)]]
    for states in (row, 1 - row) if frontier.halved else (row,):
        yield [(v, int(reduced.states[v][s])) for v, s in zip(numbers, states.tolist(), strict=True)]
