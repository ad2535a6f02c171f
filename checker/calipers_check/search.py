"""Theorem 12 (docs/theorems.md): prefixes over one mini-bucket tree, and parts that are summed exactly.

    mass of prefix p ≤ U Π_{v assigned} Π_{r of v} F_r(p) / m_r(p),    with equality where nothing else is split

F_r and m_r are what bucket r multiplies and sends, U the bound of the tree. A tree of prefixes stands level by level:
0 is a prefix that is bounded so, 1 branches into the kept states of the next variable, 2, on the last level, is a part
that another elimination sums. The trees assign variables with all later ones on which their buckets depend, so that the
shares of several trees multiply. Where exchanging the states of some variables changes no factor, half is enough.
"""

from collections.abc import Iterator
from itertools import chain
from operator import mul
from typing import NamedTuple

import numpy as np
from flint import arb

from calipers_check.archive import ragged
from calipers_check.decomposition import Decomposition
from calipers_check.errors import Reject
from calipers_check.model import Model
from calipers_check.tables import ONE, ZERO, log, spend, strides

STOP, BRANCH, DONE = 0, 1, 2


class Tree(NamedTuple):
    """Variables in the order of assignment, nodes level by level, variables whose exchange changes nothing."""

    variables: list[int]
    nodes: list[int]
    flips: list[int]


class Ratio(NamedTuple):
    """F_r / m_r of one bucket: flat cells, and the steps in them of earlier places of the tree; its own has step 1."""

    cells: np.ndarray
    places: list[int]
    steps: list[int]


