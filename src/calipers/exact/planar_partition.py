"""log Z of magnets without fields on a plane or another surface of small genus, by Pfaffians.

Write s⁰ for a reference configuration, K⁰_e = K_e s⁰_i s⁰_j. The walls between it and any other configuration are an
even subgraph of the dual graph (every face is left as often as it is entered) that bounds, so that

    Z = 2^c e^{Σ K⁰} Σ_walls Π_{e ∈ walls} w_e,     w_e = e^{−2 K⁰_e} > 0,       c connected components.

On a sphere every even subgraph bounds, and the sum is the Pfaffian of a skew matrix over the 2e darts (Kasteleyn 1963;
Fisher 1966): 1 on the two darts of an edge, √(w_e w_f) on two darts of one face, with signs. On genus g it is the mean
of 4^g Pfaffians (docs/theorems.md, theorem P1). On a sphere all terms are positive, whatever the signs of K,
which is what makes low temperatures safe: the high-temperature expansion (and the Kac–Ward determinant) cancels there.

**Across.** A few edges that are not drawn are summed over, e^{K s s'} = cosh K (1 + s s' tanh K): each set S of them
asks for Σ_s Π_S s s' e^{…}, which is the Pfaffian with signs changed along paths between their ends (theorem P3). These
sums have terms of both signs, and so has the sum over S: the error says what that costs. One that vanishes, by
symmetry, has no pivots; couplings are then moved by `_MOVE`, which changes log Z by less than all that they moved.

**Error.** The first-order rounding error of the elimination that was done, every rounding with its own weight |∂ log
Pf/∂entry| from the inverse, none taken to cancel, times `SAFETY`; and those of the weights and sums.
Cost: O(n^{3/2}); 2 s for 256². **Source** Kasteleyn, *Dimer statistics and phase transitions* (1963); Galluccio &
Loebl, *On the theory of Pfaffian orientations* (1999); Thomas & Middleton, *Exact algorithm for sampling the
two-dimensional Ising spin glass* (2009).
"""

from typing import NamedTuple

import numpy as np

from calipers.exact.planar_across import draw_beside, path_edges
from calipers.exact.planar_dissection import dissect
from calipers.exact.planar_elimination import Factor, Fronts, backward, forward
from calipers.exact.planar_embedding import count_components
from calipers.exact.planar_reference import low_energy_spins
from calipers.exact.planar_surface import Surface, surface
from calipers.models.lattices import Lattice

SAFETY = 4.0
ULP = 2.0**-53
_MOVE, _GOLDEN = 1e-13, 0.5 * (5**0.5 - 1)
_COLD = 0.7  # largest coupling from which the reference is annealed
_SWEEPS = (100, 2000)  # of annealing: at first, and when the error is too large


class PlanarGraph(NamedTuple):
    """A graph drawn on a surface, and the order of its elimination; couplings come later, as often as wanted."""

    n: int
    edges: np.ndarray
    components: int  # those with edges, and single sites
    surface: Surface
    fronts: Fronts
    drawn: np.ndarray  # numbers of the edges that are drawn, (d,); the others are `across`, (k,)
    across: np.ndarray
    paths: np.ndarray  # (k, d), whether a drawn edge lies on the path that stands for an edge across

    @property
    def pfaffians(self) -> int:
        """How many are evaluated."""
        return len(self.surface.signs) << len(self.across)

    @property
    def flops(self) -> float:
        """Multiplications of all eliminations, if no terminal is delayed."""
        f = np.diff(self.fronts.start).astype(float)
        return float((f**3 - (f - self.fronts.pairs) ** 3).sum() / 3) * self.pfaffians

    @property
    def bytes(self) -> float:
        """Memory that an evaluation takes, about."""
        f = np.diff(self.fronts.start).astype(float)
        return 8.0 * float((f * self.fronts.pairs).sum() + 8 * (f**2).max(initial=0.0)) + (
            400.0 + 12.0 * self.pfaffians
        ) * len(self.surface.home)


class PlanarResult(NamedTuple):
    """`value`, `error` in nats; `correlations` ⟨s_i s_j⟩ of the edges, (e,); `reference`, spins to start from again."""

    value: float
    error: float
    correlations: np.ndarray
    reference: np.ndarray


class PlanarError(ValueError):
    """There is no drawing of small enough genus."""


