"""Whether the states that a witness keeps are all that matter (Theorem 4): what an upper bound rests on."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from calipers_check.errors import Reject
from calipers_check.restricted import NOWHERE, Restricted


class Kept:
    """The kept states of a witness against what propagation leaves."""

    def __init__(self, restricted: Restricted):
        self.restricted = restricted

    @cached_property
    def left(self) -> list[np.ndarray]:
        """The states that propagation leaves at the root, less those that the witness drops and shaving refutes."""
        propagation, kept = self.restricted.model.propagation, self.restricted.kept
        doubtful = [
            (v, state)
            for v in _dropped(self.restricted, propagation.root)
            for state in np.flatnonzero(propagation.root[v]).tolist()
            if state not in kept[v]
        ]
        return propagation.shaved(doubtful)

    @cached_property
    def hopeless(self) -> bool:
        """Whether no configuration is possible."""
        return self.restricted.model.propagation.contradicts(self.left)

    @cached_property
    def dropped(self) -> list[int]:
        """Variables of which the witness drops a state that may be possible."""
        return _dropped(self.restricted, self.left)

    def certainly_zero(self, path: Mapping[int, int] = NOWHERE) -> bool:
        """Whether propagation leaves nothing at `path`; refused when it leaves a state that is not kept."""
        propagation, kept = self.restricted.model.propagation, self.restricted.kept
        settled = not self.hopeless and all(v in path for v in self.dropped)
        if settled and all(state in kept[v] for v, state in path.items()):
            return False
        left = propagation.left(path, self.left)
        if propagation.contradicts(left):
            return True
        restricted = self.restricted.narrowed(path)
        for v in _dropped(restricted, left):
            state = min(set(np.flatnonzero(left[v]).tolist()) - set(restricted.kept[v]))
            raise Reject(f"the witness drops state {state} of variable {v}, which may be possible")
        return False


def _dropped(restricted: Restricted, left: list[np.ndarray]) -> list[int]:
    """Variables of which a state that is left is not kept."""
    found = []
    for v, states in enumerate(left):
        if len(restricted.kept[v]) < len(states) and states.sum() > states[restricted.kept[v]].sum():
            found.append(v)
    return found
