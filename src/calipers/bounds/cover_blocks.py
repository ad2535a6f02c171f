"""Disjoint blocks of any Ising model: strips of a lattice, or what `cover.covers` finds in another graph."""

import numpy as np

from calipers.bounds.cover import covers
from calipers.bounds.cover_lattice import is_strippable, sweep_rank, tiles, whole_width
from calipers.bounds.region_layout import Pairs, Region
from calipers.models.ising import Ising


def blocks_of(model: Ising, width: int, *, cut: bool) -> tuple[Pairs, np.ndarray, list[Region]]:
    """Pairs, an elimination order (the place of each site) and blocks that meet at most about `width` sites at once.

    With `cut`, every edge that is left over joins two blocks (`cover_lattice.tiles`).
    """
    pairs = Pairs.of(model.n, model.edges, np.zeros((0, 2), np.int64))
    if is_strippable(model) and model.lattice is not None:
        return pairs, sweep_rank(model.lattice), list(tiles(model.lattice, pairs, width, cut=cut))
    scopes = [tuple(edge) for edge in np.asarray(model.edges).tolist()]
    cover = covers(model.domains, scopes, 2.0 ** (width + 1), model.beta * np.abs(model.couplings))[0]
    rank, mask = np.empty(model.n, np.int64), np.zeros(model.n, bool)
    rank[np.concatenate([np.zeros(0, np.int64), *cover.orders])] = np.arange(model.n)
    return pairs, rank, [pairs.region(np.asarray(block), mask) for block in cover.blocks]


def widest(model: Ising) -> int:
    """A width at which nothing is left over."""
    return whole_width(model.lattice) if is_strippable(model) and model.lattice is not None else max(model.n, 1)