def planar_graph(
    n: int,
    edges: np.ndarray,
    lattice: Lattice | None = None,
    most_genus: int = 0,
    most_across: int = 0,
    ghost: int | None = None,
) -> PlanarGraph:
    """Draws a graph and orders its elimination.

    **Arguments:** `n`, sites; `edges` (e, 2), each pair once, no loops; `lattice`, if known (that of the edges that are
    not the ghost's); `most_genus` allowed; `most_across`, edges that may be left across the drawing; `ghost`, the site
    whose edges are fields.

    **Raises:** `PlanarError` when no drawing was found; `ImportError` when the planarity test is missing.
    """
    edges = np.asarray(edges, np.int64).reshape(-1, 2)
    found = draw_beside(n, edges, lattice, most_genus, most_across, ghost)
    if found is None:
        more = f" that leaves out at most {most_across} edges" if most_across else ""
        raise PlanarError(f"the graph of {n} sites and {len(edges)} edges has no drawing of genus ≤ {most_genus}{more}")
    surfaced = surface(found.rotation, most_genus)
    single = n - len(np.unique(edges))
    fronts = dissect(surfaced.home, surfaced.cities)
    paths = path_edges(n, edges[found.drawn], edges[found.across])
    components = count_components(n, edges) + single
    return PlanarGraph(n, edges, components, surfaced, fronts, found.drawn, found.across, paths)


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
    """The expansion around a reference; at couplings nearby, if some Pfaffian has no pivot."""
    found = _expand(graph, K, spins)
    if np.isfinite(found.error) or graph.pfaffians == 1:
        return found
    moved = K + _MOVE * np.maximum(np.abs(K), 1.0) * (np.arange(1, len(K) + 1) * _GOLDEN % 1.0 - 0.5)
    found = _expand(graph, moved, spins)
    return found._replace(error=found.error + 1.01 * float(np.abs(moved - K).sum()))


def _expand(graph: PlanarGraph, K: np.ndarray, spins: np.ndarray) -> PlanarResult:
    relative = spins[graph.edges[:, 0]] * spins[graph.edges[:, 1]]
    short, long = weights(graph, K, spins)
    there, rows = _rows(graph, len(long))
    factor = np.tanh(K * relative)[graph.across]  # of a term in which an edge across is there
    weight = np.where(there, factor, 1.0).prod(axis=1)
    found = [_pfaffian(graph, short, row * long, float(row.prod())) for row in rows]
    values, signs, errors, used = (np.array(column) for column in zip(*found, strict=True))
    top = float(values.max())
    share = signs * np.exp(values - top) / len(graph.surface.signs)
    total = float(weight @ share)
    constant = float(np.sum(np.abs(K))) + graph.components * np.log(2.0)
    constant += float(np.log1p(np.exp(-2.0 * np.abs(K[graph.across]))).sum()) - len(graph.across) * np.log(2.0)
    rounding = ULP * (float((8.0 + 8.0 * np.abs(K)).sum() + 8.0 * len(short)) + 8.0 * abs(constant) + 8.0 * abs(top))
    if not total > 0.0:
        return PlanarResult(np.nan, np.inf, np.full(len(K), np.nan), spins)
    lost = errors + 8.0 * ULP * len(graph.across)
    with np.errstate(invalid="ignore"):  # a Pfaffian without a pivot: no error is known
        error = float(np.abs(weight * share) @ lost) / total + rounding
    correlations = np.empty(len(K))
    correlations[graph.drawn] = 2.0 * ((weight * share) @ used[:, : len(graph.drawn)] / total) - 1.0
    for d, e in enumerate(graph.across):  # the derivative exchanges cosh K and sinh K
        others = np.delete(np.where(there, factor, 1.0), d, axis=1).prod(axis=1)
        correlations[e] = (others * np.where(there[:, d], 1.0, factor[d])) @ share / total
    value = constant + top + float(np.log(total))
    return PlanarResult(value, error, np.clip(correlations * relative, -1.0, 1.0), spins)


def _rows(graph: PlanarGraph, edges: int) -> tuple[np.ndarray, np.ndarray]:
    """For each Pfaffian, which edges across are there, (p, k), and the signs of the edges, (p, edges)."""
    count, k = len(graph.surface.signs), len(graph.across)
    there = (np.arange(1 << k)[:, None] >> np.arange(k)) % 2 == 1
    flips = np.ones((1 << k, edges))
    flips[:, : len(graph.drawn)] = 1 - 2 * (there.astype(np.int64) @ graph.paths.astype(np.int64) % 2)
    rows = (flips[:, None, :] * graph.surface.signs).reshape(count << k, edges)
    return np.repeat(there, count, axis=0), rows


def weights(graph: PlanarGraph, K: np.ndarray, spins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights of terminals, (d,), and of long edges, not yet signed, relative to a reference.

    Edges with w > 1 have their long entry, not their short ones, scaled, so that no entry exceeds one: the Pfaffian is
    then less by Σ max(0, log w). Edges that cut faces have w = 1.
    """
    walls = np.zeros(len(graph.surface.home) // 2)
    i, j = graph.edges[graph.drawn].T
    walls[: len(graph.drawn)] = 2.0 * K[graph.drawn] * spins[i] * spins[j]
    return np.repeat(np.exp(-0.5 * np.maximum(walls, 0.0)), 2), np.exp(np.minimum(walls, 0.0))


def _pfaffian(graph: PlanarGraph, short: np.ndarray, long: np.ndarray, sign: float) -> tuple:
    value, found, factor = forward(graph.fronts, graph.surface.place, short, long)
    if found == 0.0:
        return -np.inf, 0.0, np.inf, np.full(len(long), np.nan)
    used, rounded = backward(graph.fronts, Factor(*factor), long)
    return value, found * sign, SAFETY * ULP * rounded, used
