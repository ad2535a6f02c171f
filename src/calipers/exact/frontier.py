"""Sweeps a frontier through a graph of spins: which bit each spin takes, and which step puts it there.

Sites are visited in an order. A site joins the frontier when it is visited and leaves it after its last neighbour;
where a neighbour leaves at once, the new site takes over its bit, so a square strip of width w needs w bits, open or
periodic across, and a triangular one w + 1 at most. The vector over the frontier's states is as long as the highest bit
in use. Orders tried: as numbered, along each axis of a lattice, by levels, and by a front that stays short.

Sites may be *clamped*: they leave the graph, and the caller sums over their states. **Cost** of an order: Σ 2^bits over
its sites. **Source** Binder, *Statistical mechanics of finite three-dimensional Ising models* (1972); Bodlaender on
pathwidth (1998).
"""

import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array

from calipers.exact import graph_sweeps
from calipers.models.lattices import Lattice

CLAMPED_ORDERS, MOST_CLAMPED, MOST_FREE = 3, 40, 64  # orders tried with clamped sites; clamped sites; bits worth a look
MOST_NEAR = 4  # neighbours one step may multiply by: tables of 2^4 factors


class Step(NamedTuple):
    """One step: `kind` "replace", "add", "sum" or "multiply"; its bit holds `site` (−1: none) after it, `old` before.

    `edge` binds the two in a replacement; `near` are pairs (bit, edge) of frontier neighbours that it multiplies by;
    `field`, whether it multiplies by the site's own field; `bits`, the length of the vector while it works.
    """

    kind: str
    slot: int
    site: int
    old: int
    edge: int
    near: tuple[tuple[int, int], ...]
    field: bool
    bits: int


class Sweep(NamedTuple):
    """The steps of a sweep, the sites left out of it, and what it costs: `bits`, the longest vector, and `cells`."""

    steps: list[Step]
    clamped: tuple[int, ...]
    order: np.ndarray
    bits: int
    cells: float


