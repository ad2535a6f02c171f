"""A trial that is independent between blocks of variables, and the GBF bound that it gives.

    log Z ≥ log Z_Q(η) + ⟨θ − η⟩_Q = Σ_b H(Q_b) + ⟨θ⟩_Q,      Q(x) = Π_b Q_b(x_b),

Q_b ∝ exp(the model's factors inside block b + extra tables η_b). The extra tables live on the parts that crossing
factors cut out of the block; the stationary ones are the crossing factors averaged over the other blocks, so a sweep
over the blocks is coordinate ascent. The bound is evaluated as a tangent at whatever η holds: it needs no convergence.
**Source** Bogoliubov; Feynman 1972; Saul & Jordan, *Exploiting tractable substructures* (1996). docs/theorems.md.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from calipers.core.witness import Block, Tangent
from calipers.exact.bucket_tree import BucketTree, Run
from calipers.exact.kernels import ULP
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import Reduced


class _Crossing(NamedTuple):
    """Crossing factors of one shape, cut into the same number of parts: `tables` (f, K_1, …, K_p), flattened by part.

    `places[p]` are the places, shape (f, K_p), of each factor's p-th part in the flat vector of all extra tables.
    """

    tables: np.ndarray
    places: tuple[np.ndarray, ...]

    @property
    def size(self) -> float:
        """The sum over factors of the largest |log entry|, once for each part."""
        return float(np.abs(self.tables).reshape(len(self.tables), -1).max(1).sum()) * len(self.places)

    def mean_field(self, part: int, moments: np.ndarray) -> np.ndarray:
        """Each factor averaged over its other parts, shape (f, K_part)."""
        table, axes = self.tables, list(range(1, self.tables.ndim))
        operands: list[Any] = [table, [0, *axes]]
        for p, place in enumerate(self.places):
            if p != part:
                operands += [moments[place], [0, p + 1]]
        return np.einsum(*operands, [0, part + 1])

    def mean(self, moments: np.ndarray) -> float:
        """The sum of all factors averaged over all their parts."""
        return float(np.vdot(self.mean_field(0, moments), moments[self.places[0]]))


class Trial:
    """The product of block models; `bound()` is true after any number of `sweep()`s.

    **Arguments:** `reduced`, a model in which no factor with zeros crosses blocks; `blocks`, arrays of its variables,
    disjoint and covering; `orders`, each block's variables in an elimination order.
    """

    def __init__(self, reduced: Reduced, orders: Sequence[np.ndarray]):
        self.reduced, model = reduced, reduced.model
        self.orders = [order.tolist() for order in orders]
        self.blocks = blocks = [np.sort(order) for order in orders]
        self.home = home = np.empty(model.n, np.int64)
        for b, block in enumerate(blocks):
            home[block] = b
        tables = model.log_tables()
        inside: list[list[int]] = [[] for _ in blocks]
        scopes: list[dict[tuple[int, ...], int]] = [{} for _ in blocks]
        cut: list[tuple[np.ndarray, list[tuple[int, int]]]] = []  # (flattened table, its parts as (block, extra table))
        for a, scope in enumerate(model.scopes):
            homes = sorted(set(home[list(scope)].tolist()))
            if len(homes) == 1:
                inside[homes[0]].append(a)
            else:
                cut.append(_cut(tables[a], scope, home, homes, scopes))
        for b, block in enumerate(blocks):  # a table for every variable, so that its marginal is a moment too
            for v in block.tolist():
                scopes[b].setdefault((v,), len(scopes[b]))
        self.extra_scopes = [list(s) for s in scopes]
        self.runs = [
            _run(model, block, order, group, extra)
            for block, order, group, extra in zip(blocks, self.orders, inside, self.extra_scopes, strict=True)
        ]
        lengths = [[math.prod(model.sizes[v] for v in s) for s in group] for group in self.extra_scopes]
        self._at = [np.concatenate([[0], np.cumsum(k)]).astype(np.int64) for k in lengths]
        self._start = np.concatenate([[0], np.cumsum([at[-1] for at in self._at])]).astype(np.int64)
        self._moments = np.concatenate([np.zeros(0), *(np.full(k, 1.0 / k) for group in lengths for k in group)])
        self.crossing = _grouped(cut, self._start, self._at)
        self.entropy = np.zeros(len(blocks))  # H(Q_b) + the mean of the inside factors
        self.error = np.zeros(len(blocks))
        self.cells = sum(run.tree.cells for run in self.runs)
        self.bytes = sum(run.tree.bytes for run in self.runs)

    def start(self, marginals: list[np.ndarray]) -> None:
        """Begins from independent variables with these marginals."""
        for b, scopes in enumerate(self.extra_scopes):
            for e, scope in enumerate(scopes):
                table = np.ones(())
                for v in scope:
                    table = np.multiply.outer(table, marginals[v])
                self._moments[self._start[b] + self._at[b][e] :][: table.size] = table.ravel()

    def marginals(self) -> list[np.ndarray]:
        """Marginals of the reduced model's variables under the trial."""
        found = {}
        for b, scopes in enumerate(self.extra_scopes):
            moments = self._moments[self._start[b] : self._start[b + 1]]
            found.update({s: moments[i:j] for s, (i, j) in zip(scopes, pairwise(self._at[b]), strict=True)})
        return [found[(v,)] for v in range(self.reduced.model.n)]

    def sweep(self) -> None:
        """Updates every block once, given the others."""
        for b in range(len(self.blocks)):
            first, last = self._start[b], self._start[b + 1]
            extra = np.zeros(len(self._moments))
            for crossing in self.crossing:
                for p, place in enumerate(crossing.places):
                    mine = (place[:, 0] >= first) & (place[:, 0] < last)
                    if mine.any():
                        group = _Crossing(crossing.tables[mine], tuple(q[mine] for q in crossing.places))
                        np.add.at(extra, place[mine], group.mean_field(p, self._moments))
            self.update(b, extra[first:last])

    def update(self, b: int, extra: np.ndarray) -> None:
        """Gives block b these extra tables, flat, and evaluates it."""
        run = self.runs[b]
        segment = slice(run.tree.shifts.start - len(extra), run.tree.shifts.start)
        run.arena[segment] = extra
        value = run.forward()
        run.backward()
        moments = run.dual[segment]
        self._moments[self._start[b] : self._start[b + 1]] = moments
        self.entropy[b] = value - float(np.vdot(extra, moments))
        # moments carry the run's rounding as a relative error, and each meets its table once
        size = float(np.abs(extra) @ moments)
        self.error[b] = run.error * (1.0 + 2.0 * size) + ULP * (8.0 * size + abs(value) + 4.0 * len(extra))

    def bound(self) -> tuple[float, float]:
        """The lower bound on the reduced model's log Z, and a rounding estimate, in nats."""
        means = [c.mean(self._moments) for c in self.crossing]
        value = math.fsum([*self.entropy, *means])
        size = sum(c.size for c in self.crossing)
        return value, float(self.error.sum()) + 2.0 * float(self.error.max(initial=0.0)) * size + ULP * (
            16.0 * size + abs(value)
        )

    def snapshot(self) -> Any:
        """A function that writes the witness of the trial as it stands now."""
        ends = [run.tree.shifts.start for run in self.runs]
        extra = [r.arena[end - at[-1] : end].copy() for r, at, end in zip(self.runs, self._at, ends, strict=True)]
        return lambda: self._witness(extra)

    def _witness(self, extra: list[np.ndarray]) -> Tangent:
        name, sizes = self.reduced.variables.tolist(), self.reduced.model.sizes
        tables: list[dict[tuple[int, ...], np.ndarray]] = [{} for _ in self.blocks]
        for b, scopes in enumerate(self.extra_scopes):
            for scope, (i, j) in zip(scopes, pairwise(self._at[b]), strict=True):
                tables[b][tuple(name[v] for v in scope)] = extra[b][i:j].reshape([sizes[v] for v in scope]).copy()
        for b, scope, table in self._swallowed():
            tables[b][scope] = tables[b].get(scope, 0.0) - table
        return Tangent(
            self.reduced.states,
            tuple(
                Block(tuple(name[v] for v in order), tuple((s, t) for s, t in own.items() if t.any()))
                for order, own in zip(self.orders, tables, strict=True)
            ),
        )

    def _swallowed(self) -> Iterator[tuple[int, tuple[int, ...], np.ndarray]]:
        """The original factors inside one block that reduction has multiplied into a crossing factor.

        A witness counts them as the trial's own, so they must not be in its extra tables as well.
        """
        original, states = self.reduced.original, self.reduced.states
        logs, home = original.log_tables(), dict(zip(self.reduced.variables.tolist(), self.home.tolist(), strict=True))
        for a, scope in enumerate(self.reduced.model.scopes):
            if len(set(self.home[list(scope)].tolist())) == 1:
                continue
            for f in self.reduced.members[a]:
                free = tuple(v for v in original.scopes[f] if v in home)
                if len({home[v] for v in free}) == 1:
                    kept = logs[f][np.ix_(*(states[v] for v in original.scopes[f]))]
                    yield home[free[0]], free, kept.reshape([len(states[v]) for v in free])


