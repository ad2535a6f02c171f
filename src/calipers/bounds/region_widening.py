"""From regions to larger ones: shares and weights that are at least as good, to go on from.

Φ is jointly convex and homogeneous in shares and weights, hence subadditive:

    Φ_{w + w'}(θ + θ') ≤ Φ_w(θ) + Φ_{w'}(θ')

So when every old region is dealt out, in equal parts, to the new ones that hold all of it, the bound gets no worse (but
for a little of a fresh start that is mixed in).
Proves nothing by itself: any shares do. Cost: linear in the slots and in the pairs of an old and a new region.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from calipers.bounds.region import Regions, Split

_COLD = 0.1  # how much of a fresh start is mixed in, so that no weight is stuck at zero


class _Rows(NamedTuple):
    """What each region holds: slots, region by region; `of`, the site or pair of each; `start` (R+1,) cuts them."""

    of: np.ndarray
    start: np.ndarray
    items: int  # sites of the model, or pairs

    @property
    def matrix(self) -> csr_array:
        """1 where region r holds item i, (R, count)."""
        return csr_array((np.ones(len(self.of)), self.of, self.start), (len(self.start) - 1, self.items))


def widened(old: Regions, split: Split, new: Regions) -> np.ndarray | None:
    """Free numbers of `new`, larger regions of one model, at the `split` of `old`; None if an old one fits in none."""
    fits = _inside(_sites(old), _sites(new)) * _inside(_pairs(old), _pairs(new))
    source, target = fits.nonzero()
    share = np.bincount(source, minlength=fits.shape[0])
    if (share == 0).any():
        return None
    deal = source, target, 1.0 / share[source]
    fields = _dealt(split.fields, _sites(old), _sites(new), *deal)
    weights = _dealt(split.weights, _sites(old), _sites(new), *deal)
    couplings = _dealt(split.couplings, _pairs(old), _pairs(new), *deal)
    cold = new.start()
    logits = np.log((1.0 - _COLD) * weights + _COLD * new.spread(cold).weights)
    shares = np.concatenate([fields, couplings])
    return np.concatenate([(1.0 - _COLD) * shares + _COLD * cold[: len(shares)], logits])


def _sites(regions: Regions) -> _Rows:
    sizes = [np.full(len(g.sites), g.sites.shape[1]) for g in regions.groups]
    return _Rows(regions.site_of, np.concatenate([[0], np.cumsum(np.concatenate(sizes))]), regions.model.n)


def _pairs(regions: Regions) -> _Rows:
    sizes = [np.full(len(g.pairs), g.pairs.shape[1]) for g in regions.groups]
    return _Rows(regions.pair_of, np.concatenate([[0], np.cumsum(np.concatenate(sizes))]), len(regions.pairs.ends))


def _inside(old: _Rows, new: _Rows) -> csr_array:
    """1 where the new region holds all that the old one holds, (R_old, R_new)."""
    common = (old.matrix @ new.matrix.T).tocoo()
    size = np.diff(old.start)
    whole = common.data >= size[common.row] - 0.5
    empty = np.flatnonzero(size == 0)  # holds nothing, so every region holds it
    row = np.concatenate([common.row[whole], np.repeat(empty, common.shape[1])])
    column = np.concatenate([common.col[whole], np.tile(np.arange(common.shape[1]), len(empty))])
    return csr_array((np.ones(len(row)), (row, column)), common.shape)


def _dealt(
    values: np.ndarray, old: _Rows, new: _Rows, source: np.ndarray, target: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Values in the slots of `new`: what each old region has, times the share, to each new one that holds it."""
    length = np.diff(old.start)[source]
    slots = np.repeat(old.start[source] - np.cumsum(length) + length, length) + np.arange(length.sum())
    keys = np.repeat(np.arange(len(new.start) - 1), np.diff(new.start)) * new.items + new.of
    order = np.argsort(keys)
    places = order[np.searchsorted(keys[order], np.repeat(target, length) * new.items + old.of[slots])]
    return np.bincount(places, np.repeat(share, length) * values[slots], len(new.of))
