"""Graphs drawn on a surface, as combinatorics: nothing here is taken on trust, and nothing appeals to topology.

Edge e has two darts, 2e from its first to its second end and 2e + 1 back; `rotation[h]` is the next dart around the
site that h leaves. Faces are the orbits of h → rotation⁻¹(h ^ 1). A forest T of the graph and a forest of faces across
edges that are not in T leave *spare* edges, none exactly if Euler's formula says plane (or sphere) for every component.
Signs of edges are such that for every site the darts of its edges, brought from the order of their numbers to that
of faces, make a permutation whose sign times those of the edges is +1 (docs/theorems.md, Theorem P2). Loops, edges
from a site to itself, count nowhere.
"""

import numpy as np

from calipers_check.errors import Reject


class Drawing:
    """`face` and `place` of each dart, as lists; `signs` of edges; `loops`, the cycles of spare edges; `components`."""

    def __init__(self, sites: int, edges: np.ndarray, rotation: np.ndarray):
        darts = 2 * len(edges)
        if ((edges < 0) | (edges >= sites)).any():
            raise Reject("the drawing has an edge that ends at no site")
        if not np.array_equal(np.sort(rotation), np.arange(darts)):
            raise Reject("the drawing's rotation is no permutation of its darts")
        self.origin = edges.ravel().tolist()
        _check_sites(self.origin, rotation.tolist())
        inverse = np.empty(darts, np.int64)
        inverse[rotation] = np.arange(darts)
        self.face, self.place, self.faces = _orbits(inverse[np.arange(darts) ^ 1].tolist())
        self.order, self.parent, self.up = _forest(sites, self.origin, [True] * len(edges))
        self.depth = [0] * sites
        for v in self.order:
            self.depth[v] = 0 if self.up[v] < 0 else self.depth[self.parent[v]] + 1
        self.components = sum(self.up[v] < 0 for v in set(self.origin))
        self.signs = self._signs(sites)
        self.loops = self._loops()

    def _signs(self, sites: int) -> list[int]:
        wanted = self._wanted(sites)
        signs = [1] * (len(self.origin) // 2)
        for v in reversed(self.order):
            if self.up[v] < 0:
                if wanted[v] < 0:
                    raise Reject("the drawing's edges have no signs that make every site even")
            elif wanted[v] < 0:
                signs[self.up[v]] = -1
                wanted[self.parent[v]] *= -1
        return signs

    def _wanted(self, sites: int) -> list[int]:
        """For each site, the sign of the permutation that brings its edges' darts into the order of faces."""
        around: list[list[int]] = [[] for _ in range(sites)]
        for e in range(len(self.origin) // 2):
            i, j = self.origin[2 * e], self.origin[2 * e + 1]
            if i != j:
                around[i] += [2 * e, 2 * e + 1]
                around[j] += [2 * e, 2 * e + 1]
        return [_parity([(self.face[h], self.place[h]) for h in darts]) for darts in around]

    def _loops(self) -> list[set[int]]:
        """For each spare edge, the edges of the loop that it closes in the forest."""
        tree = {e for e in self.up if e >= 0}
        allowed = [e not in tree for e in range(len(self.origin) // 2)]
        across = {e for e in _forest(self.faces, self.face, allowed)[2] if e >= 0}
        spare = [e for e, free in enumerate(allowed) if free and e not in across]
        return [{e} ^ self.path(self.origin[2 * e], self.origin[2 * e + 1]) for e in spare]

    def path(self, i: int, j: int) -> set[int]:
        """The edges of the forest between two sites of one component."""
        found = set()
        while i != j:
            if self.depth[i] < self.depth[j]:
                i, j = j, i
            if self.up[i] < 0:
                raise Reject("the drawing does not connect the ends of an edge that is summed over")
            found.add(self.up[i])
            i = self.parent[i]
        return found


def _check_sites(origin: list[int], rotation: list[int]) -> None:
    """Each site's darts must be one orbit of the rotation."""
    _, _, orbits = _orbits(rotation)
    if orbits != len(set(origin)) or any(origin[h] != origin[rotation[h]] for h in range(len(origin))):
        raise Reject("the drawing's rotation does not go round one site at a time")


def _orbits(permutation: list[int]) -> tuple[list[int], list[int], int]:
    """The orbit of each element, its place in the orbit, and the number of orbits."""
    label, place, count = [-1] * len(permutation), [0] * len(permutation), 0
    for first in range(len(permutation)):
        h, k = first, 0
        while label[h] < 0:
            label[h], place[h] = count, k
            h, k = permutation[h], k + 1
        count += k > 0
    return label, place, count


def _forest(nodes: int, ends: list[int], allowed: list[bool]) -> tuple[list[int], list[int], list[int]]:
    """A spanning forest along allowed edges: nodes from the roots down, each one's parent, the edge to it (or −1)."""
    near: list[list[int]] = [[] for _ in range(nodes)]
    for h, v in enumerate(ends):
        if allowed[h >> 1]:
            near[v].append(h)
    parent, up, order = [-1] * nodes, [-1] * nodes, []
    seen = [False] * nodes
    for root in range(nodes):
        if seen[root]:
            continue
        seen[root] = True
        queue = [root]
        for v in queue:  # which grows
            for h in near[v]:
                w = ends[h ^ 1]
                if not seen[w]:
                    seen[w], parent[w], up[w] = True, v, h >> 1
                    queue.append(w)
        order += queue
    return order, parent, up


def _parity(keys: list[tuple[int, int]]) -> int:
    """The sign of the permutation that sorts the keys, which are distinct."""
    target, sign = sorted(range(len(keys)), key=keys.__getitem__), 1
    seen = [False] * len(keys)
    for first in range(len(keys)):
        i = first
        while not seen[i]:
            seen[i] = True
            i = target[i]
            sign = -sign if i != first else sign
    return sign
