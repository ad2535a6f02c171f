"""Elimination on numbers instead of logs: whole buckets, weights 1, no exponential or logarithm per joint entry.

    λ_v(rest) = Σ_{x_v} Π items,     log Z = Σ log λ_root + ln 2 · (exponents taken off) + (tops taken off)

**Proves** log Z up to `error`. All terms are positive, so relative errors do not grow in a sum, and those of factors
add up: with u = 2⁻⁵³, an entry of a bucket's message carries at most Σ (errors of its items) + (items + states) u, and
the whole answer the sum over buckets, once each (docs/theorems.md, E1). **Range** a bucket whose message is at least
1e-200 wherever it is not zero, or whose products cannot fall below, has lost nothing to underflow; every other bucket
is done in log space. Zeros stay zeros. **Cost** about a nanosecond per joint entry and core for binary variables, 20 in
log space. Large buckets are shared out to threads; between two pieces control returns to Python.
"""

import math
import mmap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numba.core import config

from calipers.exact.bucket_tree import BucketTree
from calipers.exact.kernels import ULP
from calipers.exact.product_kernels import sum_blocks
from calipers.exact.product_logs import items_to_logs, log_blocks, settle_logs
from calipers.exact.product_reverse import reverse_blocks
from calipers.exact.product_state import DONE, WIDE, ZERO, State, begin, load_all, reverse_scale, settle
from calipers.exact.wiring import block_size

_SHARED = 1 << 19  # joint entries of a bucket that is worth several threads
_PIECE = 1 << 22  # joint entries between two looks at the clock
_LARGE = 1 << 22  # bytes from which numpy asks for huge pages
_BATCH = 1 << 23  # joint entries of the small buckets that are done in one go


class ProductRun:
    """One elimination of whole buckets: `forward` gives log Z, `error` its rounding.

    **Arguments:** `tree`, whole buckets, best with `keep=False`; `tables`, logs in the shapes of the tree's scopes.
    """

    def __init__(self, tree: BucketTree, tables: list[np.ndarray]):
        self.tree, self.tables = tree, tables
        if tree.layout.pieces is None or tree.layout.scopes is None:
            raise ValueError("products need whole buckets: build the tree without max_cells")
        self.pieces, self.raw_scope = tree.layout.pieces, tree.layout.scopes
        self.raw = np.concatenate([np.zeros(0), *(np.asarray(t, float).ravel() for t in tables)])
        self.raw_at = self.pieces.at[: self.pieces.first]
        buckets = len(tree.parents)
        count = self.pieces.first + buckets
        self.arena = _room(tree.arena_size)
        self.state = State(
            np.zeros(count, np.int64), np.zeros(count), np.zeros(count, np.bool_), np.zeros(count, np.bool_),
            np.zeros(count), np.zeros(buckets), np.zeros(1),
            np.zeros(count, np.int64),
        )  # fmt: skip
        self.wide = 0  # buckets done in log space
        self.power = 0  # of two, in the value
        self.error = 0.0

    def forward(self) -> float:
        """log Z of the tables, in nats; −inf if every weight is zero."""
        if not load_all(self.pieces, self.raw, self.raw_at, self.raw_scope, self.arena, self.state):
            return -math.inf
        with _Sharing() as sharing:
            for b, last in self._batches():
                outcome = self._together(b, last) if last > b + 1 else self._alone(b, sharing)
                if outcome == ZERO:
                    return -math.inf
        value = self._value()
        self.error = self._rounding(value)
        return value

    def marginals(self) -> list[np.ndarray]:
        """∂ log Z / ∂ table for every table, after `forward` without log space, on a tree that keeps its messages."""
        if self.wide or not self.tree.keep:
            raise ValueError("marginals need a tree that keeps its messages, and none of them in log space")
        dual = _room(len(self.arena))
        dual[:] = 0.0
        roots = np.flatnonzero(self.tree.parents < 0)
        dual[self.pieces.at[self.pieces.first + roots]] = 1.0
        for first, last in reversed(list(self._batches())):
            if last > first + 1:
                _reverse(self.pieces, self.arena, dual, self.state, first, last)
                continue
            scale = reverse_scale(self.pieces, self.state, first)
            for start, end in _Sharing(1).pieces(*self._blocks(first)):
                reverse_blocks(self.pieces, self.arena, dual, first, scale, start, end)
        return [self._as_given(dual, a) for a in range(self.pieces.first)]

    def _as_given(self, dual: np.ndarray, table: int) -> np.ndarray:
        """One table's marginal, its axes in the order of its scope."""
        scope, ptr = self.tree.scopes[table], self.pieces.scope_ptr
        own = self.pieces.scope[ptr[table] : ptr[table + 1]].tolist()
        at, length = int(self.pieces.at[table]), int(self.pieces.length[table])
        block = dual[at : at + length].reshape([int(self.tree.sizes[v]) for v in own])
        return block.transpose([own.index(v) for v in scope]).copy()

    def _batches(self) -> Iterator[tuple[int, int]]:
        """Runs of small buckets, and large ones alone."""
        first, total, count = 0, 0.0, len(self.tree.parents)
        if count > 1 and self.tree.cells < _SHARED:
            yield 0, count
            return
        for b, cells in enumerate(self.tree.joint_cells.tolist()):
            if cells >= _SHARED or total > _BATCH:
                if b > first:
                    yield first, b
                first, total = b, 0.0
            total += cells
            if cells >= _SHARED:
                yield b, b + 1
                first, total = b + 1, 0.0
        if first < count:
            yield first, count

    def _together(self, first: int, last: int) -> int:
        while first < last:
            first, outcome = _run(self.pieces, self.arena, self.state, first, last)
            if outcome == WIDE:
                outcome = self._logs(first, _Sharing(1))
                first += 1
            if outcome == ZERO:
                return ZERO
        return DONE

    def _alone(self, b: int, sharing: "_Sharing") -> int:
        scale, hard, safe, wide = begin(self.pieces, self.state, self.arena, b)
        outcome = WIDE
        if not wide:
            spans = _no_span(len(sharing.pieces(*self._blocks(b))))

            def work(number: int, first: int, last: int) -> None:
                sum_blocks(self.pieces, self.arena, b, scale, first, last, hard, spans[number])

            sharing(work, *self._blocks(b))
            span = np.array([spans[:, 0].max(), spans[:, 1].min(), spans[:, 2].min()])
            outcome = settle(self.pieces, self.state, self.arena, b, span, safe)
        return self._logs(b, sharing) if outcome == WIDE else outcome

    def _blocks(self, b: int) -> tuple[int, int]:
        """Blocks of bucket b, and the entries of one."""
        cells, width = block_size(self.pieces, b)
        return cells // width, width

    def _logs(self, b: int, sharing: "_Sharing") -> int:
        """Bucket b in log space."""
        self.wide += 1
        items_to_logs(self.pieces, self.raw, self.raw_at, self.raw_scope, self.arena, self.state, b)
        peaks = np.full(len(sharing.pieces(*self._blocks(b))), -np.inf)

        def work(number: int, first: int, last: int) -> None:
            peaks[number] = log_blocks(self.pieces, self.arena, b, first, last)

        sharing(work, *self._blocks(b))
        return DONE if settle_logs(self.pieces, self.state, self.arena, b, peaks.max()) else ZERO

    def _value(self) -> float:
        """Σ over roots of their one entry, and over pieces of what was taken off."""
        roots = self.pieces.first + np.flatnonzero(self.tree.parents < 0)
        parts = [math.frexp(x) for x in self.arena[self.pieces.at[roots]].tolist()]
        exponents = sum([e for _, e in parts]) - sum(self.state.exponent[roots].tolist())
        self.power = int(self.state.shed[0]) + exponents
        logs = [math.log(mantissa) for mantissa, _ in parts]
        return math.fsum([*self.state.top.tolist(), *logs, self.power * math.log(2.0)])

    def _rounding(self, value: float) -> float:
        """Tables: their logs, the logs less the top and the exponential; buckets; roots and the last sum."""
        total = _roundings(self.pieces.first, self.tree.parents, self.state.top, self.state.low, self.state.error)
        return 1.01 * ULP * (total + 2.0 * abs(self.power) + abs(value))


