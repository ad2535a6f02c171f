"""Second derivatives of log Z: the covariance of the single sites, or of any sums of local terms, exactly.

    Cov(f_r, f_s) = ∂² log E[exp(Σ t_r f_r)] / ∂t_r ∂t_s        (Fisher information; connected correlations)

Forward over reverse: a forward pass carries the conditional means m_r(rest) = E[f_r | rest] of R statistics at once, a
reverse pass the derivative of every marginal along each of them,

    D'_r(rest, x) = D'_r(rest) p(x | rest) + D(rest, x) (m_r(rest, x) − m_r(rest)).

**Proves** nothing; exact up to rounding, with no finite differences. **Cost** two passes with R + 1 numbers an entry
for each R statistics; R is what memory allows, at most 16. **Fails** by refusing, as elimination does.
**Source** Wainwright & Jordan 2008, §3.5; Griewank & Walther, *Evaluating derivatives* (2008), ch. 5.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_layout import chunks
from calipers.exact.bucket_tree import Run
from calipers.exact.cumulants import add
from calipers.exact.joints import fill, fill_columns, normalize
from calipers.exact.query import Layout, Statistic, lay_out, until
from calipers.models.ising import Ising

_MOST = 16  # statistics at once
_Pairs = list[tuple[tuple[int, ...], np.ndarray]]


def covariance(
    model: AbstractDiscreteModel,
    statistics: Sequence[Statistic] | None = None,
    *,
    time_limit: float = 60.0,
    memory: float = 8e9,
) -> np.ndarray:
    """The covariance matrix of statistics of a model.

    **Arguments:** `statistics`, each a list of pairs (scope, table of values), f(x) = Σ_a f_a(x_a). By default, for a
    magnet, its spins: Cov(s_i, s_j), shape (n, n), the connected correlations, which are β⁻¹∂⟨s_i⟩/∂H_j. For another
    model, the indicators of every state of every variable: Cov(1[x_i = a], 1[x_j = b]), shape (K, K), K = Σ domains,
    ordered as the marginals are; the Hessian of log Z in the unary log tables. `time_limit`, seconds that one pass may
    take by estimate; `memory`, bytes.

    **Raises:** `Refusal` with the estimate when elimination does not fit; `ValueError` when every configuration has
    weight zero, or a value is not finite.
    """
    chosen = _sites(model) if statistics is None else [_pairs(f) for f in statistics]
    limits = until(time_limit, memory)
    layout = lay_out(model, [s for f in chosen for s, _ in f], limits, copies=5.0)
    run = layout.run()
    matrix = np.zeros((len(chosen), len(chosen)))
    batch = int(min(_MOST, max(1, memory / (16.0 * max(layout.tree.arena_size, 1)) - 1)))
    for start in range(0, len(chosen), batch):
        matrix[start : start + batch] = _rows(layout, run, chosen, slice(start, min(start + batch, len(chosen))))
    return 0.5 * (matrix + matrix.T)


def spin_statistic(i: int) -> _Pairs:
    """s_i = +1 for state 0, −1 for state 1."""
    return [((i,), np.array([1.0, -1.0]))]


def _pairs(statistic: Statistic) -> _Pairs:
    return [(tuple(int(v) for v in scope), np.asarray(table, float)) for scope, table in statistic]


def _sites(model: AbstractDiscreteModel) -> list[_Pairs]:
    if isinstance(model, Ising):
        return [spin_statistic(i) for i in range(model.n)]
    return [[((v,), row)] for v, k in enumerate(model.factor_graph().domains.tolist()) for row in np.eye(k)]


def _rows(layout: Layout, run: Run, chosen: list[_Pairs], rows: slice) -> np.ndarray:
    """The covariances of the statistics `rows` with all of them."""
    tree, count = layout.tree, rows.stop - rows.start
    means, slopes = np.zeros((tree.arena_size, count)), np.zeros((tree.arena_size, count))
    dual = np.zeros(tree.arena_size)
    for r, statistic in enumerate(chosen[rows]):
        add(layout, statistic, means[:, r])
    dual[tree.program.message[tree.parents < 0]] = 1.0
    width = int(tree.program.width.max()) if tree.buckets else 1
    block, below = np.empty(width), np.empty((width, count))
    for first, last in chunks(tree):
        _means(tree.program, run.arena, means, first, last, block, below)
    for first, last in reversed(chunks(tree)):
        _slopes(tree.program, run.arena, means, dual, slopes, first, last, block, below)
    return np.stack([_inner_product(layout, f, slopes) for f in chosen], axis=1)


def _inner_product(layout: Layout, statistic: _Pairs, slopes: np.ndarray) -> np.ndarray:
    """Σ_a ⟨f_a, derivative of the marginal of a⟩, shape (R,)."""
    total = np.zeros(slopes.shape[1])
    for scope, table in statistic:
        values = layout.restrict(scope, table)
        if values.ndim:
            total += values.ravel() @ slopes[layout.span(scope)]
    return total


@njit(cache=True, nogil=True)
def _means(program, arena, means, first, last, block, below):
    """E[f_r | rest] of the messages of buckets first…last−1."""
    for b in range(first, last):
        k, place = program.states[b], program.message[b]
        for h in range(program.cells[b] // program.width[b]):
            fill(program, arena, b, h, block)
            fill_columns(program, means, b, h, below)
            for j in range(0, program.width[b], k):
                normalize(block, j, k)
                means[place] = 0.0
                for x in range(j, j + k):
                    for r in range(means.shape[1]):
                        means[place, r] += block[x] * below[x, r]
                place += 1


@njit(cache=True, nogil=True)
def _slopes(program, arena, means, dual, slopes, first, last, block, below):
    """Marginals into `dual`, their derivatives along each statistic into `slopes`, of buckets last−1…first."""
    columns = means.shape[1]
    for b in range(last - 1, first - 1, -1):
        k = program.states[b]
        for h in range(program.cells[b] // program.width[b]):
            fill(program, arena, b, h, block)
            fill_columns(program, means, b, h, below)
            width = program.width[b]
            for j in range(0, width, k):
                rest = program.message[b] + (h * width + j) // k
                normalize(block, j, k)
                for x in range(j, j + k):
                    p = block[x]
                    block[x] = p * dual[rest]
                    for r in range(columns):
                        below[x, r] = slopes[rest, r] * p + block[x] * (below[x, r] - means[rest, r])
            for i in range(program.item_ptr[b], program.item_ptr[b + 1]):
                start = program.base[i] + program.offsets[program.high[i] + h]
                low = program.low[i]
                for l in range(width):
                    place = start + program.offsets[low + l]
                    dual[place] += block[l]
                    for r in range(columns):
                        slopes[place, r] += below[l, r]
