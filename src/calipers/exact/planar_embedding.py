"""Drawings of graphs: the order of the edges around every site, as a rotation of darts (see `planar_surface`).

Lattices, and graphs whose numbering is that of a grid (row by row, open or wrapped), are drawn by the directions of
their edges; anything else by a planarity test, which is networkx's. When that fails, the edges with the longest detours
are taken out until it succeeds, and put in again as handles of the surface: at most one each. A drawing is never taken
on trust: Euler's formula gives its genus, and the formulas hold for whatever genus it has. Cost: sorting the darts; the
planarity test takes 0.4 s for 10⁴ sites.
"""

import numpy as np
from numba import njit
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from calipers.exact.planar_surface import faces, genus
from calipers.models.foreign import extra
from calipers.models.lattices import Lattice

_DRAWN = ("chain", "square", "triangular", "honeycomb")
_LOOKED_AT = 1000  # sites, in search of a detour
_MANY = 50_000  # edges, above which no handles are looked for: each planarity test then takes seconds


def draw(
    n: int, edges: np.ndarray, lattice: Lattice | None = None, most_genus: int = 0, handles: bool = True
) -> np.ndarray | None:
    """A rotation of the 2e darts with genus at most `most_genus`; None when none was found.

    **Arguments:** `n`, sites; `edges` (e, 2), no loops; `lattice`, how the graph was made, if it is one; `handles`,
    whether some edges may be handles of their own.

    **Raises:** `ImportError` naming the extra when the planarity test is needed and networkx is not there.
    """
    parts = count_components(n, edges)
    guesses = ([_lattice_steps(lattice, edges)] if lattice is not None and lattice.kind in _DRAWN else []) + [
        grid_steps(n, edges, width) for width in widths(n, edges)
    ]
    best, least = None, most_genus + 1
    for steps in guesses:
        rotation = by_angle(edges, steps)
        found = genus(rotation, parts)
        if found < least:
            best, least = rotation, found
        if least == 0:
            return best
    if best is not None and lattice is not None:
        return best  # a torus
    try:
        return _few_handles(n, edges, best, least if handles else min(least, 1))
    except ImportError:
        if best is None:
            raise
        return best


def count_components(n: int, edges: np.ndarray) -> int:
    """The number of connected components with at least one edge."""
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (n, n))
    count, _ = connected_components(graph, directed=False)
    return int(count) - (n - len(np.unique(edges)))


