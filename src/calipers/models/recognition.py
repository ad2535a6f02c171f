"""Recognises an Ising magnet inside a factor graph, and a grid in its bonds, so that what is known of both helps."""

import dataclasses

import numpy as np

from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.models.lattices import Lattice, bonds
from calipers.models.laws import GIVEN


def as_ising(graph: FactorGraph) -> Ising | None:
    """The same measure as a magnet at β = 1, its constants in the offset; None when it is not one.

    It is one when every variable is binary, no factor has more than two of them, no weight is zero, and energies fit
    float64. Evidence is refused: an observed variable has weight zero in one state, which no finite field says. Reduce
    the graph first (`calipers.models.reduction.reduce`), which drops observed variables, and recognise what is left.
    """
    try:
        return Ising.from_factor_graph(graph)
    except ValueError:
        return None


def on_grid(magnet: Ising) -> Ising:
    """The same magnet, on a square lattice if its sites are numbered along the rows of one; bonds may be missing.

    **Returns:** `magnet` itself when it has a lattice already, or is on none that is recognised.
    """
    if magnet.lattice is not None or not len(magnet.edges):
        return magnet
    steps, counts = np.unique(magnet.edges[:, 1] - magnet.edges[:, 0], return_counts=True)
    keys = magnet.edges @ np.array([magnet.n, 1])
    for width in steps[np.argsort(-counts, kind="stable")][:3].tolist():
        if width < 2 or magnet.n % width:
            continue
        for periodic in (False, True):
            grid = Lattice("square", (magnet.n // width, width), periodic, GIVEN, GIVEN)
            pairs = np.sort(bonds(grid, np.random.default_rng(0)), axis=1)
            if np.isin(keys, pairs @ np.array([magnet.n, 1])).all():
                return dataclasses.replace(magnet, lattice=grid)
    return magnet
