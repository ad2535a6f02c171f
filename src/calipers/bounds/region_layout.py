"""Regions of an Ising model laid out for elimination: regions of one shape share one template.

A region is a set of sites and the model's edges among them; all regions eliminate their sites in one global order, as
Hölder's inequality with a weight a site asks. Beside the edges, pairs of sites that meet in a bucket anyway may carry
couplings that add up to zero over the regions: they cost nothing and tighten the bound. Structure only: integers.
Cost: a few µs a site and edge, and the symbolic elimination of each distinct shape.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from calipers.bounds.region_kernels import Template


class Region(NamedTuple):
    """Sites, the model's edges among them that it holds, and further pairs that it would like to hold."""

    sites: np.ndarray
    edges: np.ndarray
    pairs: np.ndarray


class Group(NamedTuple):
    """R regions of one template: `sites` (R, k) in elimination order, `pairs` (R, e): edges and further pairs."""

    template: Template
    sites: np.ndarray
    pairs: np.ndarray

    @property
    def cells(self) -> float:
        """Message entries of all its regions."""
        return float(self.template.place[-1]) * len(self.sites)


class Pairs(NamedTuple):
    """Pairs of sites `ends` (p, 2), of which the first `edges` are the model's edges; and where each site's pairs are.

    `start` (n+1,) cuts `incident`, the numbers of the pairs at each site.
    """

    ends: np.ndarray
    edges: int
    start: np.ndarray
    incident: np.ndarray

    @classmethod
    def of(cls, n: int, edges: np.ndarray, more: np.ndarray) -> "Pairs":
        """The edges, and those of `more`, (q, 2), that are not edges, each once."""
        codes = np.unique(np.minimum(*more.T) * n + np.maximum(*more.T)) if len(more) else np.zeros(0, np.int64)
        known = edges.min(1) * n + edges.max(1) if len(edges) else codes[:0]
        codes = codes[~np.isin(codes, known)]
        ends = np.concatenate([edges, np.stack(np.divmod(codes, max(n, 1)), 1)])
        flat = ends.ravel()
        order = np.argsort(flat, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=n))])
        return cls(ends, len(edges), start, order // 2)

    def region(self, sites: np.ndarray, mask: np.ndarray, refused: np.ndarray | None = None) -> Region:
        """The region on `sites` with all pairs among them but the `refused`, (p,); `mask`, (n,) False, is scratch."""
        count = self.start[sites + 1] - self.start[sites]
        first = np.repeat(self.start[sites] - np.cumsum(count) + count, count)
        near = np.unique(self.incident[first + np.arange(len(first))])
        mask[sites] = True
        inside = mask[self.ends[near]].all(1)
        mask[sites] = False
        near = near[inside if refused is None else inside & ~refused[near]]
        return Region(sites, near[near < self.edges], near[near >= self.edges])


def second_neighbours(n: int, edges: np.ndarray, most: int = 32) -> np.ndarray:
    """Pairs of sites with a neighbour in common, (q, 2); none of sites with more than `most` neighbours."""
    head, tail = np.concatenate([edges, edges[:, ::-1]]).T if len(edges) else (np.zeros(0, np.int64),) * 2
    order = np.argsort(head, kind="stable")
    tail, degree = tail[order], np.bincount(head, minlength=n)
    start = np.cumsum(degree) - degree
    found = [np.zeros((0, 2), np.int64)]
    for d in np.unique(degree[(degree > 1) & (degree <= most)]).tolist():
        around = tail[start[degree == d][:, None] + np.arange(d)]
        found += [np.stack([around[:, i], around[:, j]], 1) for i in range(d) for j in range(i)]
    return np.concatenate(found)


def grouped(pairs: Pairs, rank: np.ndarray, regions: Iterable[Region]) -> list[Group]:
    """Puts regions of one shape together.

    **Arguments:** `rank` (n,), each site's place in the global elimination order.
    """
    members: dict[tuple, list[tuple[np.ndarray, np.ndarray]]] = {}
    free: dict[tuple, np.ndarray] = {}
    for region in regions:
        sites = region.sites[np.argsort(rank[region.sites])]
        edges, ends = _sorted(pairs, rank, sites, region.edges)
        more, more_ends = _sorted(pairs, rank, sites, region.pairs)
        key = (len(sites), ends.tobytes(), more_ends.tobytes())
        if key not in free:
            free[key] = _meeting(len(sites), ends, more_ends)
        members.setdefault(key, []).append((sites, np.concatenate([edges, more[free[key]]])))
    groups = []
    for (k, ends, more), rows in members.items():
        kept = np.concatenate([_ends(ends), _ends(more)[free[k, ends, more]]])
        by = np.lexsort(kept.T[::-1])  # by first end; the nearest later end first, which is the highest bit
        template = build_template(k, _ends(ends), kept[by])
        groups.append(Group(template, np.stack([s for s, _ in rows]), np.stack([e[by] for _, e in rows])))
    return groups


def _ends(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.int64).reshape(-1, 2)


def _sorted(pairs: Pairs, rank: np.ndarray, sites: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of pairs and their ends as places in the region's order, ascending."""
    ends = np.sort(np.searchsorted(rank[sites], rank[pairs.ends[held]]).reshape(-1, 2), axis=1)
    by = np.lexsort(ends.T[::-1])
    return held[by], np.ascontiguousarray(ends[by])


def _meeting(k: int, ends: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Which of the pairs `more` meet in a bucket of the region with these edges."""
    rests = [set(rest) for rest in scopes(k, ends)[0]]
    return np.array([b in rests[a] for a, b in more.tolist()], bool)


def scopes(k: int, ends: np.ndarray) -> tuple[list[list[int]], list[list[int]]]:
    """The scope of each site's message, ascending, and the sites whose messages it multiplies."""
    later: list[set[int]] = [set() for _ in range(k)]
    for a, b in ends.tolist():
        later[a].add(b)
    children: list[list[int]] = [[] for _ in range(k)]
    rests = []
    for v in range(k):
        rest = sorted(later[v])
        rests.append(rest)
        if rest:
            later[rest[0]].update(rest[1:])
            children[rest[0]].append(v)
    return rests, children


def build_template(k: int, ends: np.ndarray, pairs: np.ndarray) -> Template:
    """The elimination of a region of `k` sites with edges `ends`, whose couplings sit on `pairs`, sorted, a < b."""
    rests, children = scopes(k, ends)
    width = np.array([len(rest) for rest in rests], np.int64)
    message, scratch = _allocated((2**width).tolist(), children)
    place = [{u: len(rest) - 1 - i for i, u in enumerate(rest)} for rest in rests]
    pool: dict[tuple[int, ...], int] = {}
    tables: list[np.ndarray] = []
    length, pattern = 0, []
    for v in range(k):
        for c in children[v]:
            held = tuple(place[v][u] for u in rests[c][1:])
            key = (len(rests[v]), *held)
            if key not in pool:
                pool[key] = length
                tables.append(_deposit(len(rests[v]), held))
                length += len(tables[-1])
            pattern.append(pool[key])
    integers = lambda values: np.array(values, np.int64)  # noqa: E731
    return Template(
        width,
        integers(message),
        np.concatenate([[0], np.cumsum(2**width)]).astype(np.int64),
        np.searchsorted(pairs[:, 0], np.arange(k + 1)).astype(np.int64),
        np.arange(len(pairs), dtype=np.int64),
        integers([place[a][b] for a, b in pairs.tolist()]),
        np.concatenate([[0], np.cumsum([len(c) for c in children])]).astype(np.int64),
        integers([c for group in children for c in group]),
        integers(pattern),
        np.concatenate([np.zeros(0, np.int64), *tables]),
        scratch,
    )


def _allocated(lengths: list[int], children: list[list[int]]) -> tuple[list[int], int]:
    """Places of messages in a scratch, and its size; a place that is free again goes to the next of its size."""
    free: dict[int, list[int]] = {}
    places, top = [], 0
    for length, consumed in zip(lengths, children, strict=True):
        if free.get(length):
            places.append(free[length].pop())
        else:
            places.append(top)
            top += length
        for c in consumed:
            free.setdefault(lengths[c], []).append(places[c])
    return places, top


def _deposit(m: int, held: Sequence[int]) -> np.ndarray:
    """For each state of a scope of m sites the entry of a message on the sites at places `held`, highest first."""
    states, out = np.arange(1 << m), np.zeros(1 << m, np.int64)
    for i, bit in enumerate(held):
        out |= (states >> bit & 1) << (len(held) - 1 - i)
    return out
