"""A factor graph as flat arrays, the form that the Numba kernels of mean field and belief propagation read.

A *port* is one place of one factor's scope: ports of factor a are `port_ptr[a] … port_ptr[a+1]`, in the scope's order.
Tables are log tables, last variable fastest, −inf for zero. `contract_mean` and `contract_sum` take all variables but
one out of a table, one axis at a time, at a cost of about twice the table's size.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.models.factor_graph import FactorGraph


class Flat(NamedTuple):
    """Arrays over n variables, f factors, p ports."""

    sizes: np.ndarray  # (n,) states of each variable
    state_ptr: np.ndarray  # (n+1,) where a variable's states start in vectors over all states
    table_ptr: np.ndarray  # (f+1,)
    tables: np.ndarray  # log entries of all tables
    port_ptr: np.ndarray  # (f+1,)
    port_var: np.ndarray  # (p,) the variable at each port
    port_factor: np.ndarray  # (p,)
    message_ptr: np.ndarray  # (p+1,) where a port's message starts
    var_ptr: np.ndarray  # (n+1,) ports of each variable …
    var_port: np.ndarray  # (p,) … in factor order

    @property
    def scratch(self) -> np.ndarray:
        """A work array as large as the largest table or domain."""
        table = int(np.diff(self.table_ptr).max(initial=1))
        return np.empty(max(table, int(self.sizes.max(initial=1))))


def flatten(model: FactorGraph) -> Flat:
    """The arrays of a model without evidence; factors of empty scope are kept, with no ports."""
    sizes = model.domains
    arity = np.array([len(s) for s in model.scopes], np.int64)
    port_var = np.array([v for s in model.scopes for v in s], np.int64)
    tables = [np.ravel(t) for t in model.log_tables()]
    return Flat(
        sizes=sizes,
        state_ptr=_starts(sizes),
        table_ptr=_starts(np.array([t.size for t in tables], np.int64)),
        tables=np.ascontiguousarray(np.concatenate(tables), np.float64) if tables else np.zeros(0),
        port_ptr=_starts(arity),
        port_var=port_var,
        port_factor=np.repeat(np.arange(len(arity)), arity),
        message_ptr=_starts(sizes[port_var]),
        var_ptr=_starts(np.bincount(port_var, minlength=len(sizes))),
        var_port=np.argsort(port_var, kind="stable"),
    )


def split(flat: Flat, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """A vector over all states, cut into one array a variable."""
    return tuple(np.split(values, flat.state_ptr[1:-1])) if len(flat.sizes) else ()


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@njit(cache=True, nogil=True)
def contract_mean(flat, a, keep, q, work):
    """work[x] = ⟨θ_a⟩ under the product of q over all ports but `keep`, given its state x; −inf if a zero has mass.

    `keep` is a port of factor a, or `port_ptr[a] − 1` for none: then work[0] = ⟨θ_a⟩.
    """
    first, last = flat.port_ptr[a], flat.port_ptr[a + 1]
    start, cells = flat.table_ptr[a], flat.table_ptr[a + 1] - flat.table_ptr[a]
    work[:cells] = flat.tables[start : start + cells]
    for port in range(last - 1, keep, -1):  # trailing axes: neighbours in memory
        v = flat.port_var[port]
        k, at = flat.sizes[v], flat.state_ptr[v]
        cells //= k
        for j in range(cells):
            total = 0.0
            for x in range(k):
                if q[at + x] > 0.0:
                    total += q[at + x] * work[j * k + x]
            work[j] = total
    for port in range(first, keep):  # leading axes
        v = flat.port_var[port]
        k, at = flat.sizes[v], flat.state_ptr[v]
        cells //= k
        for j in range(cells):
            total = 0.0
            for x in range(k):
                if q[at + x] > 0.0:
                    total += q[at + x] * work[x * cells + j]
            work[j] = total


@njit(cache=True, nogil=True)
def contract_sum(flat, a, keep, logs, log_ptr, work):
    """The same in the (log-sum-exp, +) semiring: port p carries the log weights `logs[log_ptr[p] …]`."""
    first, last = flat.port_ptr[a], flat.port_ptr[a + 1]
    start, cells = flat.table_ptr[a], flat.table_ptr[a + 1] - flat.table_ptr[a]
    work[:cells] = flat.tables[start : start + cells]
    for port in range(last - 1, keep, -1):
        k = flat.sizes[flat.port_var[port]]
        cells //= k
        for j in range(cells):
            work[j] = _log_sum(work, j * k, 1, logs, log_ptr[port], k)
    for port in range(first, keep):
        k = flat.sizes[flat.port_var[port]]
        cells //= k
        for j in range(cells):
            work[j] = _log_sum(work, j, cells, logs, log_ptr[port], k)


@njit(cache=True, nogil=True)
def _log_sum(work, start, stride, logs, at, k):
    """log Σ_x exp(work[start + stride x] + logs[at + x])."""
    top = -np.inf
    for x in range(k):
        top = max(top, work[start + stride * x] + logs[at + x])
    if top == -np.inf:
        return top
    total = 0.0
    for x in range(k):
        total += math.exp(work[start + stride * x] + logs[at + x] - top)
    return top + math.log(total)
