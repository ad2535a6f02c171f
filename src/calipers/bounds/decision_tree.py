"""Parts of the state space as a decision tree: what a certificate of a search or of a cutset needs.

    leaves, each a path (variable, state), (variable, state), …  →  the tree in preorder, and the witness of each leaf

Where no leaf is, a part is missing: a lower bound may do without it (docs/theorems.md, Theorem 5). **Cost** linear in
the paths. **Fails** when the leaves do not make a tree: two variables at one node, or a leaf above another.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from calipers.core.witness import LEAF, MISSING, Bethe, Decomposition, Split, Tangent

Path = Iterable[tuple[int, int]]


def decision_tree(
    leaves: Iterable[tuple[Path, int]],
    sizes: Sequence[int],
    witnesses: Sequence[Decomposition | Tangent | Bethe],
    rest: int | None = None,
) -> Split:
    """The witness made of parts.

    **Arguments:** `leaves`, pairs of a path, as pairs (variable, state) from the root down, and the place of the part's
    witness in `witnesses`; `sizes`, the number of states of each variable, in the original model, as in the paths;
    `rest`, the place of the witness of all parts that have no leaf, or None to leave them out.

    **Raises:** `ValueError` when the paths do not belong to one tree.
    """
    root: dict[Any, Any] = {}
    for path, witness in leaves:
        node = root
        for v, state in path:
            if not 0 <= state < sizes[v]:
                raise ValueError(f"a path puts variable {v} in state {state}; it has {sizes[v]}")
            node = node.setdefault(int(v), {}).setdefault(int(state), {})
        if node:
            raise ValueError("two leaves share a path, or one stands above the other")
        node[LEAF] = witness
    tree, part, waiting = [], [], [root]
    while waiting:
        node = waiting.pop()
        if len(node) > 1:
            raise ValueError(f"one node of the tree branches on variables {sorted(node)}, or is a leaf besides")
        key = next(iter(node), MISSING if rest is None else LEAF)
        tree.append(key)
        if key == LEAF:
            part.append(node.get(key, rest))
        elif key >= 0:
            waiting += [node[key].get(state, {}) for state in reversed(range(sizes[key]))]
    return Split(np.array(tree, np.int64), np.array(part, np.int64), tuple(witnesses))
