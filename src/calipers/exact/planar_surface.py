"""Graphs drawn on a surface: faces, genus, and the signs that turn a sum over even subgraphs into Pfaffians.

A drawing is a *rotation*: edge e has two darts, 2e from its first to its second end and 2e + 1 back, and `rotation[h]`
is the next dart around the site that h leaves. The faces are the orbits of h → rotation⁻¹(h ^ 1), and

    sites − edges + faces = Σ_components (2 − 2 genus)                                                     (Euler)

Every face is a *city* of the dual graph, in which each of its darts is a terminal. Signs s_e of the edges are chosen
so that around every site of the original graph the alternating cycle is positive (Kasteleyn 1963). On a surface of
genus g there are 4^g inequivalent choices, one for each way to change signs along the 2g loops of a homology basis.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

_LONGEST = 8  # terminals of a city; longer faces are cut into a chain of small ones by edges of weight one


class Surface(NamedTuple):
    """A drawing ready for Pfaffians: `home` (d,) the city of each terminal, `place` (d,) its place there, `cities`.

    The first terminals are the darts of the graph; those of edges that cut faces follow. `signs` (4^g, edges, cutting
    ones included), one row for each of the inequivalent choices; `genus`, of all components together.
    """

    home: np.ndarray
    place: np.ndarray
    cities: int
    signs: np.ndarray
    genus: int


def faces(rotation: np.ndarray) -> tuple[np.ndarray, int]:
    """The face on the left of each dart, and their number."""
    label, _, count = orbits(_around_faces(rotation))
    return label, count


def genus(rotation: np.ndarray, components: int) -> int:
    """The genus of a drawing, that of all its components (of two sites and more) added up; 0 if it is planar."""
    sites = orbits(rotation)[2]
    return components - (sites - len(rotation) // 2 + faces(rotation)[1]) // 2


def surface(rotation: np.ndarray, most_genus: int = 0) -> Surface:
    """Cuts long faces and finds the signs.

    **Raises:** `ValueError` when the genus is more than `most_genus`.
    """
    around = _cut_faces(_around_faces(rotation))
    home, place, cities = orbits(around)
    corner = np.where(place[around] > place, 1, -1)  # the sign of the step from a terminal to the next in its city
    site, _, sites = orbits(around[np.arange(len(around)) ^ 1])
    signs, odd, loops = _solve(site, sites, home, cities, corner)
    if len(loops) > 2 * most_genus:
        raise ValueError(f"the drawing has genus {len(loops) // 2}; at most {most_genus} is allowed")
    if odd:
        raise AssertionError("the signs around some site cannot be made positive")
    choices = [signs]
    for loop in loops:
        choices += [np.where(loop, -row, row) for row in choices]
    return Surface(home, place, cities, np.array(choices), len(loops) // 2)


def _around_faces(rotation: np.ndarray) -> np.ndarray:
    inverse = np.empty_like(rotation)
    inverse[rotation] = np.arange(len(rotation))
    return inverse[np.arange(len(rotation)) ^ 1]


@njit(cache=True, nogil=True)
def orbits(permutation):
    """The orbit of each element, its place in the orbit, and the number of orbits."""
    label, place, count = np.full(len(permutation), -1), np.zeros(len(permutation), np.int64), 0
    for first in range(len(permutation)):
        if label[first] < 0:
            h, k = first, 0
            while label[h] < 0:
                label[h], place[h] = count, k
                h = permutation[h]
                k += 1
            count += 1
    return label, place, count


@njit(cache=True, nogil=True)
def _cut_faces(around):
    """Cuts each orbit longer than `_LONGEST` into a chain: two of its darts a link, and the edges that join links."""
    n = len(around)
    new = np.empty(3 * n + 8, np.int64)
    new[:n] = around
    used, done = n, np.zeros(n, np.bool_)
    for first in range(n):
        if done[first]:
            continue
        length, h = 0, first
        while not done[h]:
            done[h] = True
            length += 1
            h = around[h]
        if length <= _LONGEST:
            continue
        enter, h, left = -1, first, length
        while left > 0:  # a link: the edge from the link before, its own darts, the edge to the link after
            own = left if left <= 3 else 2
            begin = h
            for _ in range(own - 1):
                h = around[h]
            last, h = h, around[h]
            left -= own
            head = begin
            if enter >= 0:
                new[enter] = begin
                head = enter
            if left > 0:
                new[last] = used
                new[used] = head
                enter = used + 1
                used += 2
            else:
                new[last] = head
    return new[:used]


@njit(cache=True, nogil=True)
def _tree(nodes, ends, allowed):
    """A spanning forest by breadth-first search: visiting order, each node's parent and the edge to it (−1: root)."""
    degree = np.zeros(nodes + 1, np.int64)
    for e in range(len(allowed)):
        if allowed[e]:
            degree[ends[2 * e] + 1] += 1
            degree[ends[2 * e + 1] + 1] += 1
    start = np.cumsum(degree)
    fill, near = start[:-1].copy(), np.empty(start[-1], np.int64)
    for h in range(len(ends)):
        if allowed[h >> 1]:
            near[fill[ends[h]]] = h
            fill[ends[h]] += 1
    parent, edge, order = np.full(nodes, -2), np.full(nodes, -1), np.empty(nodes, np.int64)
    tail = 0
    for root in range(nodes):
        if parent[root] != -2:
            continue
        parent[root] = -1
        order[tail] = root
        head = tail
        tail += 1
        while head < tail:
            v = order[head]
            head += 1
            for k in range(start[v], start[v + 1]):
                w = ends[near[k] ^ 1]
                if parent[w] == -2:
                    parent[w], edge[w] = v, near[k] >> 1
                    order[tail] = w
                    tail += 1
    return order, parent, edge


@njit(cache=True, nogil=True)
def _solve(site, sites, home, cities, corner):
    """Signs of edges with every site's cycle positive; whether one is left over; a basis of loops, (2g, edges)."""
    edges = len(site) // 2
    want = np.full(sites, -1)  # the product that the signs around a site must have
    for h in range(2 * edges):
        want[site[h]] *= corner[h ^ 1] * (1 if h & 1 == 0 else -1)
    order, parent, edge = _tree(sites, site, np.ones(edges, np.bool_))
    signs, odd = np.ones(edges, np.int64), False
    in_tree = np.zeros(edges, np.bool_)
    for i in range(sites - 1, -1, -1):
        v = order[i]
        if edge[v] >= 0:
            in_tree[edge[v]] = True
            if want[v] < 0:
                signs[edge[v]] = -1
                want[parent[v]] *= -1
        elif want[v] < 0:
            odd = True
    _, _, co_edge = _tree(cities, home, ~in_tree)
    spare = ~in_tree
    for c in range(cities):
        if co_edge[c] >= 0:
            spare[co_edge[c]] = False
    found = np.flatnonzero(spare)
    loops = np.zeros((len(found), edges), np.bool_)
    for i in range(len(found)):
        loops[i, found[i]] = True
        for end in (2 * found[i], 2 * found[i] + 1):
            v = site[end]
            while edge[v] >= 0:
                loops[i, edge[v]] = ~loops[i, edge[v]]
                v = parent[v]
    return signs, odd, loops
