"""Shaving (Theorem 4): a state is impossible when assuming it makes propagation empty some domain.

Only the states that a witness dropped, and that plain propagation keeps, are looked at, again and again until no more
of them fall. The order does not matter: what one assumption refutes stays refuted when domains shrink.
"""

import numpy as np

from calipers_check.model import Model, prune


def shave(model: Model, left: list[np.ndarray], doubtful: list[tuple[int, int]]) -> list[np.ndarray]:
    """The states `left` less those of `doubtful` (variable, state) that are refuted, and less what then follows."""
    hard = {a: zero for a in range(len(model.scopes)) if (zero := model.zeros(a)).any()}
    touching: dict[int, list[int]] = {}
    for a in hard:
        for v in model.scopes[a]:
            touching.setdefault(v, []).append(a)
    again = True
    while again:
        again = False
        for v, state in doubtful:
            if not left[v][state]:
                continue
            trial = list(left)
            trial[v] = np.arange(model.sizes[v]) == state
            if not _consistent(model, hard, touching, trial, v):
                left[v] = left[v] & (np.arange(model.sizes[v]) != state)
                again = True
                if not _consistent(model, hard, touching, left, v):
                    return [np.zeros(size, bool) for size in model.sizes]
    return left


def _consistent(
    model: Model, hard: dict[int, np.ndarray], touching: dict[int, list[int]], left: list[np.ndarray], v: int
) -> bool:
    """Propagates a change of variable v through `left`, in place; False as soon as a domain is empty."""
    waiting = set(touching.get(v, ()))
    while waiting:
        a = waiting.pop()
        for u in prune(model, a, hard[a], left):
            if not left[u].any():
                return False
            waiting.update(touching[u])
    return bool(left[v].any())
