"""Blocks that are drawn exactly given all else: a partition of a magnet's sites into sets of small elimination width.

A block takes a site if, eliminated in the reverse order of arrival, no site of the block would have more than `width`
earlier neighbours: width 1 makes forests, width w also strips of a lattice w wide. The filled graph is kept while
sites arrive: the newcomer's neighbours become a clique, which the latest of them passes on. What one block refuses
goes to the next. On lattices sites arrive strip by strip (width 1: row by row), every other strip first; on other
graphs depth first.
**Cost** O(n w × the depth that fill reaches).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.models.ising import Ising
from calipers.sampling.neighbours import Neighbours


class Blocks(NamedTuple):
    """Sites block by block in the order in which they are eliminated, with their later neighbours in the filled graph.

    `later` (n, width), the first `degree` (n,) of each, are sites of the same block; `ends` (blocks + 1,) into `order`.
    """

    order: np.ndarray
    ends: np.ndarray
    later: np.ndarray
    degree: np.ndarray


def blocks(magnet: Ising, wiring: Neighbours, width: int) -> Blocks:
    """A partition into blocks of elimination width at most `width`."""
    n, left = magnet.n, arrivals(magnet, wiring, width)
    rank = np.full(n, -1)
    later, count, order, ends = np.full((n, width), -1), np.zeros(n, np.int64), [], [0]
    while len(left):
        taken = _fill(left, wiring.ptr, wiring.nbr, rank, later, count, width)
        order.append(left[taken][::-1])
        ends.append(ends[-1] + int(taken.sum()))
        rank[left[taken]] = -1  # no longer there for the next block
        left = left[~taken]
    return Blocks(np.concatenate([*order, np.zeros(0, np.int64)]), np.array(ends), later, count)


def arrivals(magnet: Ising, wiring: Neighbours, width: int) -> np.ndarray:
    """The order in which sites are offered to blocks, (n,)."""
    lattice = magnet.lattice
    if lattice is None or lattice.kind not in ("square", "cubic", "hypercubic", "triangular"):
        return _depth_first(wiring.ptr, wiring.nbr)
    sides = len(lattice.shape) - 1
    thick = max(1, math.floor(width ** (1 / max(1, sides)) + 1e-9))
    *across, along = np.indices(lattice.shape).reshape(sides + 1, -1)
    strip, inside = [a // thick for a in across], [a % thick for a in across]
    return np.lexsort([*inside, along, *strip, sum(strip, np.zeros_like(along)) % 2])  # the last counts most


@njit(cache=True, nogil=True)
def _depth_first(ptr, nbr):
    """Sites depth first, component by component."""
    n = len(ptr) - 1
    order, seen, filled = np.empty(n, np.int64), np.zeros(n, np.bool_), 0
    stack = np.empty(n + len(nbr), np.int64)
    for root in range(n):
        stack[0], height = root, 1
        while height:
            height -= 1
            i = stack[height]
            if seen[i]:
                continue
            seen[i], order[filled] = True, i
            filled += 1
            for e in range(ptr[i], ptr[i + 1]):
                if not seen[nbr[e]]:
                    stack[height] = nbr[e]
                    height += 1
    return order


@njit(cache=True, nogil=True)
def _fill(offered, ptr, nbr, rank, later, count, width):
    """Which of the sites offered make a block; their earlier neighbours in the filled graph go to `later`, `count`.

    `rank` is −1 for sites that are not in the block, and becomes the number of a site's arrival.
    """
    taken = np.zeros(len(offered), np.bool_)
    changed, had = np.empty(len(offered), np.int64), np.empty(len(offered), np.int64)
    clique, arrived = np.empty(2 * width + 1, np.int64), 0
    for k in range(len(offered)):
        v, size, good, undo = offered[k], 0, True, 0
        for e in range(ptr[v], ptr[v + 1]):
            if rank[nbr[e]] >= 0:
                if size == width:
                    good = False
                    break
                clique[size] = nbr[e]
                size += 1
        if not good:
            continue
        later[v, :size], first = clique[:size], size
        while size > 1 and good:  # the latest of a clique has all others of it among its earlier neighbours
            top = 0
            for a in range(1, size):
                if rank[clique[a]] > rank[clique[top]]:
                    top = a
            u = clique[top]
            clique[top] = clique[size - 1]
            size -= 1
            before = count[u]
            changed[undo], had[undo] = u, before
            undo += 1
            for a in range(size):
                known = False
                for b in range(count[u]):
                    known |= later[u, b] == clique[a]
                if not known:
                    if count[u] == width:
                        good = False
                        break
                    later[u, count[u]] = clique[a]
                    count[u] += 1
            if count[u] == before:
                break  # nothing new: whoever is above has it all
            size = count[u]
            clique[:size] = later[u, :size]
        if good:
            taken[k], rank[v], count[v] = True, arrived, first
            arrived += 1
        else:
            for a in range(undo - 1, -1, -1):
                count[changed[a]] = had[a]
    return taken
