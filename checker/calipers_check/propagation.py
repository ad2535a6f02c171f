"""Theorem 4 (docs/theorems.md): which states evidence and zeros leave (generalised arc consistency)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from calipers_check.tables import spend, strides

if TYPE_CHECKING:
    from calipers_check.model import Model


class Propagation:
    """What is left of each domain: `root`, by the model's evidence; `left(path)`, with further states given."""

    def __init__(self, model: "Model"):
        self.model = model
        self.hard = {a: zero for a in range(len(model.scopes)) if (zero := model.zeros(a)).any()}
        self.touching: dict[int, list[int]] = {}
        for a in self.hard:
            for v in model.scopes[a]:
                self.touching.setdefault(v, []).append(a)
        self.root = [np.ones(size, bool) for size in model.sizes]
        self._observe(self.root, model.evidence)
        self._spread(self.root, set(self.hard))

    def left(self, path: Mapping[int, int], start: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """What remains of `start`, or of `root`, when each variable of `path` is in the state said there."""
        start = self.root if start is None else start
        if not path:
            return start
        spend(len(start))
        left = list(start)
        self._observe(left, path)
        self._spread(left, {a for v in path for a in self.touching.get(v, [])})
        return left

    def shaved(self, doubtful: list[tuple[int, int]]) -> list[np.ndarray]:
        """The root less those of `doubtful`, (variable, state), that are refuted by assuming them, and what follows.

        They are looked at again until no more of them fall; what one assumption refutes stays refuted.
        """
        left, again = self.root, bool(doubtful)
        while again and not self.contradicts(left):
            again = False
            for v, state in doubtful:
                if left[v][state] and self.contradicts(self.left({v: state}, left)):
                    left = list(left)
                    left[v] = left[v] & (np.arange(self.model.sizes[v]) != state)
                    self._spread(left, set(self.touching.get(v, ())))
                    again = True
        return left

    @staticmethod
    def contradicts(left: list[np.ndarray]) -> bool:
        """Whether a variable has no state left, so that no configuration is possible."""
        return any(not states.any() for states in left)

    def _observe(self, left: list[np.ndarray], states: Mapping[int, int]) -> None:
        for v, state in states.items():
            left[v] = left[v] & (np.arange(self.model.sizes[v]) == state)

    def _spread(self, left: list[np.ndarray], waiting: set[int]) -> None:
        while waiting:
            a = waiting.pop()
            spend(len(self.hard[a]))
            for v in _prune(self.model, a, self.hard[a], left):
                waiting.update(self.touching[v])


def _prune(model: "Model", a: int, zero: np.ndarray, left: list[np.ndarray]) -> list[int]:
    """Removes states without support in factor a; returns the variables that lost one."""
    scope = model.scopes[a]
    steps = strides(scope, model.sizes)
    supported = np.flatnonzero(~zero)
    states = {v: supported // steps[v] % model.sizes[v] for v in scope}
    alive = np.ones(len(supported), bool)
    for v in scope:
        alive &= left[v][states[v]]
    lost = []
    for v in scope:
        found = np.zeros(model.sizes[v], bool)
        found[states[v][alive]] = True
        if (left[v] & ~found).any():
            left[v] = left[v] & found
            lost.append(v)
    if not scope and zero.all() and left:
        left[0] = np.zeros_like(left[0])  # a constant factor 0: no configuration is possible
    return lost