class Search:
    """A witness of this kind; what it proves of either side."""

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        folders = {name: _folder(arrays, name) for name in ("bounds", "parts")}
        self.bounds = Decomposition(folders["bounds"], model)
        self.parts = Decomposition(folders["parts"], model) if folders["parts"] else None
        lists = [ragged(arrays, name) for name in ("variables", "nodes", "flips")]
        if len({len(column) for column in lists}) != 1:
            raise Reject("the witness's arrays describe different numbers of trees")
        self.trees = [Tree(*row) for row in zip(*lists, strict=True)]
        self.assigned = list(chain.from_iterable(tree.variables for tree in self.trees))
        self.bounds.watched = set(self.assigned)
        self.done: dict[bytes, arb] = {}  # what the buckets of a part send out is the same for both sides
        self._check()

    def _check(self) -> None:
        sizes, rank = self.bounds.restricted.sizes, self.bounds.rank
        if len(set(self.assigned)) != len(self.assigned) or not self.bounds.watched <= rank.keys():
            raise Reject("the trees assign a variable twice, or one that has no bucket")
        if any(sizes[v] > 256 for v in self.assigned):
            raise Reject("the trees assign a variable with more than 256 states")
        if self.parts is not None and self.parts.restricted.kept != self.bounds.restricted.kept:
            raise Reject("the elimination of parts keeps other states than the mini-buckets")
        flips = list(chain.from_iterable(tree.flips for tree in self.trees))
        if len(set(flips)) != len(flips):
            raise Reject("two trees exchange the states of one variable")
        for tree in self.trees:
            _check_flips(tree, self.bounds)

    def bound(self, side: str) -> arb | float:
        """Encloses the bound on log Z."""
        base = self.bounds
        if side == "upper":
            if base.kept.certainly_zero():
                return float("-inf")
        else:
            base.restricted.check_evidence()
        if base.restricted.empty:
            return float("-inf")
        whole = side == "upper" or self._exact
        mass, done = base.total(side) * base.residual(side).exp() if whole else ZERO, ZERO
        for tree in self.trees:
            share, summed = self._share(tree, side)
            mass, done = mass * share, done + summed
        return log(mass + done)

    def _share(self, tree: Tree, side: str) -> tuple[arb, arb]:
        """The share of U that the prefixes of one tree bound, and the mass of the parts that are done."""
        ratios, depth = self._ratios(tree), len(tree.variables)
        share, done = ZERO, ZERO
        for level, codes, states, values in self._levels(tree, ratios):
            if side == "upper" or level == depth:
                share += sum((values[i] for i in np.flatnonzero(codes == STOP).tolist()), ZERO)
            for i in np.flatnonzero(codes == DONE).tolist():
                done += self._part(tree, states[i], side)
        copies = 2 if tree.flips else 1
        return copies * share, copies * done

    @property
    def _exact(self) -> bool:
        """Whether no bucket is split but those of the variables that trees assign."""
        others = [b.variable for b in self.bounds.buckets if b.variable not in self.bounds.watched]
        return len(set(others)) == len(others)

    def _levels(
        self, tree: Tree, ratios: list[list[Ratio]]
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """For each level the codes of its nodes, their states so far, and their shares."""
        nodes, place, sizes = np.array(tree.nodes, np.int64), 0, self.bounds.restricted.sizes
        states, values = np.zeros((1, 0), np.uint8), np.array([ONE], object)
        for level in range(len(tree.variables) + 1):
            codes, place = nodes[place : place + len(states)], place + len(states)
            last = level == len(tree.variables)
            if len(codes) != len(states) or not np.isin(codes, (STOP, DONE if last else BRANCH)).all():
                raise Reject("a tree of prefixes breaks off, or has a node that it cannot have")
            yield level, codes, states, values
            inner = np.flatnonzero(codes == BRANCH)
            if last or not len(inner):
                break
            size = 1 if tree.flips and level == 0 else sizes[tree.variables[level]]
            spend(len(inner) * size * (2 + len(ratios[level])))
            state = np.tile(np.arange(size, dtype=np.uint8), len(inner))
            above, values = np.repeat(states[inner], size, axis=0), np.repeat(values[inner], size)
            for ratio in ratios[level]:
                at = state.astype(np.int64) + above[:, ratio.places].astype(np.int64) @ np.array(ratio.steps, np.int64)
                values = np.array(list(map(mul, values, ratio.cells[at])), object)
            states = np.concatenate([above, state[:, None]], axis=1)
        if place != len(nodes):
            raise Reject("a tree of prefixes has nodes beyond its last level")

    def _ratios(self, tree: Tree) -> list[list[Ratio]]:
        """What assigning each variable multiplies the share by, in the order of the tree."""
        _ = self.bounds.root_sent
        place, sizes = {v: i for i, v in enumerate(tree.variables)}, self.bounds.restricted.sizes
        found: list[list[Ratio]] = []
        for v in tree.variables:
            found.append([])
            for joint, message in self.bounds.seen[v]:
                if any(place.get(u, len(place)) >= place[v] for u in message.scope):
                    raise Reject(f"a bucket of variable {v} depends on a variable that is not assigned before it")
                steps = strides(joint.scope, sizes)
                sent = (m for m in message.cells for _ in range(sizes[v]))
                cells = [ZERO if m.is_zero() else f / m for f, m in zip(joint.cells, sent, strict=True)]
                where = [place[u] for u in message.scope]
                found[-1].append(Ratio(np.array(cells, object), where, [steps[u] for u in message.scope]))
        return found

    def _part(self, tree: Tree, states: np.ndarray, side: str) -> arb:
        """The mass of a part that is summed exactly."""
        if self.parts is None or len(self.trees) != 1:
            raise Reject("a part is to be summed, but there is no elimination for it, or more than one tree")
        kept = self.bounds.restricted.kept
        path = {v: kept[v][i] for v, i in zip(tree.variables, states.tolist(), strict=True)}
        key = states.tobytes()
        if key not in self.done:
            self.done[key] = self.parts.sent(path)
        value = self.parts.bound(side, path, self.done[key])
        return ZERO if isinstance(value, float) else value.exp()


def _folder(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(name + "/"): array for key, array in arrays.items() if key.startswith(name + "/")}


def _check_flips(tree: Tree, bounds: Decomposition) -> None:
    """Exchanging the two kept states of all variables in `flips` leaves every factor as it is, exactly."""
    restricted, flips = bounds.restricted, set(tree.flips)
    if not flips:
        return
    if not tree.variables or tree.variables[0] not in flips:
        raise Reject("the first variable of a tree is not among those whose states are exchanged")
    if any(not 0 <= v < len(restricted.sizes) or restricted.sizes[v] != 2 for v in flips):
        raise Reject("a variable whose states are to be exchanged has not two kept states")
    if flips & restricted.model.evidence.keys():
        raise Reject("a variable whose states are to be exchanged is observed")
    for a in {a for v in flips for a in restricted.touching.get(v, [])}:
        scope, labels, places = restricted.model.scopes[a], restricted.model.labels(a), restricted.places(a)
        spend(len(places))
        table = np.empty(len(places), object)
        table[:] = [labels[i] for i in places]
        table = table.reshape([restricted.sizes[v] for v in scope])
        turned = np.flip(table, tuple(i for i, v in enumerate(scope) if v in flips))
        if table.ravel().tolist() != turned.ravel().tolist():
            raise Reject(f"factor {a} is not the same when the states of variables are exchanged")