def frontier_bits(n: int, edges: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bits in use while each place of the order is visited, the place of each site, and of its last neighbour.

    `order` may leave sites out; their edges are ignored, their place is −1.
    """
    place = np.full(n, -1)
    place[order] = np.arange(len(order))
    ends = place[edges]
    ends = ends[(ends >= 0).all(axis=1)]
    last = np.arange(len(order))
    np.maximum.at(last, ends[:, 0], ends[:, 1])
    np.maximum.at(last, ends[:, 1], ends[:, 0])
    leaving = np.bincount(last, minlength=len(order))
    own = last == np.arange(len(order))
    there = np.arange(len(order)) - (np.cumsum(leaving) - leaving)
    taken_over = leaving - own > 0
    return there + ~taken_over, place, last


def best_sweep(n: int, edges: np.ndarray, lattice: Lattice | None, most_bits: int, free: bool) -> Sweep:
    """The cheapest sweep found, with sites clamped until no vector has more than `most_bits` bits.

    **Returns:** the sweep; one of infinite `cells` and no steps, when more than `MOST_CLAMPED` sites would be clamped.

    **Arguments:** `free`, whether the first clamped site costs nothing, as the global flip makes it when there is no
    field; then one is clamped wherever that helps.
    """
    plain = [(_log2_cells(frontier_bits(n, edges, order)[0]), order) for order in orders(n, edges, lattice)]
    cheap = sorted(range(len(plain)), key=lambda k: (plain[k][0], k))[:CLAMPED_ORDERS]
    choices: list[tuple[float, int, np.ndarray, tuple[int, ...]]] = []
    for k in cheap:
        found = clamp(n, edges, plain[k][1], most_bits, free)
        if found is not None:
            kept, clamped = found
            log2 = _log2_cells(frontier_bits(n, edges, kept)[0]) + max(0, len(clamped) - free)
            choices.append((log2, k, kept, clamped))
    if not choices:
        return Sweep([], (), plain[cheap[0]][1], int(frontier_bits(n, edges, plain[cheap[0]][1])[0].max()), math.inf)
    _, _, kept, clamped = min(choices, key=lambda c: c[:2])
    steps = list(lay_out(n, edges, kept))
    cells = 2.0 ** max(0, len(clamped) - free) * math.fsum(2.0**s.bits for s in steps)
    return Sweep(steps, clamped, kept, max((s.bits for s in steps), default=0), cells)


def _log2_cells(bits: np.ndarray) -> float:
    """log2 Σ 2^bits."""
    return float(np.logaddexp2.reduce(bits.astype(float))) if len(bits) else -math.inf


def orders(n: int, edges: np.ndarray, lattice: Lattice | None) -> Iterator[np.ndarray]:
    """Orders worth pricing; each visits every site once."""
    yield np.arange(n)
    if lattice is not None and lattice.n == n and len(lattice.shape) > 1:
        yield from _axis_orders(lattice)
    if len(edges) and n <= 20_000:
        yield from _graph_orders(n, edges)


def _axis_orders(lattice: Lattice) -> Iterator[np.ndarray]:
    """Along every axis, the others nested inside it in order of their sides, forwards and backwards."""
    basis = lattice.n // int(np.prod(lattice.shape))
    sites = np.arange(lattice.n).reshape(*lattice.shape, basis)
    for axis, turned in itertools.product(range(len(lattice.shape)), (False, True)):
        others = sorted(set(range(len(lattice.shape))) - {axis}, key=lambda a: -lattice.shape[a])
        view = np.flip(sites, (*others, sites.ndim - 1)) if turned else sites
        yield view.transpose(axis, *others, sites.ndim - 1).ravel()


def _graph_orders(n: int, edges: np.ndarray) -> Iterator[np.ndarray]:
    """By Cuthill–McKee levels, and by a short front that starts where the levels do."""
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = coo_array((np.ones(len(both), np.int8), both.T), shape=(n, n)).tocsr()
    ptr, nbr = graph.indptr.astype(np.int64), graph.indices.astype(np.int64)
    levels = graph_sweeps.levels(ptr, nbr)
    yield levels
    for roots in (levels, levels[::-1].copy()):
        gone = np.empty(n, np.int64)
        graph_sweeps.sweep(ptr, nbr, roots, np.ones(n), np.inf, gone)
        joins = np.concatenate([np.append(nbr[ptr[v] : ptr[v + 1]], v) for v in gone])
        _, first = np.unique(joins, return_index=True)
        yield joins[np.sort(first)]


def clamp(
    n: int, edges: np.ndarray, order: np.ndarray, most_bits: int, free: bool
) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """Leaves out sites, the longest in the frontier first, until it fits `most_bits`.

    **Returns:** the order left, and the sites; None when they are too many.
    """
    order, clamped = _clamp_free(n, edges, order) if free else (order, [])
    while True:
        bits, _, last = frontier_bits(n, edges, order)
        if bits.max(initial=0) <= most_bits:
            return order, tuple(clamped)
        if len(clamped) >= MOST_CLAMPED:
            return None
        inside = _at_peak(bits, last)
        worst = int(inside[np.argmax(last[inside] - inside)])
        clamped.append(int(order[worst]))
        order = np.delete(order, worst)


def _at_peak(bits: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The places of the sites that are in the frontier where it is first widest."""
    peak = int(bits.argmax())
    return np.flatnonzero((np.arange(len(bits)) <= peak) & (last >= peak))


def _clamp_free(n: int, edges: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Leaves out the site that shortens the vectors most, if one makes the longest of them shorter."""
    bits, _, last = frontier_bits(n, edges, order)
    best = (int(bits.max(initial=0)), _log2_cells(bits), -1)
    inside = _at_peak(bits, last) if 1 < best[0] < MOST_FREE else ()
    for place in inside:
        less = frontier_bits(n, edges, np.delete(order, place))[0]
        best = min(best, (int(less.max(initial=0)), _log2_cells(less), int(place)))
    if best[0] == bits.max(initial=0):
        return order, []
    return np.delete(order, best[2]), [int(order[best[2]])]


def neighbours(n: int, edges: np.ndarray) -> list[list[tuple[int, int]]]:
    """Pairs (neighbour, edge) of every site."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    for e, (i, j) in enumerate(edges.tolist()):
        found[i].append((j, e))
        found[j].append((i, e))
    return found


def lay_out(n: int, edges: np.ndarray, order: Sequence[int] | np.ndarray) -> Iterator[Step]:
    """The steps that visit `order`; sites left out of it are left out of the graph."""
    near = neighbours(n, edges)
    visited = set(np.asarray(order).tolist())
    left = [sum(u in visited for u, _ in near[v]) for v in range(n)]
    slots = _Slots()
    for v in np.asarray(order).tolist():
        earlier = [(slots.of[u], e, u) for u, e in near[v] if u in slots.of]
        for _, _, u in earlier:
            left[u] -= 1
        left[v] -= len(earlier)
        done = sorted((slot, e, u) for slot, e, u in earlier if not left[u])
        slot, edge, old = done[0] if done else (-1, -1, -1)
        pairs = tuple((s, e) for s, e, u in earlier if u != old)
        slot = slots.take(v, old)
        yield Step("replace" if done else "add", slot, v, old, edge, pairs[:MOST_NEAR], True, slots.length)
        for k in range(MOST_NEAR, len(pairs), MOST_NEAR):
            yield Step("multiply", slot, v, v, -1, pairs[k : k + MOST_NEAR], False, slots.length)
        gone = [(s, u) for s, _, u in done[1:]] + ([] if left[v] else [(slot, v)])
        for s, u in sorted(gone, reverse=True):
            yield Step("sum", s, -1, u, -1, (), False, slots.length)
            slots.free(u)


class _Slots:
    """Which site holds which bit: the lowest free bit is taken first."""

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self._open: list[int] = []
        self.length = 0

    def take(self, site: int, old: int) -> int:
        """Puts `site` on the bit of `old`, or on a free one (old < 0)."""
        if old >= 0:
            slot = self.of.pop(old)
        elif self._open:
            slot = heapq.heappop(self._open)
        else:
            slot, self.length = self.length, self.length + 1
        self.of[site] = slot
        return slot

    def free(self, site: int) -> None:
        """Gives the bit of `site` back; the vector shortens when it was the highest in use."""
        heapq.heappush(self._open, self.of.pop(site))
        top = max(self.of.values(), default=-1) + 1
        if top < self.length:
            self._open = [s for s in self._open if s < top]
            heapq.heapify(self._open)
            self.length = top
