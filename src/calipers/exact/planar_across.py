"""Drawings of most of a graph: a plane (or a surface of small genus), and the few edges that are left across it.

Lattices and grids by the directions of their short edges; other graphs by networkx's planarity test, with the edges of
the longest detours left out, or those that are met first when a test of more and more edges fails. What was left out is
put back wherever both of its ends lie on one face. The *ghost*, whose edges are fields, is put into the face that has
most of its neighbours. Nothing is taken on trust (`planar_surface` counts faces), and nothing claims to leave out
the fewest edges: that is NP-hard (Liu & Geldmacher 1977). Cost: a few planarity tests of 20 µs an edge; `_PATIENCE`
edges are tested in all.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from calipers.exact.planar_embedding import by_angle, count_components, detours, draw, grid_steps, planar, widths
from calipers.exact.planar_surface import faces, genus
from calipers.models.lattices import Lattice

_PATIENCE = 200_000
_SEARCHED = 5e8  # fields times edges: every field that is drawn looks for its face among all
_FAR = 11  # the detour of an edge when none was found among a thousand sites
_ORDERS = 12  # in which edges are tested
_UNITS = ({(0, 1)}, {(0, 1), (1, 1)}, {(0, 1), (1, -1)})  # steps of a grid's edges beside (1, 0), up to their sign


class Beside(NamedTuple):
    """`rotation` (2d,) of the darts of the `drawn` edges, ascending numbers (d,), and those `across`, (k,)."""

    rotation: np.ndarray
    drawn: np.ndarray
    across: np.ndarray


def draw_beside(
    n: int, edges: np.ndarray, lattice: Lattice | None, most_genus: int, most: int, ghost: int | None = None
) -> Beside | None:
    """A drawing of all edges but at most `most`; None when none was found.

    **Arguments:** as `planar_embedding.draw`; `ghost`, the site that stands for the field.

    **Raises:** `ImportError` naming the extra when the planarity test is needed and networkx is not there.
    """
    bound = (edges == ghost).any(axis=1) if ghost is not None else np.zeros(len(edges), np.bool_)
    canvas = _without_ghost(n, edges, np.flatnonzero(~bound), lattice, most_genus, most, n - (ghost is not None))
    if canvas is None:
        return None
    if bound.sum() * len(edges) > _SEARCHED:
        return None
    if ghost is not None and bound.any():
        canvas.put_in_ghost(np.flatnonzero(bound), ghost)
    left = canvas.left
    if len(left) and bound[left].any() and len(edges) * 2 < _PATIENCE:
        whole = planar(n, edges)
        if whole is not None:
            return Beside(whole, np.arange(len(edges)), np.zeros(0, np.int64))
    return canvas.finished() if len(left) <= most else None


class _Canvas:
    """A drawing that grows: `rotation` of all darts, those that are not `there` being their own successors."""

    def __init__(self, n: int, edges: np.ndarray, kept: np.ndarray, rotation: np.ndarray):
        self.n, self.edges, self.sites = n, edges, edges.ravel()
        darts = np.stack([2 * kept, 2 * kept + 1], axis=1).ravel()
        self.rotation = np.arange(2 * len(edges))
        self.rotation[darts] = darts[rotation]
        self.there = np.zeros(2 * len(edges), np.bool_)
        self.there[darts] = True

    @property
    def left(self) -> np.ndarray:
        """The edges that are not drawn."""
        return np.flatnonzero(~self.there[::2])

    def finished(self) -> Beside:
        """The drawing of the edges that are there."""
        darts, number = np.flatnonzero(self.there), np.cumsum(self.there) - 1
        return Beside(number[self.rotation[darts]], np.flatnonzero(self.there[::2]), self.left)

    def put_in(self, chosen: np.ndarray, wanted: int = -1) -> None:
        """Draws those of the chosen edges whose ends lie on one face, or in two components; there, in face `wanted`."""
        for e in chosen.tolist():
            face = faces(self.rotation)[0]
            corners = [np.flatnonzero(self.there & (self.sites == v)) for v in self.edges[e]]
            common = np.intersect1d(face[corners[0]], face[corners[1]])
            if not len(common) and all(map(len, corners)) and np.diff(self._components()[self.edges[e]]) == 0:
                continue
            target = common[0] if len(common) else wanted
            for h, found in zip((2 * e, 2 * e + 1), corners, strict=True):
                if len(found):  # the corner between a dart and the next one lies in the face on the dart's left
                    inside = found[face[found] == target]
                    after = int((inside if len(inside) else found)[0])
                    self.rotation[h], self.rotation[after] = self.rotation[after], h
            self.there[[2 * e, 2 * e + 1]] = True

    def _components(self) -> np.ndarray:
        """The component of each site in what is drawn."""
        i, j = self.edges[self.there[::2]].T
        return connected_components(coo_array((np.ones(len(i)), (i, j)), (self.n, self.n)), directed=False)[1]

    def put_in_ghost(self, bound: np.ndarray, ghost: int) -> None:
        """Draws the ghost in the face of each component that most of its neighbours there have."""
        held = self.edges[bound].sum(axis=1) - ghost
        part = self._components()[held]
        for one in np.unique(part):
            mine, neighbours = bound[part == one], held[part == one]
            face, darts = faces(self.rotation)[0], np.flatnonzero(self.there & np.isin(self.sites, neighbours))
            corners = np.unique(np.stack([face[darts], self.sites[darts]], axis=1), axis=0)
            best = int(np.bincount(corners[:, 0]).argmax()) if len(corners) else -1
            there = np.isin(neighbours, corners[corners[:, 0] == best, 1])
            self.put_in(mine[there] if len(corners) else mine, best)  # no other neighbour has a face with the ghost


def _without_ghost(
    n: int, edges: np.ndarray, base: np.ndarray, lattice: Lattice | None, most_genus: int, most: int, spins: int
) -> _Canvas | None:
    """The drawing of the edges `base`, among the first `spins` sites."""
    if not len(base):
        return _Canvas(n, edges, base, np.zeros(0, np.int64))
    if lattice is None:
        near = _grid(n, edges, base, most_genus, most, spins)
        if near is not None:
            return near
    rotation = draw(spins, edges[base], lattice, most_genus, handles=most == 0)
    if rotation is not None:
        return _Canvas(n, edges, base, rotation)
    found = _few_left(n, edges, base, most)
    if found is None and most and (most < most_genus or 4 * len(base) > _PATIENCE):
        rotation = draw(spins, edges[base], lattice, most_genus)
        return None if rotation is None else _Canvas(n, edges, base, rotation)
    return found


def _grid(n: int, edges: np.ndarray, base: np.ndarray, most_genus: int, most: int, spins: int) -> _Canvas | None:
    """A drawing by the numbering of a grid, edges that are no steps of one left out first."""
    best, least = None, most
    for width in widths(spins, edges[base]):
        steps = grid_steps(spins, edges[base], width)
        sign = np.where((steps[:, 0] < 0) | ((steps[:, 0] == 0) & (steps[:, 1] < 0)), -1.0, 1.0)
        places = [tuple(step) for step in (steps * sign[:, None]).tolist()]
        for units in _UNITS:
            near = np.array([place == (1, 0) or place in units for place in places])
            if not 0 < np.count_nonzero(~near) <= 2 * most:
                continue
            rotation = by_angle(edges[base[near]], steps[near])
            if genus(rotation, count_components(n, edges[base[near]])) > most_genus:
                continue
            canvas = _Canvas(n, edges, base[near], rotation)
            canvas.put_in(base[~near])
            left = len(np.intersect1d(canvas.left, base))
            if left <= least:
                best, least = canvas, left - 1
    return best


def _few_left(n: int, edges: np.ndarray, base: np.ndarray, most: int) -> _Canvas | None:
    """The drawing of a planar part: without the longest detours, or without the edges that first spoil it."""
    if not most or len(base) > max(3 * n - 6, 1) + most or 4 * len(base) > _PATIENCE:
        return None
    detour = detours(n, edges[base])
    if _least(n, edges[base], detour) > most:
        return None
    order = base[np.argsort(detour, kind="stable")]
    for out in sorted({min(2**k, most) for k in range(most)}):
        kept = np.sort(order[: len(order) - out])
        rotation = planar(n, edges[kept])
        if rotation is not None:
            return _filled(n, edges, kept, rotation, order[len(order) - out :])
    best, rng, patience = None, np.random.default_rng(0), _PATIENCE
    for _ in range(_ORDERS):
        canvas, patience = _first_spoilers(n, edges, order, most, patience)
        if canvas is not None:
            best, most = canvas, len(np.intersect1d(canvas.left, base)) - 1
        if best is None or patience < 0 or most < max(1.0, _least(n, edges[base], detour)):
            break
        order = base[np.lexsort((rng.random(len(base)), detour))]
    return best


def _least(n: int, edges: np.ndarray, detour: np.ndarray) -> float:
    """About how many edges must go: a planar graph has e − n + 1 + c faces, as long as a detour and one, or longer."""
    parts = count_components(n, edges) + n - len(np.unique(edges))
    length = np.where(detour == n, _FAR, detour) + 1.0  # those that were not found
    return len(edges) - n + 1 + parts - float((2.0 / length[detour > 0]).sum())


def _first_spoilers(
    n: int, edges: np.ndarray, order: np.ndarray, most: int, patience: int
) -> tuple[_Canvas | None, int]:
    """Leaves out, one after another, the edge with which the edges in order are no longer planar."""
    out: list[int] = []
    low = 0
    while len(out) <= most:
        rest = order[~np.isin(order, out)]
        rotation = planar(n, edges[np.sort(rest)])
        if rotation is not None:
            return _filled(n, edges, np.sort(rest), rotation, np.array(out, np.int64)), patience
        high = len(rest)  # the first `low` are planar, the first `high` are not
        while high - low > 1:
            middle = (low + high) // 2
            patience -= middle
            if patience < 0:
                return None, patience
            low, high = (middle, high) if planar(n, edges[np.sort(rest[:middle])]) is not None else (low, middle)
        out.append(int(rest[low]))
    return None, patience


def _filled(n: int, edges: np.ndarray, kept: np.ndarray, rotation: np.ndarray, others: np.ndarray) -> _Canvas:
    canvas = _Canvas(n, edges, kept, rotation)
    canvas.put_in(others)
    return canvas


def path_edges(n: int, edges: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """For each pair of sites whether an edge lies on a shortest path between them, (k, e)."""
    from scipy.sparse.csgraph import breadth_first_order

    found = np.zeros((len(ends), len(edges)), np.bool_)
    graph = coo_array((np.arange(1, len(edges) + 1), (edges[:, 0], edges[:, 1])), (n, n)).tocsr()
    number = (graph + graph.T).tocsr()
    for k, (i, j) in enumerate(ends.tolist()):
        before = breadth_first_order(number, i, directed=False)[1]
        while j != i:
            found[k, int(number[j, before[j]]) - 1] = True
            j = int(before[j])
    return found
