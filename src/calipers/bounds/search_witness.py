"""What a certificate of a search needs: its trees of prefixes, over the mini-buckets that bound them.

    open prefixes  →  the tree, level by level: what is neither open nor dead was branched on, down to the last variable

At the end of a tree mini-buckets are exact, or another elimination sums what is left (docs/theorems.md, Theorem 12).
**Cost** linear in the tree, about a microsecond a node, when a certificate is written; a copy of the open prefixes
before. **Fails**, by leaving no witness, for trees of more than `MOST_NODES` nodes or `MOST_PARTS` parts with an
elimination of their own, where prefixes were given up for want of memory, and where a symmetry of the reduced model is
none of its original factors one by one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from calipers.bounds.cutset import Cutset, rest_tree
from calipers.bounds.frontier import Frontier, Snapshot
from calipers.core.witness import BRANCH, DONE, STOP, Branches, Bucket, Decomposition, Search
from calipers.exact.elimination import elimination_witness
from calipers.models.reduction import Reduced

MOST_NODES, MOST_PARTS = 2_000_000, 20_000


class Searched(NamedTuple):
    """A frontier, and the variables of the reduced model whose flips it was halved by (none: it was not).

    `place` are the numbers in the reduced model of the frontier's variables, if it has its own.
    """

    frontier: Frontier
    flips: np.ndarray
    place: np.ndarray | None = None


def search_witness(
    reduced: Reduced,
    searched: Sequence[Searched],
    bounds: Callable[[], Decomposition],
    parts: Callable[[], Decomposition] | None = None,
) -> Any:
    """A function that writes the witness of both sides as they stand now; None where there is none.

    **Arguments:** `bounds`, what writes the mini-buckets; `parts`, what writes the elimination of all that the one
    frontier does not assign, if it needs one.
    """
    nodes = sum(s.frontier.expanded * s.frontier.most for s in searched)
    leaves = sum(s.frontier.leaves for s in searched)
    if nodes > MOST_NODES or (parts is not None and leaves > MOST_PARTS) or any(s.frontier.gave_up for s in searched):
        return None
    found = [(s.frontier.snapshot(), s) for s in searched]
    last = STOP if parts is None else DONE

    def write() -> Search | None:
        if not all(_symmetric(reduced, s.flips) for s in searched):
            return None
        trees = [_branches(reduced, shot, s, last) for shot, s in found]
        return Search(bounds(), tuple(trees), None if parts is None else parts())

    return write


def _branches(reduced: Reduced, shot: Snapshot, searched: Searched, last: int) -> Branches:
    """One tree, in the original model's numbers."""
    mine = shot.variables if searched.place is None else searched.place[shot.variables]
    return Branches(reduced.variables[mine], _nodes(shot, last), reduced.variables[searched.flips])


def _nodes(shot: Snapshot, last: int) -> np.ndarray:
    """The codes of all nodes, level by level."""
    states, alive = np.zeros((1, 0), np.uint8), np.ones(1, bool)
    levels, depth = [], len(shot.variables)
    for level in range(depth + 1):
        waiting = shot.opened.get(level, set())
        stops = np.array([row.tobytes() in waiting for row in states], bool) if waiting else np.zeros(len(states), bool)
        codes = np.where(stops | ~alive, STOP, last if level == depth else BRANCH)
        levels.append(codes)
        inner = np.flatnonzero(codes == BRANCH)
        if level == depth or not len(inner):
            break
        size = 1 if shot.halved and level == 0 else int(shot.steps.states[level])
        above = np.repeat(states[inner], size, axis=0)
        state = np.tile(np.arange(size, dtype=np.uint8), len(inner))
        alive = shot.alive(level, above, state)
        states = np.concatenate([above, state[:, None]], axis=1)
    return np.concatenate(levels)


def _symmetric(reduced: Reduced, flips: np.ndarray) -> bool:
    """Whether flips of these variables leave every original factor as it is, on the kept states."""
    turned, original, states = set(reduced.variables[flips].tolist()), reduced.original, reduced.states
    for scope, table in zip(original.scopes, original.tables, strict=True) if turned else ():
        axes = tuple(i for i, v in enumerate(scope) if v in turned)
        if axes:
            kept = np.asarray(table)[np.ix_(*(states[v] for v in scope))]
            if not np.array_equal(kept, np.flip(kept, axes)):
                return False
    return True


def part_reduced(reduced: Reduced, variables: np.ndarray) -> Reduced:
    """The reduced model of the factors over these of its variables alone, numbered anew; no factor may cross."""
    place = {int(v): i for i, v in enumerate(variables)}
    own = [a for a, scope in enumerate(reduced.model.scopes) if scope and scope[0] in place]
    model, tables = reduced.model, reduced.model.log_tables()
    scopes = tuple(tuple(place[v] for v in model.scopes[a]) for a in own)
    sizes = tuple(model.sizes[v] for v in variables.tolist())
    part = type(model)(sizes, scopes, tuple(tables[a] for a in own))
    members = tuple(reduced.members[a] for a in own)
    return reduced._replace(model=part, variables=reduced.variables[variables], members=members)


def together(witnesses: Iterable[Decomposition]) -> Decomposition:
    """Decompositions of different variables of one model, as one."""
    found, buckets = list(witnesses), list[Bucket]()
    for one in found:
        shift = len(buckets)
        buckets += [b._replace(parent=b.parent + shift if b.parent >= 0 else -1) for b in one.buckets]
    return Decomposition(found[0].states, tuple(buckets))


def rest_witness(part: Reduced, cut: Cutset) -> Decomposition:
    """Elimination of all but the cutset; factors inside the cutset are constants once it is fixed."""
    tree, outside = rest_tree(part.model, cut.variables, cut.order), set(cut.order.tolist())
    held = [a for a, s in enumerate(part.model.scopes) if outside.intersection(s)]
    left = part._replace(variables=part.variables[cut.order], members=tuple(part.members[a] for a in held))
    return elimination_witness(left, tree)
