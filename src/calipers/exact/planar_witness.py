"""What a certificate needs of a Pfaffian: the drawing and the order of its faces, as they were used.

Edges that cut long faces are edges of weight one, between the sites whose corners they join. Cost: linear.
"""

from collections.abc import Sequence

import numpy as np

from calipers.core.witness import Drawing
from calipers.exact.planar_embedding import cycles
from calipers.exact.planar_partition import PlanarGraph
from calipers.exact.planar_surface import orbits

_MERGE = -1


def drawing_witness(
    graph: PlanarGraph, sites: np.ndarray, states: Sequence[np.ndarray], reference: np.ndarray
) -> Drawing:
    """The witness of a graph's Pfaffians.

    **Arguments:** `sites`, the variable that each of the graph's sites is, and the ghost's number, last; `states`,
    those kept of each variable; `reference`, spins ±1 of the graph's sites.
    """
    home, place = graph.surface.home, graph.surface.place
    around = cycles(home, np.lexsort((place, home)))
    rotation = np.empty_like(around)
    rotation[around] = np.arange(len(around)) ^ 1
    label = orbits(rotation)[0]
    at = np.empty(label.max(initial=-1) + 1, np.int64)
    at[label[: 2 * len(graph.drawn)]] = graph.edges[graph.drawn].ravel()  # cuts end where others do
    spins = np.ones(len(states) + 1, np.int64)
    spins[sites[: graph.n]] = reference.astype(np.int64)
    fronts = graph.fronts
    order = np.full(len(fronts.left), _MERGE)
    leaves = np.flatnonzero(fronts.left < 0)
    order[leaves] = fronts.terminals[fronts.start[leaves]]  # a face has a dart; a region may have none left
    across = sites[graph.edges[graph.across]]
    return Drawing(tuple(states), sites[at[label]].reshape(-1, 2), rotation, order, spins, across)
