"""Cutset conditioning: with a few variables fixed, elimination sums out all the others within small tables.

    Z = Σ_c Z(c),      Z(c) = Σ over the other variables, by elimination along one order for every assignment c

**Proves** each Z(c) exactly, up to a stated rounding. **Cost** the joint tables of the order, a few operations an
entry, for every assignment; a kernel does many assignments in one call. **Fails** where few variables do not suffice.
**Source** Pearl, *Probabilistic Reasoning* (1988), §4.4.2; Dechter, *w-cutsets* (2003).
"""

import math
import time
from typing import NamedTuple

import numpy as np

from calipers.bounds import cutset_kernels as kernels
from calipers.exact.bucket_layout import compile_program
from calipers.exact.bucket_tree import BucketTree
from calipers.exact.graph_orders import bitset, cutset
from calipers.exact.interaction import adjacency
from calipers.exact.kernels import ULP, Program
from calipers.models.factor_graph import FactorGraph

_STEEP = 600.0  # nats that all tables together may span before products could be rounded to zero
_FLOOR = 0.05  # nats that any variable counts for, at least


class Cutset(NamedTuple):
    """Variables to assign, first ones first, and the elimination order of the others."""

    variables: np.ndarray
    order: np.ndarray
    log2_states: float  # log2 of the number of assignments
    log2_cells: float  # log2 of the table entries that one assignment costs
    log2_mattering: float  # an estimate: log2 of the number of assignments that hold the mass

    @property
    def cost(self) -> float:
        """log2 of the entries of all assignments that matter."""
        return self.log2_mattering + self.log2_cells


def choose(
    model: FactorGraph, log2_size: float, entropy: np.ndarray, tries: int = 24, seconds: float = 2.0, seed: int = 0
) -> Cutset:
    """A cutset whose removal leaves tables of at most 2^log2_size entries: the cheapest of several greedy ones.

    **Arguments:** `entropy`, an estimate for each variable, in nats: e to their sum is how many assignments matter.
    """
    until = time.monotonic() + seconds
    graph = adjacency(model.n, model.scopes, model.sizes)
    bits, random = bitset(graph.ptr, graph.nbr), np.random.default_rng(seed)
    best = None
    for attempt in range(tries):
        jitter = 1.0 + random.random(model.n) * (0.0, 0.1, 1.0)[attempt % 3 if attempt else 0]
        price = (_FLOOR + entropy) * jitter if attempt % 4 != 1 else jitter
        order, kept = cutset(bits.copy(), graph.log2_sizes, price, log2_size + 1e-9)
        found = _priced(model, order[kept:], order[:kept], entropy)
        if best is None or found.cost < best.cost:
            best = found
        if time.monotonic() > until:
            break
    assert best is not None
    return best


def _priced(model: FactorGraph, variables: np.ndarray, order: np.ndarray, entropy: np.ndarray) -> Cutset:
    tree = rest_tree(model, variables, order)
    first = variables[::-1]  # the most entangled one first
    log2_states = float(np.log2(model.domains[variables]).sum())
    mattering = float(entropy[variables].sum()) / math.log(2.0)
    return Cutset(first, order, log2_states, math.log2(max(tree.cells, 1.0)), mattering)


def rest_tree(model: FactorGraph, variables: np.ndarray, order: np.ndarray) -> BucketTree:
    """The bucket tree of the variables in `order` once `variables` are fixed; one scope a factor that is left."""
    place = np.full(model.n, -1, np.int64)
    place[order] = np.arange(len(order))
    scopes = [tuple(int(place[v]) for v in s if place[v] >= 0) for s in model.scopes]
    return BucketTree.build(model.domains[order], [s for s in scopes if s], np.arange(len(order)), keep=False)


