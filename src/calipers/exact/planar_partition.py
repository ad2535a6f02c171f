"""log Z of magnets without fields on a plane or another surface of small genus, by Pfaffians.

Write s⁰ for a reference configuration, K⁰_e = K_e s⁰_i s⁰_j. The walls between it and any other configuration are an
even subgraph of the dual graph (every face is left as often as it is entered) that bounds, so that

    Z = 2^c e^{Σ K⁰} Σ_walls Π_{e ∈ walls} w_e,     w_e = e^{−2 K⁰_e} > 0,       c connected components.

On a sphere every even subgraph bounds, and the sum is the Pfaffian of a skew matrix over the 2e darts (Kasteleyn 1963;
Fisher 1966): 1 on the two darts of an edge, √(w_e w_f) on two darts of one face, with signs. On genus g it is the mean
of 4^g Pfaffians (docs/theorems.md, *magnets on surfaces*). On a sphere all terms are positive, whatever the signs of K,
which is what makes low temperatures safe: the high-temperature expansion (and the Kac–Ward determinant) cancels there.

**Error.** The first-order rounding error of the elimination that was done, every rounding with its own weight |∂ log
Pf/∂entry| from the inverse, none taken to cancel, times `SAFETY`; and those of the weights and sums.
Cost: O(n^{3/2}); 2 s for 256². **Source** Kasteleyn, *Dimer statistics and phase transitions* (1963); Galluccio &
Loebl, *On the theory of Pfaffian orientations* (1999); Thomas & Middleton, *Exact algorithm for sampling the
two-dimensional Ising spin glass* (2009).
"""

from typing import NamedTuple

import numpy as np

from calipers.exact.planar_dissection import dissect
from calipers.exact.planar_elimination import Factor, Fronts, backward, forward
from calipers.exact.planar_embedding import count_components, draw
from calipers.exact.planar_reference import low_energy_spins
from calipers.exact.planar_surface import Surface, surface
from calipers.models.lattices import Lattice

SAFETY = 4.0
ULP = 2.0**-53
_COLD = 0.7  # largest coupling from which the reference is annealed
_SWEEPS = (100, 2000)  # of annealing: at first, and when the error is too large


class PlanarGraph(NamedTuple):
    """A graph drawn on a surface, and the order of its elimination; couplings come later, as often as wanted."""

    n: int
    edges: np.ndarray
    components: int  # those with edges, and single sites
    surface: Surface
    fronts: Fronts

    @property
    def flops(self) -> float:
        """Multiplications of one elimination, if no terminal is delayed."""
        f = np.diff(self.fronts.start).astype(float)
        return float((f**3 - (f - self.fronts.pairs) ** 3).sum() / 3) * len(self.surface.signs)

    @property
    def bytes(self) -> float:
        """Memory that an evaluation takes, about."""
        f = np.diff(self.fronts.start).astype(float)
        return 8.0 * float((f * self.fronts.pairs).sum() + 8 * (f**2).max(initial=0.0)) + 400.0 * len(self.surface.home)


class PlanarResult(NamedTuple):
    """`value`, `error` in nats; `correlations` ⟨s_i s_j⟩ of the edges, (e,); `reference`, spins to start from again."""

    value: float
    error: float
    correlations: np.ndarray
    reference: np.ndarray


class PlanarError(ValueError):
    """There is no drawing of small enough genus."""


def planar_graph(n: int, edges: np.ndarray, lattice: Lattice | None = None, most_genus: int = 0) -> PlanarGraph:
    """Draws a graph and orders its elimination.

    **Arguments:** `n`, sites; `edges` (e, 2), each pair once, no loops; `lattice`, if known; `most_genus` allowed.

    **Raises:** `PlanarError` when no drawing was found; `ImportError` when the planarity test is missing.
    """
    edges = np.asarray(edges, np.int64).reshape(-1, 2)
    rotation = draw(n, edges, lattice, most_genus) if len(edges) else np.zeros(0, np.int64)
    if rotation is None:
        raise PlanarError(f"the graph of {n} sites and {len(edges)} edges has no drawing of genus ≤ {most_genus}")
    drawn = surface(rotation, most_genus)
    single = n - len(np.unique(edges))
    return PlanarGraph(n, edges, count_components(n, edges) + single, drawn, dissect(drawn.home, drawn.cities))