def by_angle(edges: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The rotation in which darts leave a site in the order of their angles; `steps` (e, 2), first to second end."""
    angle = np.arctan2(steps[:, 1], steps[:, 0])
    back = np.arctan2(-steps[:, 1], -steps[:, 0])
    angles = np.round(np.stack([angle, back], axis=1).ravel() % (2 * np.pi), 9) % round(2 * np.pi, 9)
    return cycles(edges.ravel(), np.lexsort((angles, edges.ravel())))


def cycles(sites: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The rotation that goes round each site's darts in `order`, which lists them site by site."""
    rotation = np.empty(len(order), np.int64)
    rotation[order[:-1]] = order[1:]
    if len(order):
        first = np.flatnonzero(np.diff(sites[order], prepend=-1))
        rotation[order[np.append(first[1:], len(order)) - 1]] = order[first]
    return rotation


def _nearest(steps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Steps that cross a periodic boundary, made short; steps of length one stay as they are."""
    sides = np.array(shape, float)
    return np.where(np.abs(steps) > 1, steps - np.sign(steps) * sides, steps)


def _lattice_steps(lattice: Lattice, edges: np.ndarray) -> np.ndarray:
    basis = 2 if lattice.kind == "honeycomb" else 1
    shape = lattice.shape if len(lattice.shape) == 2 else (1, lattice.shape[0])
    cells = np.stack(np.unravel_index(edges // basis, shape), axis=-1).astype(float)
    shift = (edges % basis / 3)[..., None]  # the second site of a honeycomb's cell lies inside it
    return _nearest(cells[:, 1] - cells[:, 0], shape) + shift[:, 1] - shift[:, 0]


def widths(n: int, edges: np.ndarray) -> list[int]:
    """Row lengths of a grid that the numbering suggests: common differences of ends, larger than one."""
    gaps, counts = np.unique(edges[:, 1] - edges[:, 0], return_counts=True)
    common = gaps[np.argsort(-counts, kind="stable")][:4]
    near = [int(g) + d for g in common for d in (0, 1, -1)]
    return [w for w in dict.fromkeys(near) if 1 < w < n and n % w == 0]


def grid_steps(n: int, edges: np.ndarray, width: int) -> np.ndarray:
    places = np.stack(np.divmod(edges, width), axis=-1).astype(float)
    return _nearest(places[:, 1] - places[:, 0], (n // width, width))


def _few_handles(n: int, edges: np.ndarray, best: np.ndarray | None, least: int) -> np.ndarray | None:
    """A drawing of genus below `least`; `best` when none is found."""
    whole = planar(n, edges)
    if whole is not None or least <= 1 or len(edges) > _MANY:
        return best if whole is None else whole
    order = np.argsort(-detours(n, edges), kind="stable")
    for handles in range(1, least):
        kept = np.sort(order[handles:])
        rotation = planar(n, edges[kept])
        if rotation is not None:
            return _with_handles(edges, kept, rotation, np.sort(order[:handles]))
    return best


@njit(cache=True, nogil=True)
def detours(n, edges):
    """For each edge the length of the shortest way between its ends that avoids it; 0 when there is none.

    It is n when more than `_LOOKED_AT` sites are closer, so that the cost stays linear.
    """
    start = np.zeros(n + 1, np.int64)
    for e in range(len(edges)):
        start[edges[e, 0] + 1] += 1
        start[edges[e, 1] + 1] += 1
    start = np.cumsum(start)
    fill, near = start[:-1].copy(), np.empty(2 * len(edges), np.int64)
    for e in range(len(edges)):
        for side in range(2):
            near[fill[edges[e, side]]] = 2 * e + 1 - side
            fill[edges[e, side]] += 1
    ends, seen, depth, queue = edges.copy().ravel(), np.full(n, -1), np.zeros(n, np.int64), np.empty(n, np.int64)
    detour = np.zeros(len(edges), np.int64)
    for e in range(len(edges)):
        seen[edges[e, 0]], depth[edges[e, 0]], queue[0], head, tail = e, 0, edges[e, 0], 0, 1
        while head < tail and seen[edges[e, 1]] != e:
            v = queue[head]
            head += 1
            if head > _LOOKED_AT:
                detour[e] = n
                break
            for k in range(start[v], start[v + 1]):
                w = ends[near[k]]
                if seen[w] != e and near[k] >> 1 != e:
                    seen[w], depth[w], queue[tail] = e, depth[v] + 1, w
                    tail += 1
        if seen[edges[e, 1]] == e:
            detour[e] = depth[edges[e, 1]]
    return detour


def _with_handles(edges: np.ndarray, kept: np.ndarray, rotation: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The drawing of the kept edges, with the others put in, inside one face where both ends have a corner there."""
    darts = np.stack([2 * kept, 2 * kept + 1], axis=1).ravel()
    whole = np.arange(2 * len(edges))  # a site's only dart follows itself
    whole[darts] = darts[rotation]
    there = np.zeros(2 * len(edges), np.bool_)
    there[darts] = True
    sites = edges.ravel()
    for e in others.tolist():
        face, corners = faces(whole)[0], [np.flatnonzero(there & (sites == v)) for v in edges[e]]
        for side, (h, others_h) in enumerate(zip((2 * e, 2 * e + 1), corners, strict=True)):
            if len(others_h):  # the corner between a dart and the next one lies in the face on the dart's left
                shared = others_h[np.isin(face[others_h], face[corners[1 - side]])]
                after = (shared if len(shared) else others_h)[0]
                whole[h], whole[after] = whole[after], h
        there[[2 * e, 2 * e + 1]] = True
    return whole


def planar(n: int, edges: np.ndarray) -> np.ndarray | None:
    """A planarity test: the rotation of a planar drawing, None when there is none."""
    if len(edges) > max(3 * n - 6, 1):  # more than any planar graph has
        return None
    networkx = extra("networkx", "graphs")
    graph = networkx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(edges.tolist())
    is_planar, embedding = networkx.check_planarity(graph)
    if not is_planar:
        return None
    dart = {
        pair: h for h, pair in enumerate(map(tuple, np.stack([edges, edges[:, ::-1]], axis=1).reshape(-1, 2).tolist()))
    }
    order = [dart[v, w] for v in range(n) for w in embedding.neighbors_cw_order(v)]
    return cycles(edges.ravel(), np.array(order, np.int64))
