"""Mean, variance, third and fourth cumulant of a sum over a model's configurations, in one forward pass.

    f(x) = Σ_a f_a(x_a):   κ_r(f) = ∂^r/∂t^r log E[exp(t f)] at t = 0,  r = 1 … 4

Given the variables of a joint entry, what hangs below its items is independent, so that cumulants add up; eliminating a
variable mixes its states, and a mixture's central moments follow from its parts' cumulants and the distances of their
means. So the derivatives of log Z come without differences: variances are sums of squares, with no cancellation.
The surprisal −log p(x) is such a sum too, −Σ_b log p(x_b | rest_b): its mean is the entropy, its variance the heat
capacity. **Proves** nothing; exact up to rounding. **Cost** an elimination and one pass with `order` numbers an entry,
and their memory. **Fails** by refusing, as elimination does. **Source** the laws of total variance and total cumulance
(Brillinger 1969) along the chain rule.
"""

from typing import Any

import numpy as np
from numba import njit

from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_layout import chunks
from calipers.exact.joints import fill, fill_columns, normalize
from calipers.exact.query import Layout, Statistic, lay_out, until

ORDER = 4


def cumulants(
    model: AbstractDiscreteModel,
    statistic: Statistic,
    order: int = ORDER,
    *,
    time_limit: float = 60.0,
    memory: float = 8e9,
) -> np.ndarray:
    """The first cumulants of a sum of local terms: mean, variance, third, fourth.

    **Arguments:** `statistic`, pairs (scope, table of values): f(x) = Σ_a f_a(x_a), values where p(x) = 0 do not
    matter; `order`, 1 to 4; `time_limit`, seconds that one pass may take by estimate; `memory`, bytes.

    **Returns:** shape (order,), in powers of the statistic's unit.

    **Raises:** `Refusal` with the estimate when elimination does not fit; `ValueError` when every configuration has
    weight zero, or a value is not finite.
    """
    _check(order)
    pairs = [(tuple(int(v) for v in scope), np.asarray(table, float)) for scope, table in statistic]
    layout = lay_out(model, [s for s, _ in pairs], until(time_limit, memory), copies=2.0 + order)
    columns = np.zeros((layout.tree.arena_size, order))
    shift = add(layout, pairs, columns[:, 0])
    return _cumulate(layout, columns, False) + shift * (np.arange(order) == 0)


def surprisal_cumulants(
    model: AbstractDiscreteModel, order: int = ORDER, *, time_limit: float = 60.0, memory: float = 8e9
) -> np.ndarray:
    """The same of −log p(x): the entropy in nats, the heat capacity, and so on."""
    _check(order)
    layout = lay_out(model, (), until(time_limit, memory), copies=2.0 + order)
    return _cumulate(layout, np.zeros((layout.tree.arena_size, order)), True)


def add(layout: Layout, pairs: list[tuple[tuple[int, ...], np.ndarray]], column: np.ndarray) -> float:
    """Adds a statistic's tables to the arena column; returns the part that is the same for every configuration.

    **Raises:** `ValueError` when a value in the kept states is not finite.
    """
    constant = 0.0
    for scope, table in pairs:
        values = layout.restrict(scope, table)
        if not np.isfinite(values).all():
            raise ValueError(f"the statistic's table over {scope} holds a value that is not finite")
        if values.ndim:
            column[layout.span(scope)] += values.ravel()
        else:
            constant += float(values)
    return constant


def _check(order: int) -> None:
    if not 1 <= order <= ORDER:
        raise ValueError(f"order is {order}; cumulants of order 1 to {ORDER} are known here")


def _cumulate(layout: Layout, columns: np.ndarray, surprisal: bool) -> np.ndarray:
    """The cumulants of what the first column holds, and of the surprisal if that is wanted."""
    tree, order = layout.tree, columns.shape[1]
    run = layout.run()
    width = int(tree.program.width.max()) if tree.buckets else 1
    scratch: tuple[Any, ...] = np.empty(width), np.empty((width, order))
    for first, last in chunks(tree):
        _pass(tree.program, run.arena, columns, surprisal, first, last, *scratch)
    return columns[tree.program.message[tree.parents < 0]].sum(0)


@njit(cache=True, nogil=True)
def _pass(program, arena, columns, surprisal, first, last, block, below):
    """The cumulants of each message of buckets first…last−1, from those of the items below them."""
    for b in range(first, last):
        k, place = program.states[b], program.message[b]
        for h in range(program.cells[b] // program.width[b]):
            fill(program, arena, b, h, block)
            fill_columns(program, columns, b, h, below)
            for j in range(0, program.width[b], k):
                if normalize(block, j, k):
                    if surprisal:
                        for x in range(j, j + k):
                            if block[x] > 0.0:
                                below[x, 0] -= np.log(block[x])
                    _mix(block, below, j, k, columns[place])
                else:
                    columns[place] = 0.0
                place += 1


@njit(cache=True, nogil=True)
def _mix(p, below, j, k, out):
    """Cumulants of the mixture of k parts with probabilities p[j:j + k] and cumulants below[j:j + k]."""
    order = len(out)
    out[:] = 0.0
    for x in range(j, j + k):
        if p[x] > 0.0:
            out[0] += p[x] * below[x, 0]
    for x in range(j, j + k):
        if p[x] == 0.0 or order == 1:
            continue
        d, c = below[x, 0] - out[0], below[x]
        out[1] += p[x] * (c[1] + d * d)
        if order > 2:
            out[2] += p[x] * (c[2] + 3.0 * d * c[1] + d**3)
        if order > 3:
            out[3] += p[x] * (c[3] + 4.0 * d * c[2] + 6.0 * d * d * c[1] + 3.0 * c[1] ** 2 + d**4)
    if order > 3:
        out[3] -= 3.0 * out[1] ** 2
