"""Recognises an Ising magnet inside a factor graph, so that what is known of magnets can be used on it."""

from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising


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