def log_partition_planar(
    graph: PlanarGraph, K: np.ndarray, reference: np.ndarray | None = None, tolerance: float = 1e-6
) -> PlanarResult:
    """log Σ_s exp(Σ_e K_e s_i s_j), its error, and the edges' correlations.

    **Arguments:** `K` (e,), couplings times β; `reference`, spins ±1 (n,), None to look for one; `tolerance`, nats: a
    better reference is looked for when the error is larger.

    **Returns:** a `PlanarResult`; its error may be infinite, and is to be looked at.
    """
    K = np.asarray(K, np.float64)
    strongest = float(np.abs(K).max(initial=0.0))
    best: PlanarResult | None = None
    if reference is not None:
        best = _around(graph, K, np.asarray(reference, np.float64))
    for sweeps in _SWEEPS:
        if best is not None and (best.error <= tolerance or strongest < _COLD):
            break
        spins = low_energy_spins(graph.n, graph.edges, K, sweeps if strongest >= _COLD else 0)
        found = _around(graph, K, spins)
        best = found if best is None or found.error < best.error else best
    assert best is not None
    return best


def _around(graph: PlanarGraph, K: np.ndarray, spins: np.ndarray) -> PlanarResult:
    """The expansion around a reference."""
    relative = spins[graph.edges[:, 0]] * spins[graph.edges[:, 1]]
    short, long = weights(graph, K, spins)
    found = [_pfaffian(graph, short, row * long, float(row.prod())) for row in graph.surface.signs]
    values, signs, errors, used = (np.array(column) for column in zip(*found, strict=True))
    top = float(values.max())
    share = signs * np.exp(values - top)
    total = float(share.sum())
    constant = float(np.sum(np.abs(K))) + graph.components * np.log(2.0)
    rounding = ULP * (float((8.0 + 8.0 * np.abs(K)).sum() + 8.0 * len(short)) + 8.0 * abs(constant) + 8.0 * abs(top))
    if not total > 0.0:
        return PlanarResult(np.nan, np.inf, np.full(len(K), np.nan), spins)
    error = float(np.abs(share) @ errors) / total + rounding
    value = constant + top + float(np.log(total / len(share)))
    kept = share @ used[:, : len(K)] / total
    correlations = np.clip((2.0 * kept - 1.0) * relative, -1.0, 1.0)
    return PlanarResult(value, error, correlations, spins)


def weights(graph: PlanarGraph, K: np.ndarray, spins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights of terminals, (d,), and of long edges, not yet signed, relative to a reference.

    Edges with w > 1 have their long entry, not their short ones, scaled, so that no entry exceeds one: the Pfaffian is
    then less by Σ max(0, log w). Edges that cut faces have w = 1.
    """
    walls = np.zeros(len(graph.surface.home) // 2)
    walls[: len(K)] = 2.0 * K * spins[graph.edges[:, 0]] * spins[graph.edges[:, 1]]
    return np.repeat(np.exp(-0.5 * np.maximum(walls, 0.0)), 2), np.exp(np.minimum(walls, 0.0))


def _pfaffian(graph: PlanarGraph, short: np.ndarray, long: np.ndarray, sign: float) -> tuple:
    value, found, factor = forward(graph.fronts, graph.surface.place, short, long)
    if found == 0.0:
        return -np.inf, 0.0, np.inf, np.full(len(long), np.nan)
    used, rounded = backward(graph.fronts, Factor(*factor), long)
    return value, found * sign, SAFETY * ULP * rounded, used
