"""Regions of the cluster variation method: short cycles and factor scopes, all their intersections, counting numbers.

    c_β = 1 − #{outer regions ⊃ β} − Σ_{inner β' ⊋ β} c_β',      c_α = 1 for outer regions

so that every set of variables that some region holds is counted once (Möbius). Outer regions are the maximal ones among
the factors' scopes and the relevant cycles of the interaction graph, those that are no sums of shorter ones: plaquettes
of a square lattice, triangles of a dense graph. Cycles that are sums (a ring around four plaquettes) count loops again
that are counted already, and ruin the estimate: −148 nats in place of −.01 on a 10² glass. So do all triangles of a
dense graph: where many are sums of others of their own length, a basis is taken. Structure only. **Cost** grows with
the number of cycles, and of pairs of regions that meet. **Source** Vismara, *Union of all the minimum cycle
bases of a graph* (1997); Gelfand & Welling, *Generalized belief propagation on tree robust structured region graphs*
(UAI 2012).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from calipers.core.method import Refusal
from calipers.exact.interaction import adjacency

_CELLS = 1 << 12  # entries of the largest table that a cycle may have
_MOST = 200_000  # regions
_CROWDED = 2.0  # cycles of one length, over those of them that are independent, beyond which a basis must do

Scope = tuple[int, ...]


class RegionGraph(NamedTuple):
    """Outer regions (ascending scopes); inner ones, largest first, with counting numbers and the outer ones around."""

    outer: list[Scope]
    inner: list[Scope]
    counting: list[int]
    parents: list[list[int]]


def region_graph(sizes: Sequence[int], scopes: Sequence[Scope], loop: int) -> RegionGraph:
    """The regions whose outer ones are the scopes and the relevant cycles of at most `loop` variables.

    Every variable is in some scope, and scopes are ascending.

    **Raises:** `Refusal` when there are more than 200 000.
    """
    cycles = (c for c in relevant_cycles(len(sizes), scopes, loop) if math.prod(sizes[v] for v in c) <= _CELLS)
    outer = _maximal([*map(frozenset, scopes), *map(frozenset, cycles)])
    around = _index(outer)
    inner = sorted(_intersections(outer, around), key=lambda s: (-len(s), sorted(s)))
    inner_around = _index(inner)
    parents: list[list[int]] = []
    counting: list[int] = []
    for b, own in enumerate(inner):
        above = sorted(set.intersection(*(set(around[v]) for v in own)))
        between = set.intersection(*({i for i in inner_around[v] if i < b} for v in own))
        parents.append(above)
        counting.append(1 - len(above) - sum(counting[i] for i in between))
    return RegionGraph([tuple(sorted(s)) for s in outer], [tuple(sorted(s)) for s in inner], counting, parents)


def relevant_cycles(n: int, scopes: Sequence[Scope], longest: int) -> Iterator[Scope]:
    """The cycles of at most `longest` variables that are not sums (mod 2) of shorter ones; if crowded, a basis of them.

    A basis takes cycles as they come: in a complete graph, the triangles at its first variable.

    **Raises:** `Refusal` when there are more than 200 000 cycles without a chord to choose from.
    """
    graph = adjacency(n, scopes)
    near = [set(graph.nbr[graph.ptr[v] : graph.ptr[v + 1]].tolist()) for v in range(n)]
    edges = ((u, v) for u in range(n) for v in sorted(near[u]) if u < v)
    number: dict[Scope, int] = {edge: i for i, edge in enumerate(edges)}
    span: dict[int, int] = {}  # of the shorter ones: rows of edges as bits, by their highest
    free = len(number) - n + _components(n, list(number))  # cycles that can be independent
    for length in range(3, longest + 1):
        kept = [c for c in chordless(near, length) if not span or _remainder(_row(c, number), span)]
        crowded = len(kept) > _CROWDED * (free - len(span))
        if length < longest or crowded:
            new = [_extend(span, _row(c, number)) for c in kept]
            kept = [c for c, own in zip(kept, new, strict=True) if own or not crowded]
        yield from kept


def _row(cycle: Scope, number: dict[Scope, int]) -> int:
    """The edges of a tour as bits."""
    return sum(1 << number[min(e), max(e)] for e in zip(cycle, (*cycle[1:], cycle[0]), strict=True))


def _components(n: int, edges: list[Scope]) -> int:
    heads, tails = np.array(edges, np.int64).reshape(-1, 2).T
    return int(connected_components(coo_array((np.ones(len(heads)), (heads, tails)), (n, n)), directed=False)[0])


def _extend(span: dict[int, int], row: int) -> bool:
    """Adds a row to a span; whether it was not in it yet."""
    rest = _remainder(row, span)
    if rest:
        span[rest.bit_length()] = rest
    return rest != 0


def _remainder(row: int, span: dict[int, int]) -> int:
    """What is left of a vector over GF(2) after subtracting what `span` spans; 0 if that is all."""
    while row and row.bit_length() in span:
        row ^= span[row.bit_length()]
    return row


def chordless(near: list[set[int]], length: int) -> Iterator[Scope]:
    """The cycles of this length without a chord, each once, as tours."""
    found = 0
    for first in range(len(near)):
        paths = [[first, v] for v in near[first] if v > first]
        while paths:
            path = paths.pop()
            for v in near[path[-1]]:
                if v <= first or v in path or near[v].intersection(path[1:-1]):
                    continue
                if v not in near[first]:
                    if len(path) + 1 < length:
                        paths.append([*path, v])
                elif len(path) + 1 == length and path[1] < v:  # once, of its two directions
                    found += 1
                    _check(found, "cycles")
                    yield (*path, v)


def _check(count: int, what: str) -> None:
    if count > _MOST:
        raise Refusal(f"more than {_MOST} {what}; give Kikuchi a smaller loop, or use Bethe()")


def _index(sets: Sequence[frozenset[int]]) -> dict[int, list[int]]:
    """Of each variable, the sets that hold it."""
    index: dict[int, list[int]] = {}
    for i, own in enumerate(sets):
        for v in own:
            index.setdefault(v, []).append(i)
    return index


def _maximal(sets: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    """Those that no other one holds, each once."""
    kept: list[frozenset[int]] = []
    index: dict[int, set[int]] = {}
    for own in sorted(set(sets), key=lambda s: (-len(s), sorted(s))):
        if not set.intersection(*(index.get(v, set()) for v in own)):
            for v in own:
                index.setdefault(v, set()).add(len(kept))
            kept.append(own)
    return kept


def _intersections(outer: list[frozenset[int]], around: dict[int, list[int]]) -> set[frozenset[int]]:
    """All non-empty intersections of two or more of them."""
    found: set[frozenset[int]] = set()
    frontier = set(outer)
    while frontier:
        met = {own & outer[a] for own in frontier for a in {a for v in own for a in around[v]}}
        frontier = met - found - set(outer)
        found |= frontier
        _check(len(found), "regions")
    return found


class Layout(NamedTuple):
    """Flat tables. Entries of outer region α: `outer_ptr[α]:outer_ptr[α+1]`, last variable fastest; of inner β too.

    Links of β are `link_ptr[β]:link_ptr[β+1]`: `link_outer`, the outer region; `link_map`, where in `maps` stands the
    entry of β for each entry of it; `link_at`, where the link's message lies.
    """

    outer_ptr: np.ndarray
    inner_ptr: np.ndarray
    counting: np.ndarray
    link_ptr: np.ndarray
    link_outer: np.ndarray
    link_map: np.ndarray
    link_at: np.ndarray
    maps: np.ndarray


def lay_out(graph: RegionGraph, sizes: Sequence[int]) -> Layout:
    """The arrays of a region graph; equal patterns of entries are kept once."""
    pool: dict[tuple, int] = {}
    tables: list[np.ndarray] = [np.zeros(0, np.int64)]
    length, ptr, outer, where, at = 0, [0], [], [], [0]
    for scope, above in zip(graph.inner, graph.parents, strict=True):
        cells = math.prod(sizes[v] for v in scope)
        for a in above:
            key = tuple((sizes[v], v in scope) for v in graph.outer[a])
            if key not in pool:
                pool[key] = length
                tables.append(_projection(key))
                length += len(tables[-1])
            outer.append(a)
            where.append(pool[key])
            at.append(at[-1] + cells)
        ptr.append(len(outer))
    ends = [
        np.cumsum([0, *(math.prod(sizes[v] for v in s) for s in part)], dtype=np.int64)
        for part in (graph.outer, graph.inner)
    ]
    counting, links, around, maps, places = (np.array(x, np.int64) for x in (graph.counting, ptr, outer, where, at))
    return Layout(ends[0], ends[1], counting, links, around, maps, places, np.concatenate(tables))


def _projection(axes: tuple[tuple[int, bool], ...]) -> np.ndarray:
    """For each entry of a table with these (size, kept) axes, the entry of the kept axes alone."""
    out, stride, strides = np.zeros(1, np.int64), 1, []
    for size, kept in reversed(axes):
        strides.append(stride if kept else 0)
        stride *= size if kept else 1
    for (size, _), step in zip(axes, reversed(strides), strict=True):
        out = (out[:, None] + np.arange(size) * step).ravel()
    return out