def _cut(
    table: np.ndarray, scope: tuple[int, ...], home: np.ndarray, homes: list[int], scopes: list[dict]
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Cuts a factor into its parts, one axis each, entering each part's scope among its block's extra tables."""
    axes = [[i for i, v in enumerate(scope) if home[v] == b] for b in homes]
    table = np.transpose(table, [i for part in axes for i in part])
    shape, at = [], 0
    for part in axes:
        shape.append(math.prod(table.shape[at : at + len(part)]))
        at += len(part)
    parts = [tuple(scope[i] for i in part) for part in axes]
    places = [(b, scopes[b].setdefault(part, len(scopes[b]))) for b, part in zip(homes, parts, strict=True)]
    return table.reshape(shape), places


def _grouped(
    cut: list[tuple[np.ndarray, list[tuple[int, int]]]], start: np.ndarray, at: list[np.ndarray]
) -> list[_Crossing]:
    """Crossing factors of equal shape, stacked."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for f, (table, _) in enumerate(cut):
        shapes.setdefault(table.shape, []).append(f)
    groups = []
    for shape, members in shapes.items():
        places = []
        for p, size in enumerate(shape):
            first = [int(start[b] + at[b][e]) for b, e in (cut[f][1][p] for f in members)]
            places.append(np.array(first)[:, None] + np.arange(size))
        groups.append(_Crossing(np.stack([cut[f][0] for f in members]), tuple(places)))
    return groups


def _run(
    model: FactorGraph, block: np.ndarray, order: list[int], inside: list[int], extra: list[tuple[int, ...]]
) -> Run:
    """The exact bucket tree of one block, in local numbers, at extra tables zero."""
    local = {int(v): i for i, v in enumerate(block)}
    scopes = [tuple(local[v] for v in s) for s in [*(model.scopes[a] for a in inside), *extra]]
    tables = [model.tables[a] for a in inside] + [np.zeros([model.sizes[v] for v in s]) for s in extra]
    places = np.array([local[v] for v in order], np.int64)
    return BucketTree.build(model.domains[block], scopes, places).run(tables)
