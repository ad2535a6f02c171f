"""Theorem 5 (docs/theorems.md): a decision tree over the states of variables divides the sum into parts.

    Z = Σ_k Z_k,  so log Σ_k exp(bound on log Z_k) bounds log Z on the same side

The tree stands in preorder: v ≥ 0 branches on variable v, a subtree for each of its states follows; −1 is a part, −2 a
part left out. Parts are disjoint whatever the tree is, so below any may be left out. Above, the states that each part
keeps must be all that propagation leaves, and a part may be left out only where it leaves nothing (Theorem 4).
"""

from collections.abc import Iterator

import numpy as np
from flint import arb

from calipers_check.archive import ints
from calipers_check.bethe import Bethe
from calipers_check.decomposition import Decomposition
from calipers_check.errors import Reject
from calipers_check.model import Model
from calipers_check.tables import spend
from calipers_check.tangent import Tangent

LEAF, MISSING = -1, -2


class Split:
    """A witness of this kind; what it proves of either side."""

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        self.model, self.tree, self.part = model, ints(arrays, "tree").tolist(), ints(arrays, "part").tolist()
        if self.tree.count(LEAF) != len(self.part):
            raise Reject(f"the tree has {self.tree.count(LEAF)} leaves, but {len(self.part)} parts are listed")
        folders: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            folder, _, rest = name.partition("/")
            folders.setdefault(folder, {})[rest] = array
        names = {k: folders.get(str(k)) for k in self.part}
        self.witnesses = {k: _read(k, found, model) for k, found in names.items()}
        self.sent: dict[int, arb] = {}  # what the buckets of a leaf send out is the same for both sides

    def bound(self, side: str) -> arb | float:
        """Encloses the bound on log Z."""
        found = [value for value in self._values(side) if not isinstance(value, float)]
        if not found:
            return float("-inf")
        return found[0] + sum(((value - found[0]).exp() for value in found), arb(0)).log()

    def _values(self, side: str) -> Iterator[arb | float]:
        """The bound on log Z of each part."""
        leaf = -1
        for path, missing in _walk(self.tree, self.model.sizes):
            spend(len(self.model.sizes))
            if not missing:
                leaf += 1
                yield self._leaf(leaf, side, path)
            elif side == "upper":
                propagation = self.model.propagation
                if not propagation.contradicts(propagation.left(path)):
                    raise Reject(f"the part where {_show(path)} is missing, and may be possible")

    def _leaf(self, leaf: int, side: str, path: dict[int, int]) -> arb | float:
        witness = self.witnesses[self.part[leaf]]
        if not isinstance(witness, Decomposition):
            return witness.bound(side, path)
        if leaf not in self.sent:
            self.sent[leaf] = witness.sent(path)
        return witness.bound(side, path, self.sent[leaf])


def _read(k: int, arrays: dict[str, np.ndarray] | None, model: Model) -> Decomposition | Tangent | Bethe:
    """The witness of a part, whose kind its arrays tell."""
    if arrays is None:
        raise Reject(f"a part names witness {k}, which the certificate does not hold")
    return (Bethe if "link" in arrays else Tangent if "order" in arrays else Decomposition)(arrays, model)


def _walk(tree: list[int], sizes: list[int]) -> Iterator[tuple[dict[int, int], bool]]:
    """The path to each leaf in preorder, and whether its part is missing."""
    path: dict[int, int] = {}  # the branches above the present node, from the root down
    for place, v in enumerate(tree):
        if place and not path:
            raise Reject(f"the tree ends before node {place}")
        if v in (LEAF, MISSING):
            yield dict(path), v == MISSING
            while path:  # up to the nearest branch that has another state, and on to it
                last = next(reversed(path))
                if path[last] + 1 < sizes[last]:
                    path[last] += 1
                    break
                del path[last]
        elif 0 <= v < len(sizes) and v not in path:
            path[v] = 0
        else:
            raise Reject(f"node {place} of the tree branches on {v}, which is no variable or stands above it already")
    if path or not tree:
        raise Reject("the tree breaks off before its last leaf")


def _show(path: dict[int, int]) -> str:
    return ", ".join(f"x{v} = {state}" for v, state in list(path.items())[:8]) or "everything"
