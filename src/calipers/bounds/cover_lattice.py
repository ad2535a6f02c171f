"""Regions for lattices: overlapping strips, tubes and boxes, swept along the longest side.

A strip runs along the whole of the longest side; across, it is a box of cells at every offset (wrapping where the
lattice does), so that eliminating it site by site meets about as many sites at once as the box has. A lattice that is
periodic along the sweep is cut there, at its seam: strips leave the seam's edges out, and boxes astride the seam, half
as wide because they are open on both sides, hold those. Tiles are disjoint strips. Proves nothing; any regions will do.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from calipers.bounds.region_layout import Pairs, Region
from calipers.models.ising import Ising
from calipers.models.lattices import GRAPHS, Lattice


def sweep_rank(lattice: Lattice) -> np.ndarray:
    """The elimination order of strips: along the longest side, then across; shape (n,)."""
    cells = np.moveaxis(_sites(lattice), _sweep(lattice), 0).ravel()
    rank = np.empty(lattice.n, np.int64)
    rank[cells] = np.arange(lattice.n)
    return rank


def is_strippable(model: Ising) -> bool:
    """Whether the model is a lattice with sides."""
    return model.lattice is not None and model.lattice.kind not in GRAPHS


def least_width(lattice: Lattice) -> int:
    """Sites of the smallest box that holds a bond in every direction across the sweep."""
    across = [min(side, 2) for axis, side in enumerate(lattice.shape) if axis != _sweep(lattice)]
    return math.prod(across) * _basis(lattice)


def most_width(lattice: Lattice) -> int:
    """Sites across the whole lattice: strips of that width hold everything, but for a seam."""
    return lattice.n // lattice.shape[_sweep(lattice)]


def whole_width(lattice: Lattice) -> int:
    """The width from which one strip holds everything, its seam too."""
    return most_width(lattice) * (2 if lattice.periodic and max(lattice.shape) > 2 else 1)


def widths(lattice: Lattice) -> Iterator[int]:
    """Widths of strips that hold each other, from the least on: the shortest side across grows, the only one by two."""
    across = [side for axis, side in enumerate(lattice.shape) if axis != _sweep(lattice)]
    sides, whole = [min(2, side) for side in across], whole_width(lattice)
    while math.prod(sides) * _basis(lattice) < most_width(lattice):
        yield math.prod(sides) * _basis(lattice)
        room = [a for a, side in enumerate(across) if sides[a] < side]
        axis = min(room, key=sides.__getitem__)
        sides[axis] = min(sides[axis] + (2 if len(across) == 1 else 1), across[axis])
    yield from sorted({most_width(lattice), whole})


def strips(lattice: Lattice, pairs: Pairs, width: int) -> Iterator[Region]:
    """Strips whose boxes have at most `width` sites across (at least `least_width`), and boxes astride the seam."""
    sites = np.moveaxis(_sites(lattice), _sweep(lattice), 0)
    length, across = sites.shape[0], sites.shape[1:-1]
    mask, column = np.zeros(lattice.n, bool), _columns(sites)
    ring = lattice.periodic and length > 2 and width < whole_width(lattice)
    seam = _crossing(column, pairs.ends, length) if ring else None
    for box in _boxes(across, _sides(across, width // _basis(lattice)), lattice.periodic):
        yield pairs.region(sites[np.ix_(np.arange(length), *box)].ravel(), mask, seam)
    if seam is None:
        return
    sides = _sides(across, max(width // 2, least_width(lattice)) // _basis(lattice))
    half = max(1, max(sides, default=1)) if width >= 2 * least_width(lattice) else 1
    columns = np.arange(length) if 2 * half >= length else np.arange(-half, half) % length
    for box in _boxes(across, sides, lattice.periodic):
        yield pairs.region(sites[np.ix_(columns, *box)].ravel(), mask)


def tiles(lattice: Lattice, pairs: Pairs, width: int, *, cut: bool) -> Iterator[Region]:
    """Disjoint strips of at most `width` sites across, about equally wide.

    **Arguments:** `cut`: where the lattice is periodic along the sweep, strips are cut into halves, so that every edge
    left over joins two blocks; otherwise they only leave the seam's edges out.
    """
    sites = np.moveaxis(_sites(lattice), _sweep(lattice), 0)
    length, across = sites.shape[0], sites.shape[1:-1]
    mask = np.zeros(lattice.n, bool)
    ring = lattice.periodic and length > 2 and width < whole_width(lattice)
    seam = _crossing(_columns(sites), pairs.ends, length) if ring and not cut else None
    sides = _sides(across, width // _basis(lattice), 1)
    runs = [np.array_split(np.arange(whole), -(-whole // side)) for whole, side in zip(across, sides, strict=True)]
    for box in itertools.product(np.array_split(np.arange(length), 2 if ring and cut else 1), *runs):
        yield pairs.region(sites[np.ix_(*box)].ravel(), mask, seam)


def _columns(sites: np.ndarray) -> np.ndarray:
    """The place of each site along the sweep, (n,)."""
    column = np.empty(sites.size, np.int64)
    column[sites] = np.arange(len(sites)).reshape(-1, *[1] * (sites.ndim - 1))
    return column


def _sweep(lattice: Lattice) -> int:
    return int(np.argmax(lattice.shape))


def _basis(lattice: Lattice) -> int:
    return lattice.n // math.prod(lattice.shape)


def _sites(lattice: Lattice) -> np.ndarray:
    return np.arange(lattice.n).reshape(*lattice.shape, _basis(lattice))


def _crossing(column: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """Which pairs go around the seam."""
    return np.abs(column[ends[:, 0]] - column[ends[:, 1]]) > length // 2


def _sides(across: tuple[int, ...], cells: int, least: int = 2) -> tuple[int, ...]:
    """A box of at most `cells` cells, as nearly a cube as fits, but at least `least` along every side that has it."""
    sides = [min(least, side) for side in across]
    while True:
        room = [a for a, side in enumerate(across) if sides[a] < side]
        for axis in sorted(room, key=sides.__getitem__):
            if math.prod(sides) // sides[axis] * (sides[axis] + 1) <= cells:
                sides[axis] += 1
                break
        else:
            return tuple(sides)


def _boxes(across: tuple[int, ...], sides: tuple[int, ...], periodic: bool) -> Iterator[tuple[np.ndarray, ...]]:
    """Index arrays of the box at every offset."""
    offsets = [
        range(1) if side == whole else range(whole if periodic else whole - side + 1)
        for whole, side in zip(across, sides, strict=True)
    ]
    for corner in itertools.product(*offsets):
        yield tuple((at + np.arange(side)) % whole for at, side, whole in zip(corner, sides, across, strict=True))
