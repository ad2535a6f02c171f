"""The bucket tree: the structure behind elimination, weighted mini-buckets and the blocks of a tangent.

    Φ_w(θ) = successive power sums over the variables in one elimination order, tables θ, weights w.

With whole buckets and weights 1 it is log Z exactly (Dechter 1999); with buckets split so that no joint table exceeds
`max_cells`, and Σ w = 1 over the mini-buckets of each variable, Hölder's inequality makes it an upper bound (Liu &
Ihler 2011). One forward pass gives Φ, one backward pass every moment ∂Φ/∂θ and conditional entropy ∂Φ/∂w. Cost: the
number of joint entries, times the items in a bucket. Memory: the messages (twice with moments). docs/theorems.md has
the proofs.
"""

import functools
import math
from itertools import chain

import numpy as np

from calipers.exact import kernels
from calipers.exact.bucket_layout import (
    Layout,
    MiniBucket,
    chunks,
    common,
    compile_program,
    harvest,
    lay_out_groups,
    lay_out_whole,
)
from calipers.exact.kernels import ULP, Program

SECONDS_PER_LOG_CELL = 2e-8  # measured on one 2026 core, items and exponentials included; only plans depend on it


class BucketTree:
    """An elimination order turned into a program.

    Build it with `BucketTree.build`; `log2_size`, `cells` and `bytes` are known before any table is touched.
    """

    def __init__(
        self, sizes: np.ndarray, scopes: list[tuple[int, ...]], layout: Layout, keep: bool, max_cells: float = math.inf
    ):
        self.sizes, self.scopes, self.keep, self.max_cells = sizes, scopes, keep, max_cells
        self.layout = layout
        self.parents, self.joint_cells = layout.parents, layout.joint_cells
        self.table_at, self.message_at, self.arena_size = layout.table_at, layout.message_at, layout.arena_size
        self.log2_size = math.log2(self.joint_cells.max()) if len(self.joint_cells) else 0.0
        self.cells = float(self.joint_cells.sum())
        self.bytes = 8.0 * self.arena_size * (2 if keep else 1)
        self._program: Program | None = None

    @classmethod
    def of_groups(
        cls, sizes: np.ndarray, scopes: list[tuple[int, ...]], groups: list[list[MiniBucket]], keep: bool, most: float
    ) -> "BucketTree":
        """The tree of given mini-buckets, those of one variable together, of at most `most` joint entries."""
        return cls(sizes, scopes, lay_out_groups(sizes, scopes, groups, keep), keep, most)

    @classmethod
    def build(
        cls,
        sizes: np.ndarray,
        scopes: list[tuple[int, ...]],
        order: np.ndarray,
        max_cells: float | None = None,
        keep: bool = True,
    ) -> "BucketTree":
        """Assigns tables to buckets along `order` (every variable once), splitting buckets above `max_cells` entries.

        **Arguments:** `sizes` (n,); `scopes`, non-empty tuples of variables; `max_cells`, None for whole buckets;
        `keep`, keep all messages (needed for moments and matching), else reuse their memory.
        """
        sizes, order, scopes = np.asarray(sizes, np.int64), np.asarray(order, np.int64), list(scopes)
        if max_cells is None:
            return cls(sizes, scopes, lay_out_whole(sizes, scopes, order, keep), keep)
        return cls.of_groups(sizes, scopes, _split(sizes, scopes, order, max_cells), keep, max_cells)

    @functools.cached_property
    def buckets(self) -> list[MiniBucket]:
        """All mini-buckets, in elimination order."""
        pieces, groups = self.layout.pieces, self.layout.groups
        return list(chain(*groups or ())) if pieces is None else harvest(pieces)

    @functools.cached_property
    def groups(self) -> list[list[MiniBucket]]:
        """The mini-buckets of each variable."""
        return [[b] for b in self.buckets] if self.layout.groups is None else self.layout.groups

    @functools.cached_property
    def common(self) -> list[tuple[int, ...]]:
        """For each variable that is split, what its mini-buckets share."""
        return [common(g) if len(g) > 1 else () for g in self.groups]

    @functools.cached_property
    def shift_size(self) -> list[int]:
        """Entries of each variable's shift tables, 0 if it is not split."""
        return [math.prod(int(self.sizes[v]) for v in c) if c else 0 for c in self.common]

    @property
    def split(self) -> bool:
        """Whether any variable has several mini-buckets."""
        return self.layout.groups is not None and any(len(g) > 1 for g in self.layout.groups)

    @property
    def shifts(self) -> slice:
        """Where the shift tables lie."""
        return self.layout.shifts

    @functools.cached_property
    def rounds(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        """How many roundings each table, message and shift meets, items in its bucket + 7 each; and each power sum."""
        tables, messages, shifts = np.zeros(len(self.scopes)), np.zeros(len(self.buckets)), 0.0
        for bucket in self.buckets:
            rounds = len(bucket.tables) + len(bucket.children) + 7
            tables[list(bucket.tables)] = rounds
            messages[list(bucket.children)] = rounds
            shifts += rounds
        return tables, messages, shifts, float(sum(int(self.sizes[b.variable]) + 8 for b in self.buckets))

    @property
    def program(self) -> Program:
        """The flat program, compiled from the structure on first use."""
        if self._program is None:
            self._program = compile_program(self)
        return self._program

    def weights(self) -> np.ndarray:
        """Equal weights within each variable's mini-buckets, shape (B,)."""
        return np.repeat([1.0 / len(g) for g in self.groups], [len(g) for g in self.groups])

    def run(self, tables: list[np.ndarray]) -> "Run":
        """A fresh run over these log tables; tables[a] has the shape of scopes[a]."""
        return Run(self, tables)

    def log_partition(self, tables: list[np.ndarray]) -> tuple[float, float]:
        """Φ at equal weights and its rounding estimate, in nats; for whole buckets log Z itself, in log space."""
        run = self.run(tables)
        return run.forward(), run.error

    def moments(self, tables: list[np.ndarray]) -> tuple[float, float, list[np.ndarray]]:
        """Φ, its rounding estimate, and ∂Φ/∂tables[a]: for whole buckets the marginal of scopes[a], in its shape."""
        run = self.run(tables)
        value = run.forward()
        if value == -math.inf:
            return value, 0.0, [np.zeros_like(t) for t in tables]
        run.backward()
        return value, run.error, run.marginals()


class Run:
    """The arrays of one evaluation of Φ: arena, dual, weights; shifts start at zero."""

    def __init__(self, tree: BucketTree, tables: list[np.ndarray]):
        self.tree = tree
        self.program = tree.program
        self.arena = np.zeros(tree.arena_size)
        if tables:
            self.arena[: tree.shifts.start] = np.concatenate([t.ravel() for t in tables])
        count = len(tree.buckets)
        self.weights = tree.weights()
        self.shed, self.size, self.entropy = np.zeros(count), np.zeros(count), np.zeros(count)
        self.dual = np.zeros(tree.arena_size if tree.keep else 1)
        self.informed = False
        widest = int(self.program.width.max()) if count else 1
        self._block = np.empty(widest)
        spans = [s * len(g) for s, g in zip(tree.shift_size, tree.groups, strict=True)]
        self._scratch = np.empty(max(spans, default=0))
        self._chunks = chunks(tree)
        self.error = 0.0

    @property
    def shifts(self) -> np.ndarray:
        """The cost-shifting tables, flat: a view."""
        return self.arena[self.tree.shifts]

    def forward(self, damping: float = 0.0) -> float:
        """Φ at the present shifts and weights; with `damping` > 0 the shifts are first moved by moment matching."""
        for first, last in self._chunks:
            kernels.forward(
                self.program, self.arena, self.weights, first, last, self.shed, self.size, self.dual, self.informed,
                damping, self._block, self._scratch,
            )  # fmt: skip
        value = math.fsum(self.shed) if np.isfinite(self.shed).all() else -math.inf
        self.error = self._rounding(value)
        return value

    def backward(self) -> None:
        """Moments and entropies of the last forward pass, into `dual` and `entropy`."""
        self.informed = False
        self.dual[:] = 0.0
        self.dual[self.program.message[self.tree.parents < 0]] = 1.0
        for first, last in reversed(self._chunks):
            kernels.backward(
                self.program, self.arena, self.weights, first, last, self.shed, self.dual, self.entropy, self._block
            )
        self.informed = True

    def reweight(self, rate: float) -> None:
        """One step on the weights, after `backward`."""
        kernels.reweight(self.program.group_ptr, self.weights, self.entropy, rate)

    def marginals(self) -> list[np.ndarray]:
        """∂Φ/∂table for every table, after `backward`."""
        shapes = [tuple(int(self.tree.sizes[v]) for v in s) for s in self.tree.scopes]
        return [
            self.dual[at : at + math.prod(shape)].reshape(shape).copy()
            for at, shape in zip(self.tree.table_at, shapes, strict=True)
        ]

    def tables(self, first: int) -> list[np.ndarray]:
        """Copies of the log tables from number `first` on."""
        shapes = [tuple(int(self.tree.sizes[v]) for v in s) for s in self.tree.scopes[first:]]
        places = zip(self.tree.table_at[first:], shapes, strict=True)
        return [self.arena[at : at + math.prod(shape)].reshape(shape).copy() for at, shape in places]

    def _rounding(self, value: float) -> float:
        """Rounding estimate of Φ: ulp × what `BucketTree.rounds` counts × the size of each item."""
        tables, messages, shifts, own = self.tree.rounds
        total = float(tables @ self._table_sizes()) + float(messages @ self.size)
        total += shifts * float(np.abs(self.shifts).max(initial=0.0)) + own
        total += float(np.abs(self.shed).sum()) + abs(value)
        return ULP * total if math.isfinite(total) else 0.0

    def _table_sizes(self) -> np.ndarray:
        """The largest finite |log entry| of each table, shape (f,)."""
        tables = np.abs(self.arena[: self.tree.shifts.start])
        tables[tables == math.inf] = 0.0
        return np.maximum.reduceat(tables, self.tree.table_at) if len(tables) else tables


def _split(
    sizes: np.ndarray, scopes: list[tuple[int, ...]], order: np.ndarray, max_cells: float
) -> list[list[MiniBucket]]:
    """Mini-buckets of at most `max_cells` joint entries along an order."""
    position = np.empty(len(sizes), np.int64)
    position[order] = np.arange(len(sizes))
    rank = position.tolist()
    waiting: list[list[tuple[frozenset[int], int, bool]]] = [[] for _ in range(len(sizes))]
    for a, scope in enumerate(scopes):
        waiting[min(scope, key=rank.__getitem__)].append((frozenset(scope), a, True))
    log2, limit = np.log2(sizes.astype(float)).tolist(), math.log2(max_cells) + 1e-9
    groups: list[list[MiniBucket]] = []
    count = 0
    for v in order.tolist():
        group = []
        for scope_set, items in _partition(waiting[v], v, log2, limit):
            rest = tuple(sorted(scope_set - {v}, key=rank.__getitem__, reverse=True))
            tables = tuple(a for _, a, own in items if own)
            group.append(MiniBucket(v, rest, tables, tuple(a for _, a, own in items if not own)))
            if rest:
                waiting[rest[-1]].append((frozenset(rest), count, False))
            count += 1
        waiting[v] = []
        groups.append(group)
    return groups


def _partition(
    items: list[tuple[frozenset[int], int, bool]], v: int, log2: list[float], limit: float
) -> list[tuple[frozenset[int], list[tuple[frozenset[int], int, bool]]]]:
    """Splits the items of a bucket into parts of at most 2**limit joint entries, largest first, least growth."""
    if not items:
        return [(frozenset((v,)), [])]
    union = frozenset().union(*(s for s, _, _ in items))
    if sum(log2[u] for u in union) <= limit:
        return [(union, items)]
    parts: list[tuple[set[int], float, list[tuple[frozenset[int], int, bool]]]] = []
    for item in sorted(items, key=lambda it: -sum(log2[u] for u in it[0])):
        best, growth = -1, math.inf
        for p, (scope, size, _) in enumerate(parts):
            more = sum(log2[u] for u in item[0] - scope)
            if more < growth and (more == 0.0 or size + more <= limit):
                best, growth = p, more
        if best < 0:
            parts.append((set(item[0]), sum(log2[u] for u in item[0]), [item]))
        else:
            scope, size, held = parts[best]
            parts[best] = (scope | item[0], size + growth, [*held, item])
    return [(frozenset(scope), held) for scope, _, held in parts]