class Conditioner:
    """Evaluates log Z(c) for assignments of a cutset, in the order of its variables.

    **Arguments:** `model`; `cutset`; after construction `error` bounds the rounding of each log mass, in nats.
    """

    def __init__(self, model: FactorGraph, cutset: Cutset):
        self.cutset, self._model = cutset, model
        self.tree = tree = rest_tree(model, cutset.variables, cutset.order)
        slices = _slices(model, cutset)
        self._program, self._arena = _conditioned(tree, slices)
        width = int(self._program.width.max(initial=1))
        self._block, self._inside = np.empty(width), np.empty(width)
        self._own = np.empty(int(self._program.states.max(initial=1)))
        self._base = np.empty(len(self._program.source), np.int64)
        self.states_log = float(np.log(model.domains[cutset.order].astype(float)).sum())
        rounds = sum(len(b.tables) + len(b.children) + int(tree.sizes[b.variable]) + 8 for b in tree.buckets)
        self.error = ULP * (rounds + slices.size + self.states_log)
        self._steep = slices.range > _STEEP
        if self._steep:  # in log space every rounding may meet the largest number
            self.error = ULP * (rounds + 8.0) * (slices.size + 8.0)

    @property
    def bytes(self) -> float:
        """Memory of the tables."""
        return 8.0 * len(self._arena)

    def log_masses(self, assignments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log Z(c) of each row of `assignments`, (m, D), and the log of what rounding to zero may have lost of Z(c)."""
        out, lost = np.empty(len(assignments)), np.empty(len(assignments))
        kernels.log_masses(
            self._program, self._arena, assignments, self.states_log, self._block, self._inside, self._own,
            self._base, out, lost,
        )  # fmt: skip
        if not self._steep:  # no product of entries is small enough to be rounded to zero
            lost[:] = -np.inf
            return out, lost
        for a in np.flatnonzero(~(lost < out - 36.0)).tolist():
            out[a], lost[a] = self._in_logs(assignments[a]), -np.inf
        return out, lost

    def _in_logs(self, row: np.ndarray) -> float:
        """log Z(c) in log space, for tables that linear arithmetic cannot hold."""
        chosen = dict(zip(self.cutset.variables.tolist(), row.tolist(), strict=True))
        tables, constant = [], 0.0
        for scope, table in zip(self._model.scopes, self._model.log_tables(), strict=True):
            cut = np.asarray(table[tuple(chosen.get(v, slice(None)) for v in scope)])
            if cut.ndim:
                tables.append(cut)
            else:
                constant += float(cut)
        return self.tree.log_partition(tables)[0] + constant


class _Slices(NamedTuple):
    """All tables, linear, the cutset's axes first; those holding other variables too come before the rest."""

    ptr: list[int]
    of: list[int]
    stride: list[int]
    cells: list[int]
    tables: list[np.ndarray]
    peaks: list[np.ndarray]
    range: float  # Σ over factors of the largest finite |log| below its slice's maximum
    size: float  # Σ over factors of the largest finite |log| below its slice's maximum, and of the largest maximum


def _slices(model: FactorGraph, cutset: Cutset) -> _Slices:
    step = {int(v): d for d, v in enumerate(cutset.variables)}
    rank = {int(v): d for d, v in enumerate(cutset.order)}
    found = _Slices([0], [], [], [], [], [], 0.0, 0.0)
    size, steep = 0.0, 0.0
    rest: list[tuple] = []
    alone: list[tuple] = []
    for scope, table in zip(model.scopes, model.log_tables(), strict=True):
        cut = [i for i, v in enumerate(scope) if v in step]
        free = [i for i, v in enumerate(scope) if v in rank]
        flat = np.transpose(table, cut + free).reshape(math.prod(table.shape[i] for i in cut), -1)
        peak = flat.max(1)
        with np.errstate(invalid="ignore"):
            lowered = np.where(np.isneginf(peak)[:, None], -np.inf, flat - peak[:, None])
        size += float(np.abs(peak[np.isfinite(peak)]).max(initial=0.0))
        depth = float(np.abs(lowered[np.isfinite(lowered)]).max(initial=0.0))
        size, steep = size + 2.0 * depth + 4.0, steep + depth
        strides = np.cumprod([1, *(table.shape[i] for i in cut[:0:-1])])[::-1].tolist() if cut else []
        (rest if free else alone).append(([step[scope[i]] for i in cut], strides, np.exp(lowered), peak))
    for of, strides, linear, peak in rest + alone:  # the tree numbers those with free variables, in this order
        found.of.extend(of)
        found.stride.extend(strides)
        found.ptr.append(len(found.of))
        found.cells.append(linear.shape[1])
        found.tables.append(linear.ravel())
        found.peaks.append(peak)
    return found._replace(size=size, range=steep)


def _conditioned(tree: BucketTree, slices: _Slices) -> tuple[kernels.Conditioned, np.ndarray]:
    """The program and its arena: tables first, then messages."""
    flat = compile_program(tree)
    integers = lambda values: np.array(values, np.int64)  # noqa: E731
    ends = np.cumsum([0, *map(len, slices.tables)])
    shift = int(ends[-1]) - tree.shifts.start  # messages move behind the unsliced tables
    arena = np.concatenate([np.zeros(0), *slices.tables, np.zeros(max(tree.arena_size - tree.shifts.start, 0))])
    sources, kinds = [], []
    for b, bucket in enumerate(tree.buckets):
        sources += list(bucket.tables) + [-1 - (tree.message_at[c] + shift) for c in bucket.children]
        kinds += [_kind(flat, b, i) for i in range(flat.item_ptr[b], flat.item_ptr[b + 1])]
    program = kernels.Conditioned(
        integers(slices.ptr), integers(slices.of), integers(slices.stride), integers(slices.cells), ends[:-1],
        integers(np.cumsum([0, *map(len, slices.peaks)]))[:-1],
        np.concatenate([np.zeros(0), *slices.peaks]),
        flat.states, flat.cells, flat.width, flat.message + shift, flat.item_ptr, integers(sources), integers(kinds),
        flat.high, flat.low, flat.offsets,
    )  # fmt: skip
    return program, arena


def _kind(flat: Program, b: int, item: int) -> int:
    """What an item tells apart: places in the block only, its own variable's states only, or all."""
    width, k = int(flat.width[b]), int(flat.states[b])
    low = flat.offsets[flat.low[item] : flat.low[item] + width]
    high = flat.offsets[flat.high[item] : flat.high[item] + int(flat.cells[b]) // width]
    if not high.any():
        return kernels.INSIDE
    return kernels.OWN if (low.reshape(-1, k) == low[:k]).all() else kernels.ALL
