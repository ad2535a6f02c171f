"""Where the numbers of a bucket tree lie: one arena for tables, shifts and messages, and the flat program over it.

Everything here is integers: offsets, strides and their patterns. Buckets of a lattice repeat a few patterns, so offset
tables are kept once each. Without `keep`, a message's space is used again once its parent has consumed it.
"""

import math
from bisect import bisect_left
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from calipers.exact.kernels import BLOCK, Program
from calipers.exact.planting import place_pieces, plant
from calipers.exact.wiring import Pieces
from calipers.models.propagation import starts

if TYPE_CHECKING:
    from calipers.exact.bucket_tree import BucketTree

CHUNK = 1 << 22  # joint entries a kernel call may touch before control returns to Python, for Ctrl-C and deadlines


class MiniBucket(NamedTuple):
    """One joint table to be: what it holds, in numbers of tables and of earlier mini-buckets."""

    variable: int
    rest: tuple[int, ...]  # the message's scope, last eliminated first
    tables: tuple[int, ...]
    children: tuple[int, ...]


class Layout(NamedTuple):
    """The structure of a tree in arrays, and where its numbers lie.

    `groups` are the mini-buckets of each variable where buckets may be split; `pieces` the whole buckets, flat, with
    `scopes` as they were given, where none is.
    """

    parents: np.ndarray  # (B,) −1 for a root
    joint_cells: np.ndarray  # (B,)
    table_at: list[int]
    message_at: list[int]
    shifts: slice
    arena_size: int
    groups: list[list[MiniBucket]] | None
    pieces: Pieces | None
    scopes: np.ndarray | None


def lay_out_whole(sizes: np.ndarray, scopes: list[tuple[int, ...]], order: np.ndarray, keep: bool) -> Layout:
    """Whole buckets along `order`."""
    tables = len(scopes)
    flat = np.fromiter(chain.from_iterable(scopes), np.int64)
    given = starts(np.fromiter(map(len, scopes), np.int64, tables))
    ptr, scope, parents, item_ptr, item, cells = plant(sizes, given, flat, order)
    at, length, end = place_pieces(sizes, ptr, scope, parents, cells, order, keep)
    pieces = Pieces(sizes, ptr, scope, at, length, item_ptr, item, order, tables)
    first = int(length[:tables].sum())
    places = at.tolist()
    return Layout(parents, cells, places[:tables], places[tables:], slice(first, first), int(end), None, pieces, flat)


def harvest(pieces: Pieces) -> list[MiniBucket]:
    """The buckets of flat arrays, one by one."""
    ptr, scope, item_ptr, item = (x.tolist() for x in (pieces.scope_ptr, pieces.scope, pieces.item_ptr, pieces.item))
    buckets, first = [], pieces.first
    for b, v in enumerate(pieces.variable.tolist()):
        own = item[item_ptr[b] : item_ptr[b + 1]]
        tables = bisect_left(own, first)
        rest = tuple(scope[ptr[first + b] : ptr[first + b + 1]])
        buckets.append(MiniBucket(v, rest, tuple(own[:tables]), tuple(c - first for c in own[tables:])))
    return buckets


def lay_out_groups(
    sizes: np.ndarray, scopes: list[tuple[int, ...]], groups: list[list[MiniBucket]], keep: bool
) -> Layout:
    """Given mini-buckets; the shift tables of split variables lie between tables and messages."""
    buckets, size = [b for group in groups for b in group], sizes.tolist()
    parents = np.full(len(buckets), -1)
    for place, bucket in enumerate(buckets):
        parents[list(bucket.children)] = place
    lengths = [math.prod(size[v] for v in b.rest) for b in buckets]
    cells = np.array([float(k) * size[b.variable] for k, b in zip(lengths, buckets, strict=True)], float)
    table_at, at = stack([math.prod(size[v] for v in s) for s in scopes])
    shifts = slice(at, at + sum(len(g) * math.prod(size[v] for v in common(g)) for g in groups if len(g) > 1))
    message_at, end = allocate(lengths, buckets, shifts.stop, keep)
    return Layout(parents, cells, table_at, message_at, shifts, end, groups, None, None)


def common(group: list[MiniBucket]) -> tuple[int, ...]:
    """The variables that all mini-buckets of a group share, in the order of the first one's joint."""
    shared = set(group[0].rest).intersection(*(b.rest for b in group[1:]))
    return (*(v for v in group[0].rest if v in shared), group[0].variable)


def stack(lengths: list[int]) -> tuple[list[int], int]:
    """Where each of several lengths begins, and where the last one ends."""
    ends = [0, *accumulate(lengths)]
    return ends[:-1], ends[-1]