class _Sharing:
    """Shares the blocks of a bucket out to threads; with one thread it is a loop."""

    def __init__(self, threads: int | None = None):
        self.threads = int(vars(config)["NUMBA_NUM_THREADS"]) if threads is None else threads
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "_Sharing":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def pieces(self, blocks: int, width: int) -> list[tuple[int, int]]:
        """Ranges of blocks, about `_PIECE` joint entries each, at least two for each thread."""
        step = min(max(1, _PIECE // width), max(1, -(-blocks // (2 * self.threads))))
        return [(a, min(a + step, blocks)) for a in range(0, blocks, step)]

    def __call__(self, work: Callable[[int, int, int], None], blocks: int, width: int) -> None:
        pieces = self.pieces(blocks, width)
        if self.threads == 1 or len(pieces) == 1:
            for number, (first, last) in enumerate(pieces):
                work(number, first, last)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads)
        for done in [self._pool.submit(work, number, first, last) for number, (first, last) in enumerate(pieces)]:
            done.result()


def _room(entries: int) -> np.ndarray:
    """Uninitialised numbers, on small pages: waiting for huge ones took longer than the elimination that used them."""
    if 8 * entries < _LARGE:
        return np.empty(entries)
    return np.frombuffer(mmap.mmap(-1, 8 * entries, flags=mmap.MAP_PRIVATE | mmap.MAP_ANON), np.float64)


@njit(cache=True, nogil=True)
def _roundings(first, parents, top, low, error):
    """In units of `ULP`, all but those of the value itself."""
    total = 0.0
    for a in range(first):
        total += 2.0 * abs(top[a]) - 2.0 * low[a] + 4.0
    for b in range(len(parents)):
        total += error[b] + (10.0 if parents[b] < 0 else 0.0)
    for x in top:
        total += 2.0 * abs(x)
    return total


def _no_span(count: int) -> np.ndarray:
    """Nothing seen yet: largest, smallest above zero (less one), smallest, as bits; shape (count, 3)."""
    span = np.full((count, 3), np.iinfo(np.uint64).max, np.uint64)
    span[:, 0] = 0
    return span


@njit(cache=True, nogil=True)
def _run(pieces, arena, state, first, last):
    """Eliminates buckets first…last−1 until something is unusual; returns where it stopped, and why."""
    span = np.empty(3, np.uint64)
    for b in range(first, last):
        scale, hard, safe, wide = begin(pieces, state, arena, b)
        if wide:
            return b, WIDE
        span[0], span[1], span[2] = 0, ~np.uint64(0), ~np.uint64(0)
        cells, width = block_size(pieces, b)
        blocks = cells // width
        sum_blocks(pieces, arena, b, scale, blocks - blocks, blocks, hard, span)  # a literal 0 would compile it anew
        outcome = settle(pieces, state, arena, b, span, safe)
        if outcome != DONE:
            return b, outcome
    return last, DONE


@njit(cache=True, nogil=True)
def _reverse(pieces, arena, dual, state, first, last):
    """The reverse pass over buckets last−1…first."""
    for b in range(last - 1, first - 1, -1):
        cells, width = block_size(pieces, b)
        blocks = cells // width
        reverse_blocks(pieces, arena, dual, b, reverse_scale(pieces, state, b), blocks - blocks, blocks)
