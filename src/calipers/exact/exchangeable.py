"""Exchangeable variables: log Z by summing over how many of each class are in each state.

    Z = Σ_n Π_c (N_c choose n_c) · exp( Σ_c Σ_s n_cs u_c(s) + Σ_{c ≤ d} Σ_{s,t} pairs(n_cs, n_dt) θ_cd(s, t) )

Two variables are *twins* when swapping them leaves every table alone: same states and single tables, the same tables
towards everybody else, and a symmetric table between them, if any. Twinship is an equivalence; a class of N_c twins
with k states is one variable with (N_c + k − 1 choose k − 1) count vectors, and the model a smaller factor graph over
those, eliminated exactly. **Proves** log Z, both sides. **Cost** linear in the tables; then an elimination. **Fails**
by refusing tables over three variables, and models in which too few variables are alike.
**Source** Niepert & Van den Broeck, *Tractability through exchangeability* (AAAI 2014); docs/theorems.md, Theorem 19.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from calipers.core.answer import Answer, Result, exact_sides
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.elimination import Elimination, checkable
from calipers.exact.kernels import ULP
from calipers.exact.probing import sharpened
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import Reduced

_STATES = 2_000  # count vectors of one class, at most
_ALIKE = 3  # times fewer classes than variables, at least


class Exchangeable(AbstractMethod):
    """Exact log Z of pairwise models that consist of few classes of interchangeable variables.

    **Proves** both sides exactly. **Raises** `Refusal` when there are no such classes or their counts are too many.
    """

    proves: ClassVar[Proves] = Proves.EQUAL

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Finds the classes, and plans the elimination of their counts."""
        reduced = sharpened(model, limits)
        classes = twins(reduced.model) if reduced.model.n else []
        if reduced.model.n and _ALIKE * len(classes) > reduced.model.n:
            raise Refusal(f"{len(classes)} classes among {reduced.model.n} variables: too few are interchangeable")
        counts = counted(reduced.model, classes)
        inner = Elimination().plan(counts, limits)
        text = f"{reduced.model.n} variables in {len(classes)} classes of interchangeable ones. {inner.text}"
        return Plan(text, (reduced, counts, inner), inner.log2_size, inner.cells, inner.bytes, limits, inner.seconds)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One exact answer."""
        reduced, counts, inner = plan.structure
        if reduced.log_constant == -math.inf:
            sides = exact_sides(-math.inf, 0.0, repr(self), lambda: checkable(model))
            yield Answer(*sides, value=-math.inf, result=Result.EXACT, plan=plan)
            return
        answer = next(Elimination().answers(counts, inner))
        low, high = answer.lower.value, answer.upper.value
        value = 0.5 * (low + high) + reduced.log_constant if math.isfinite(high) else -math.inf
        error = 0.0 if value == -math.inf else 0.5 * (high - low) + _rounding(reduced, counts) + ULP * abs(value)
        stats = {"classes": counts.n}
        sides = exact_sides(value, error, repr(self), lambda: checkable(model))
        yield Answer(*sides, value=value, result=Result.EXACT, stats=stats, plan=plan)


def _rounding(reduced: Reduced, counts: FactorGraph) -> float:
    """Each entry of a count table is a few sums of products of its own size, and one entry a table takes part."""
    size = math.fsum(float(np.abs(t[np.isfinite(t)]).max(initial=0.0)) for t in counts.tables)
    inner = math.fsum(float(np.abs(t[np.isfinite(t)]).max(initial=0.0)) for t in reduced.model.tables)
    return reduced.error + 2.0**-46 * (size + inner + reduced.model.n * math.log(reduced.model.n + 2.0))


def twins(model: FactorGraph) -> list[np.ndarray]:
    """The classes of interchangeable variables of a pairwise model, each ascending.

    **Raises:** `Refusal` when a table is over three variables or more.
    """
    if any(t.ndim > 2 for t in model.tables):
        raise Refusal("exchangeable variables are looked for in pairwise models; a table is over three or more")
    single: list[list[bytes]] = [[] for _ in range(model.n)]
    near: list[list[tuple[int, bytes]]] = [[] for _ in range(model.n)]
    loops: list[set[bytes]] = [set() for _ in range(model.n)]
    for scope, table in zip(model.scopes, model.log_tables(), strict=True):
        if table.ndim == 1:
            single[scope[0]].append(table.tobytes())
        elif table.ndim == 2:
            (u, v), ahead, back = scope, table.tobytes(), np.ascontiguousarray(table.T).tobytes()
            near[u].append((v, ahead))
            near[v].append((u, back))
            if ahead == back:
                loops[u].add(ahead)
                loops[v].add(ahead)
    apart: dict[Any, list[int]] = {}
    joined: dict[Any, list[int]] = {}
    for v in range(model.n):
        own = (model.sizes[v], tuple(sorted(single[v])))
        apart.setdefault((own, frozenset(near[v])), []).append(v)
        for loop in loops[v]:  # as if it were tied to itself, too
            joined.setdefault((own, frozenset([*near[v], (v, loop)])), []).append(v)
    classes, left = [], np.ones(model.n, bool)
    for group in sorted([*apart.values(), *joined.values()], key=len, reverse=True):
        members = [v for v in group if left[v]]
        if members:
            classes.append(np.array(sorted(members), np.int64))
            left[members] = False
    return classes


def counted(model: FactorGraph, classes: list[np.ndarray]) -> FactorGraph:
    """The factor graph over the count vectors of the classes."""
    of = np.empty(model.n, np.int64)
    for c, members in enumerate(classes):
        of[members] = c
    vectors = [_vectors(len(members), model.sizes[members[0]]) for members in classes]
    first = {int(members[0]): c for c, members in enumerate(classes)}
    scopes: list[tuple[int, ...]] = [(c,) for c in range(len(classes))]
    tables = [_ways(n) for n in vectors]
    inside: set[int] = set()
    between: set[tuple[int, int]] = set()
    for scope, table in zip(model.scopes, model.log_tables(), strict=True):
        c, d = int(of[scope[0]]), int(of[scope[-1]])
        if table.ndim == 1 and scope[0] in first:
            tables[c] = tables[c] + _times(vectors[c], table)
        elif table.ndim == 2 and c == d and c not in inside:
            inside.add(c)
            n = vectors[c].astype(float)
            both = n[:, :, None] * n[:, None, :] - n[:, :, None] * np.eye(n.shape[1])
            tables[c] = tables[c] + _times(0.5 * both.reshape(len(n), -1), table.ravel())
        elif table.ndim == 2 and c != d and (c, d) not in between and (d, c) not in between:
            between.add((c, d))
            both = vectors[c][:, None, :, None] * vectors[d][None, :, None, :]
            flat = _times(both.reshape(-1, table.size).astype(float), table.ravel())
            scopes.append((c, d))
            tables.append(flat.reshape(len(vectors[c]), len(vectors[d])))
    return FactorGraph(tuple(len(n) for n in vectors), tuple(scopes), tuple(tables))


def _vectors(members: int, states: int) -> np.ndarray:
    """All ways to distribute so many variables over the states, shape (D, states)."""
    many = math.comb(members + states - 1, states - 1)
    if many > _STATES:
        raise Refusal(f"{members} interchangeable variables of {states} states have {many} counts; at most {_STATES}")
    bars = itertools.combinations(range(members + states - 1), states - 1)
    ends = np.array([(-1, *bar, members + states - 1) for bar in bars], np.int64)
    return np.diff(ends, axis=1) - 1


def _ways(n: np.ndarray) -> np.ndarray:
    """log of the number of assignments with these counts."""
    return gammaln(n.sum(1) + 1.0) - gammaln(n + 1.0).sum(1)


def _times(counts: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Σ counts × table entry, where nothing times −∞ is nothing."""
    hard = np.isneginf(table)
    value = counts @ np.where(hard, 0.0, table)
    return np.where((counts[:, hard] > 0).any(1), -np.inf, value)
