"""Kernels of mean field on a factor graph: coordinate ascent on a product of marginals q_v.

    log q_v(x) = Σ_{a ∋ v} ⟨θ_a | x_v = x⟩_q + const,        F(q) = Σ_a ⟨θ_a⟩_q + Σ_v H(q_v) ≤ log Z

A state that would give mass to a zero of some factor, given the support of the others, gets none. As long as the
product starts inside the model's support it stays there, and supports can only widen: F is finite at every step.
Masses below e^−600 are set to zero, so that a support is exactly where q > 0.
"""

import math

import numpy as np
from numba import njit

from calipers.variational.factor_arrays import contract_mean

_SMALLEST = -600.0  # log of the smallest mass that is kept


@njit(cache=True, nogil=True)
def ascend(flat, order, first, last, logs, q, field, work):
    """Updates variables order[first:last] in place; returns the largest change of a probability."""
    change = 0.0
    for place in range(first, last):
        v = order[place]
        k, at = flat.sizes[v], flat.state_ptr[v]
        field[:k] = 0.0
        for i in range(flat.var_ptr[v], flat.var_ptr[v + 1]):
            port = flat.var_port[i]
            contract_mean(flat, flat.port_factor[port], port, q, work)
            for x in range(k):
                field[x] += work[x]
        top = -np.inf
        for x in range(k):
            top = max(top, field[x])
        total = 0.0
        for x in range(k):
            field[x] -= top
            if field[x] >= _SMALLEST:
                total += math.exp(field[x])
        log_total = math.log(total)
        for x in range(k):
            before = q[at + x]
            if field[x] >= _SMALLEST:
                logs[at + x] = field[x] - log_total
                q[at + x] = math.exp(field[x]) / total
            else:
                logs[at + x] = -np.inf
                q[at + x] = 0.0
            change = max(change, abs(q[at + x] - before))
    return change


@njit(cache=True, nogil=True)
def evaluate(flat, logs, q, work):
    """F(q), and the sum of the magnitudes that went into it, for the rounding estimate."""
    value, size, carry = 0.0, 0.0, 0.0
    for a in range(len(flat.port_ptr) - 1):
        contract_mean(flat, a, flat.port_ptr[a] - 1, q, work)
        term = work[0]
        if term == -np.inf:
            return term, 0.0
        size += abs(term) + _spread(flat, a, q)
        value, carry = _add(value, carry, term)
    for i in range(len(q)):
        if q[i] > 0.0:
            term = -q[i] * logs[i]
            size += abs(term) + 2.0 * q[i]
            value, carry = _add(value, carry, term)
    return value + carry, size


@njit(cache=True, nogil=True)
def _spread(flat, a, q):
    """The largest |θ_a| where q may have mass: it bounds the cancellation inside ⟨θ_a⟩."""
    top = 0.0
    for c in range(flat.table_ptr[a], flat.table_ptr[a + 1]):
        if flat.tables[c] > -np.inf:
            top = max(top, abs(flat.tables[c]))
    return top * (flat.port_ptr[a + 1] - flat.port_ptr[a] + 1)


@njit(cache=True, nogil=True)
def _add(value, carry, term):
    """Neumaier's compensated addition."""
    total = value + term
    if abs(value) >= abs(term):
        return total, carry + ((value - total) + term)
    return total, carry + ((term - total) + value)
