"""The witness of a decomposition into regions: mini-buckets that never merge between regions.

Every region's elimination is a tree of buckets of its own; an edge's or a site's own factor sits in the first region
that holds it, with an extra table for what the region's share differs by, and the other regions have extra tables only.
"""

import numpy as np

from calipers.bounds.region import Regions, Split
from calipers.bounds.region_layout import Group
from calipers.core.witness import Bucket, Decomposition

AGREE = np.array([[1.0, -1.0], [-1.0, 1.0]])


def witness(regions: Regions, split: Split) -> Decomposition:
    """What a certificate of the bound at `split` needs."""
    site = regions.site_of
    order = np.argsort(regions.rank[site], kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    shift = np.cumsum([0, *(g.sites.size for g in regions.groups)]).tolist()
    parents = np.concatenate([order[:0], *(_parents(g, at) for g, at in zip(regions.groups, shift, strict=False))])
    parents = np.where(parents < 0, -1, place[parents])
    factors, extra = _pair_tables(regions, split, place)
    own = np.unique(site, return_index=True)[1]  # the first slot of each site
    residual = split.fields.copy()
    residual[own] -= regions.field
    for v, slot in enumerate(own.tolist()):
        factors[slot].append(regions.pairs.edges + v)
    for slot, (v, h) in enumerate(zip(site.tolist(), residual.tolist(), strict=True)):
        if h != 0.0:
            extra[slot].append(((v,), np.array([h, -h])))
    buckets = [
        Bucket(int(site[i]), float(split.weights[i]), tuple(factors[i]), tuple(extra[i]), int(parents[i]))
        for i in order.tolist()
    ]
    return Decomposition((np.arange(2),) * regions.model.n, tuple(buckets))


def _pair_tables(regions: Regions, split: Split, place: np.ndarray) -> tuple[list[list[int]], list[list]]:
    """For each slot the factors of edges that it lists, and its extra tables on pairs."""
    site, edges = regions.site_of.tolist(), regions.pairs.edges
    factors: list[list[int]] = [[] for _ in site]
    extra: list[list] = [[] for _ in site]
    seen: set[int] = set()
    rows = zip(regions.pair_of.tolist(), regions.ends.tolist(), split.couplings.tolist(), strict=True)
    for pair, (a, b), share in rows:
        first, second = (a, b) if place[a] < place[b] else (b, a)
        if pair < edges and pair not in seen:
            seen.add(pair)
            factors[first].append(pair)
            share -= float(regions.coupling[pair])
        if share != 0.0:
            extra[first].append(((site[first], site[second]), share * AGREE))
    return factors, extra


def _parents(group: Group, at: int) -> np.ndarray:
    """For each slot of a group, which begins at slot `at`, the slot that receives its message, or −1; flat."""
    template, (count, k) = group.template, group.sites.shape
    parent = np.full(k, -1)
    parent[template.child] = np.repeat(np.arange(k), np.diff(template.child_ptr))
    start = at + k * np.arange(count)[:, None]
    return np.where(parent < 0, -1, parent + start).ravel()