def allocate(lengths: list[int], buckets: list[MiniBucket], start: int, keep: bool) -> tuple[list[int], int]:
    """Arena offsets of the messages: one after another, or first-fit into space that consumed messages left."""
    if keep:
        ends = np.cumsum([start, *lengths])
        return ends[:-1].tolist(), int(ends[-1])
    free: list[tuple[int, int]] = []
    top, places = start, []
    for length, bucket in zip(lengths, buckets, strict=True):
        fit = min((hole for hole in free if hole[1] >= length), key=lambda hole: hole[1], default=None)
        if fit is None:
            places.append(top)
            top += length
        else:
            free.remove(fit)
            places.append(fit[0])
            if fit[1] > length:
                free.append((fit[0] + length, fit[1] - length))
        free = _merge(free + [(places[c], lengths[c]) for c in bucket.children])
    return places, top


def _merge(holes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins neighbouring holes."""
    merged: list[tuple[int, int]] = []
    for at, length in sorted(holes):
        if merged and merged[-1][0] + merged[-1][1] == at:
            merged[-1] = (merged[-1][0], merged[-1][1] + length)
        else:
            merged.append((at, length))
    return merged


def chunks(tree: "BucketTree") -> list[tuple[int, int]]:
    """Runs of groups of about `CHUNK` joint entries."""
    runs, first, total, place = [], 0, 0.0, 0
    for g, group in enumerate(tree.groups):
        total += sum(tree.joint_cells[place : place + len(group)])
        place += len(group)
        if total >= CHUNK or g == len(tree.groups) - 1:
            runs.append((first, g + 1))
            first, total = g + 1, 0.0
    return runs


class _Offsets:
    """The pool of offset tables, one entry a pattern: many buckets of a lattice share theirs."""

    def __init__(self) -> None:
        self.pool: list[np.ndarray] = []
        self.known: dict[tuple[tuple[int, int], ...], int] = {}
        self.length = 0

    def add(self, axes: tuple[tuple[int, int], ...]) -> int:
        """Start of the offsets Σ state·stride over `axes` = ((size, stride), …), first axis slowest."""
        if axes not in self.known:
            table = np.zeros(1, np.int64)
            for size, stride in axes:
                table = (table[:, None] + np.arange(size) * stride).ravel()
            self.known[axes] = self.length
            self.pool.append(table)
            self.length += len(table)
        return self.known[axes]


def _strides(scope: tuple[int, ...], sizes: list[int]) -> dict[int, int]:
    strides, step = {}, 1
    for v in reversed(scope):
        strides[v] = step
        step *= sizes[v]
    return strides


def compile_program(tree: "BucketTree") -> Program:
    """Flattens the tree: for each item of each bucket, where its entries lie for every block of the joint."""
    sizes, pool = tree.sizes.tolist(), _Offsets()
    width, pointer, base, high, low = [], [0], [], [], []
    shift_at = tree.shifts.start
    place = 0
    for common, size, group in zip(tree.common, tree.shift_size, tree.groups, strict=True):
        for bucket in group:
            scope = (*bucket.rest, bucket.variable)
            cut = _cut([sizes[v] for v in scope])
            items = [(tree.scopes[a], tree.table_at[a]) for a in bucket.tables]
            items += [(tree.buckets[c].rest, tree.message_at[c]) for c in bucket.children]
            if size:
                items.append((common, shift_at))
                shift_at += size
            for own, at in items:
                strides = _strides(own, sizes)
                axes = tuple((sizes[v], strides.get(v, 0)) for v in scope)
                base.append(at)
                high.append(pool.add(axes[:cut]))
                low.append(pool.add(axes[cut:]))
            pointer.append(len(base))
            width.append(math.prod(sizes[v] for v in scope[cut:]))
            place += 1
    integers = lambda values: np.array(values, np.int64)  # noqa: E731
    return Program(
        states=integers([sizes[b.variable] for b in tree.buckets]),
        cells=integers(tree.joint_cells),
        width=integers(width),
        message=integers(tree.message_at),
        item_ptr=integers(pointer),
        base=integers(base),
        high=integers(high),
        low=integers(low),
        offsets=np.concatenate(pool.pool) if pool.pool else np.zeros(1, np.int64),
        group_ptr=integers(np.cumsum([0, *map(len, tree.groups)])),
        shift_size=integers(tree.shift_size),
    )


def _cut(sizes: list[int]) -> int:
    """The first axis that belongs to a block: trailing axes of at most BLOCK entries, at least the variable's own."""
    cut, entries = len(sizes) - 1, sizes[-1]
    while cut > 0 and entries * sizes[cut - 1] <= BLOCK:
        cut -= 1
        entries *= sizes[cut]
    return cut
