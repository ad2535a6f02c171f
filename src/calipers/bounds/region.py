"""Regions that share out an Ising model: the decomposition bound, for any regions, shares and weights.

    log Z ≤ Σ_r Φ_{w_r}(θ_r),   Σ_r θ_r = θ,   Σ_r w_{r,i} = 1 for every site i                           (Hölder)

Φ_w eliminates the region's sites in one global order, site i by a power sum with weight w_i. **Proves** an upper bound
at any shares and weights (docs/theorems.md, Theorem 11). They are improved by Adam with cosine decay: ∂Φ/∂θ are the
region's moments, ∂Φ/∂w its conditional entropies, and the bound is jointly convex in (θ, w). **Cost** about 8 ns for
each entry of each message and step. **Source** Globerson & Jaakkola 2007; Liu & Ihler 2011; Ping, Liu & Ihler 2015.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from calipers.bounds.region_kernels import evaluate
from calipers.bounds.region_layout import Group, Pairs, Region, grouped
from calipers.exact.kernels import ULP
from calipers.models.ising import Ising

_DEEP = 20  # steps from a region's boundary beyond which all sites count alike


class Split(NamedTuple):
    """How a model is shared out: a field and a weight for each site of each region, a coupling for each of its pairs.

    Flat arrays over slots, region by region, in the regions' own order.
    """

    fields: np.ndarray
    couplings: np.ndarray
    weights: np.ndarray


class Regions:
    """The regions of one model, and the sums that their shares must make.

    **Arguments:** `model`; `pairs`; `rank`, each site's place in the elimination order; `regions`, which must hold
    every site and every edge.

    **Raises:** `ValueError` when a site or an edge is in no region.
    """

    def __init__(self, model: Ising, pairs: Pairs, rank: np.ndarray, regions: Iterable[Region]):
        self.model, self.pairs, self.rank = model, pairs, rank
        self.groups = groups = grouped(pairs, rank, regions)
        self.field = model.beta * np.asarray(model.fields)
        self.coupling = np.zeros(len(pairs.ends))
        self.coupling[: pairs.edges] = model.beta * np.asarray(model.couplings)
        none = [np.zeros(0, np.int64)]
        self.site_of = np.concatenate(none + [g.sites.ravel() for g in groups])
        self.pair_of = np.concatenate(none + [g.pairs.ravel() for g in groups])
        self.site_count = np.bincount(self.site_of, minlength=model.n)
        self.pair_count = np.bincount(self.pair_of, minlength=len(pairs.ends))
        if not (self.site_count.all() and self.pair_count[: pairs.edges].all()):
            raise ValueError("regions must hold every site and every edge of the model")
        self.ends = np.concatenate(none + [_slots(pairs, g).ravel() for g in groups]).reshape(-1, 2)
        starts = np.cumsum([0, *(g.sites.size for g in groups)])
        shift = np.repeat(starts[:-1], [g.pairs.size for g in groups])
        self.ends += shift[:, None]
        self.cells = sum(g.cells for g in groups)

    @property
    def width(self) -> int:
        """Sites in the largest joint table."""
        return 1 + max((int(g.template.width.max()) for g in self.groups), default=0)

    def start(self) -> np.ndarray:
        """Free numbers to begin from: weights by how deep in its region a site lies, shares in proportion to them."""
        logits = np.log1p(self._depth())
        weights = self._normal(logits)
        fields = weights * self.field[self.site_of]
        share = np.sqrt(weights[self.ends].prod(1))
        total = np.bincount(self.pair_of, share, len(self.pairs.ends))
        return np.concatenate([fields, share / total[self.pair_of] * self.coupling[self.pair_of], logits])

    def _depth(self) -> np.ndarray:
        """Steps inside its region from each site to one with a neighbour outside it, at most 20."""
        edges = self.ends[self.pair_of < self.pairs.edges]
        held = np.bincount(edges.ravel(), minlength=len(self.site_of))
        degree = np.bincount(self.pairs.ends[: self.pairs.edges].ravel(), minlength=self.model.n)
        depth = np.where(held < degree[self.site_of], 0, _DEEP)
        for _ in range(_DEEP):
            near = depth.copy()
            np.minimum.at(near, edges[:, 0], depth[edges[:, 1]] + 1)
            np.minimum.at(near, edges[:, 1], depth[edges[:, 0]] + 1)
            if (near == depth).all():
                break
            depth = near
        return depth

    def _normal(self, logits: np.ndarray) -> np.ndarray:
        """Weights that add up to 1 at each site."""
        positive = np.exp(np.clip(logits, -30.0, 30.0))
        return positive / self._at_sites(positive)[self.site_of]

    def spread(self, free: np.ndarray) -> Split:
        """Shares and weights from free numbers (fields, couplings, logits of weights): any numbers do."""
        s, e = len(self.site_of), len(self.pair_of)
        fields, couplings, logits = free[:s], free[s : s + e], free[s + e :]
        missing = (self.field - self._at_sites(fields)) / self.site_count
        lacking = (self.coupling - self._at_pairs(couplings)) / np.maximum(self.pair_count, 1)
        return Split(fields + missing[self.site_of], couplings + lacking[self.pair_of], self._normal(logits))

    def _at_sites(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.site_of, values, self.model.n)

    def _at_pairs(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.pair_of, values, len(self.pairs.ends))

    def slope(self, split: Split, slope: Split) -> np.ndarray:
        """The gradient with respect to the free numbers of `spread`."""
        fields = slope.fields - (self._at_sites(slope.fields) / self.site_count)[self.site_of]
        mean = self._at_pairs(slope.couplings) / np.maximum(self.pair_count, 1)
        weights = split.weights * (slope.weights - self._at_sites(split.weights * slope.weights)[self.site_of])
        return np.concatenate([fields, slope.couplings - mean[self.pair_of], weights])

    def evaluate(self, split: Split) -> tuple[float, float, Split]:
        """The sum of all Φ, its rounding estimate, and its gradient with respect to fields, couplings and weights."""
        slope = Split(*(np.empty_like(x) for x in split))
        shed, sizes = np.empty_like(split.fields), np.empty_like(split.fields)
        site, pair = 0, 0
        for group in self.groups:
            here, there = group.sites.shape, group.pairs.shape
            rows, links = slice(site, site + group.sites.size), slice(pair, pair + group.pairs.size)
            where = ((rows, here), (links, there), (rows, here))
            parts = Split(*(x[at].reshape(shape) for x, (at, shape) in zip(split, where, strict=True)))
            slopes = Split(*(x[at].reshape(shape) for x, (at, shape) in zip(slope, where, strict=True)))
            evaluate(group.template, parts, slopes, shed[rows].reshape(here), sizes[rows].reshape(here))
            site, pair = rows.stop, links.stop
        return math.fsum(shed), self._rounding(split, shed, sizes), slope

    def _rounding(self, split: Split, shed: np.ndarray, sizes: np.ndarray) -> float:
        """Power sums do not expand errors, so those of all steps add up: about 24 roundings of what a step adds.

        The float shares and weights miss their sums by a few units each, and each costs at most its size.
        """
        moved = float(np.abs(split.fields).sum() + np.abs(split.couplings).sum())
        entries = 24.0 * float(np.abs(shed).sum() + 2.0 * sizes.sum() + len(sizes)) + 8.0 * self.width * moved
        own = float(np.abs(self.field).sum() + np.abs(self.coupling).sum())
        most = float(max(self.site_count.max(initial=1), self.pair_count.max(initial=1)))
        return ULP * (entries + (8.0 + 2.0 * most) * (moved + own + len(self.site_of)))


def _slots(pairs: Pairs, group: Group) -> np.ndarray:
    """The two slots of each pair of each region of a group, counted within the group, (R, e, 2)."""
    k = group.sites.shape[1]
    if not group.pairs.size:
        return np.zeros((len(group.sites), 0, 2), np.int64)
    first, order = group.sites[0], np.argsort(group.sites[0])
    places = order[np.searchsorted(first[order], pairs.ends[group.pairs[0]])]
    return places[None] + (np.arange(len(group.sites)) * k)[:, None, None]
