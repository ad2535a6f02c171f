"""A model on some states of each variable; the same where some variables have a given state."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np
from flint import arb

from calipers_check.errors import Reject
from calipers_check.model import Model
from calipers_check.tables import Table, index, log, outer_sum, strides

T = TypeVar("T")
NOWHERE: Mapping[int, int] = {}  # the path to the root of a decision tree


class Restricted:
    """A model on some states of each variable: variables with one kept state disappear from the scopes."""

    def __init__(self, model: Model, kept: list[list[int]]):
        if len(kept) != len(model.sizes):
            raise Reject(f"the witness keeps states of {len(kept)} variables; the model has {len(model.sizes)}")
        for v, (states, size) in enumerate(zip(kept, model.sizes, strict=True)):
            if any(a >= b for a, b in pairwise(states)):
                raise Reject(f"the witness's kept states of variable {v} are not ascending")
            if states and not (states[0] >= 0 and states[-1] < size):
                raise Reject(f"the witness keeps a state of variable {v} that the model does not have")
        self.model, self.kept = model, kept
        self.sizes = [len(states) for states in kept]
        self.empty = 0 in self.sizes
        self.whole = [1 < a == b for a, b in zip(self.sizes, model.sizes, strict=True)]

    def scope(self, a: int) -> tuple[int, ...]:
        """Variables of factor a that still have several states."""
        sizes = self.sizes
        return tuple([v for v in self.model.scopes[a] if sizes[v] > 1])

    @cached_property
    def touching(self) -> dict[int, list[int]]:
        """Factors around each variable that keeps several states."""
        found: dict[int, list[int]] = {}
        for a in range(len(self.model.scopes)):
            for v in self.scope(a):
                found.setdefault(v, []).append(a)
        return found

    def check_evidence(self) -> None:
        """For a lower bound: every kept configuration must count in the model."""
        for v, state in self.model.evidence.items():
            if self.kept[v] not in ([state], []):
                raise Reject(f"the witness keeps states of variable {v} that the evidence {v}={state} rules out")

    def narrowed(self, path: Mapping[int, int]) -> "Restricted":
        """The same where each variable of `path` has the state said there, if it is kept at all."""
        return _Narrowed(self, path) if path else self

    def factor(self, a: int) -> Table:
        """Weights of factor a on the kept states."""
        return Table(*self._kept(a, self.model.cells(a)))

    def logs(self, a: int) -> list[arb | float]:
        """Logs of the weights of factor a on the kept states, −inf for zero."""
        return self._kept(a, self.model.logs(a))[1]

    def _kept(self, a: int, cells: list[T]) -> tuple[tuple[int, ...], list[T]]:
        """What a whole table over the scope of factor a is on the kept states."""
        scope, whole = self.model.scopes[a], self.whole
        if len(scope) == sum([whole[v] for v in scope]):
            return scope, cells
        return self.scope(a), [cells[i] for i in self.places(a)]

    @cached_property
    def known(self) -> dict[int, Table]:
        """Tables that narrowed copies have asked for."""
        return {}

    def zeros(self, a: int) -> np.ndarray:
        """Which weights of factor a are zero on the kept states, flat."""
        return self.model.zeros(a)[self.places(a)]

    def constant(self, a: int) -> bool:
        """Whether all kept weights of factor a are the same, in exact arithmetic."""
        labels = self.model.labels(a)
        return len({labels[i] for i in self.places(a)}) <= 1

    def at_least(self, a: int, above: tuple[int, int], below: tuple[int, int]) -> bool:
        """Whether the product of two kept weights of factor a is at least that of two others, in exact arithmetic."""
        places = self.places(a)
        p, q, r, s = (places[i] for i in (*above, *below))
        return self.model.beta > 0 and self.model.at_least(a, (p, q), (r, s))

    def places(self, a: int) -> list[int]:
        """Where the kept weights of factor a stand in its whole table."""
        steps = strides(self.model.scopes[a], self.model.sizes)
        return outer_sum([steps[v] * np.array(self.kept[v], np.int64) for v in self.model.scopes[a]]).tolist()


class _Narrowed(Restricted):
    """A restriction of a restriction: tables are cut out of the wider one's, which remembers them."""

    def __init__(self, base: Restricted, path: Mapping[int, int]):
        self.model, self.base, self.path = base.model, base, path
        self.kept, self.sizes = list(base.kept), list(base.sizes)
        for v, state in path.items():
            self.kept[v] = [state] if state in base.kept[v] else []
            self.sizes[v] = len(self.kept[v])
        self.whole = [False] * len(self.sizes)
        self.empty = base.empty or any(not self.sizes[v] for v in path)

    def logs(self, a: int) -> list[arb | float]:
        return [log(x) for x in self.factor(a).cells]

    def factor(self, a: int) -> Table:
        table = self.base.known.get(a)
        if table is None:
            table = self.base.known[a] = self.base.factor(a)
        return Table(*cut(table.scope, table.cells, self.base, self.path))


def cut(
    scope: tuple[int, ...], cells: list[T], base: Restricted, path: Mapping[int, int]
) -> tuple[tuple[int, ...], list[T]]:
    """A table over the states that `base` keeps, less those that do not agree with `path`: its scope and cells."""
    if path.keys().isdisjoint(scope):
        return scope, cells
    steps = strides(scope, base.sizes)
    rest = tuple(v for v in scope if v not in path)
    start = sum(steps[v] * base.kept[v].index(path[v]) for v in scope if v in path)
    places = index(tuple(base.sizes[v] for v in rest), tuple(steps[v] for v in rest))
    return rest, [cells[start + i] for i in places]
