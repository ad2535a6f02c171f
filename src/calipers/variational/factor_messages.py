"""Kernels of belief propagation on a factor graph, in log space: zeros and huge ranges are harmless.

    n_{v→a}(x) = Σ_{b ∋ v, b ≠ a} m_{b→v}(x),  m_{a→v}(x_v) = log Σ_{x_a \\ x_v} exp(θ_a(x_a) + Σ_{u ≠ v} n_{u→a}(x_u))

    log Z_Bethe = Σ_a log Σ exp(θ_a + Σ_p n_p) − Σ_p log Σ exp(n_p + m_p) + Σ_v log Σ exp(Σ_{p at v} m_p)

Messages are shifted to maximum 0; the functional does not see shifts, and is stationary at a fixed point. −inf in a
message is a state that no configuration of positive weight can have: it is never wrong, with loops or without.
**Source** Yedidia, Freeman & Weiss (2005); Kschischang, Frey & Loeliger (2001).
"""

import numpy as np
from numba import njit

from calipers.variational.factor_arrays import contract_sum


@njit(cache=True, nogil=True)
def cavities(flat, a, message, cavity):
    """Writes n_{v→a} for every port of factor a, shifted to maximum 0; False if some variable has no state left."""
    for port in range(flat.port_ptr[a], flat.port_ptr[a + 1]):
        v, at = flat.port_var[port], flat.message_ptr[port]
        k, top = flat.sizes[v], -np.inf
        cavity[at : at + k] = 0.0
        for i in range(flat.var_ptr[v], flat.var_ptr[v + 1]):
            other = flat.var_port[i]
            if other != port:
                start = flat.message_ptr[other]
                for x in range(k):
                    cavity[at + x] += message[start + x]
        for x in range(k):
            top = max(top, cavity[at + x])
        if top == -np.inf:
            return False
        for x in range(k):
            cavity[at + x] -= top
    return True


@njit(cache=True, nogil=True)
def propagate(flat, order, first, last, message, cavity, damping, work):
    """Updates the messages of factors order[first:last] in place; the largest change of exp(message), inf if Z = 0."""
    change = 0.0
    for place in range(first, last):
        a = order[place]
        if not cavities(flat, a, message, cavity):
            return np.inf
        for port in range(flat.port_ptr[a], flat.port_ptr[a + 1]):
            contract_sum(flat, a, port, cavity, flat.message_ptr, work)
            k, at, top = flat.sizes[flat.port_var[port]], flat.message_ptr[port], -np.inf
            for x in range(k):
                top = max(top, work[x])
            if top == -np.inf:
                return np.inf
            for x in range(k):
                new, old = work[x] - top, message[at + x]
                change = max(change, abs(np.exp(new) - np.exp(old)))
                if damping > 0.0 and new > -np.inf and old > -np.inf:
                    new = (1.0 - damping) * new + damping * old
                message[at + x] = new
    return change


@njit(cache=True, nogil=True)
def _log_total(logs):
    """log Σ exp, and the largest finite magnitude."""
    top, size = -np.inf, 0.0
    for x in logs:
        top = max(top, x)
        if x > -np.inf:
            size = max(size, abs(x))
    if top == -np.inf:
        return top, size
    total = 0.0
    for x in logs:
        total += np.exp(x - top)
    return top + np.log(total), size


@njit(cache=True, nogil=True)
def evaluate(flat, message, cavity, work, total):
    """log Z_Bethe, log beliefs of all variables into `total`, and the magnitudes that rounding scales with."""
    value, size = 0.0, 0.0
    for a in range(len(flat.port_ptr) - 1):
        if not cavities(flat, a, message, cavity):
            return -np.inf, 0.0
        contract_sum(flat, a, flat.port_ptr[a] - 1, cavity, flat.message_ptr, work)
        log_z = work[0]
        span = 0.0
        for c in range(flat.table_ptr[a], flat.table_ptr[a + 1]):
            if flat.tables[c] > -np.inf:
                span = max(span, abs(flat.tables[c]))
        size += abs(log_z) + span + 1.0
        for port in range(flat.port_ptr[a], flat.port_ptr[a + 1]):
            at, k = flat.message_ptr[port], flat.sizes[flat.port_var[port]]
            for x in range(k):
                work[x] = cavity[at + x] + message[at + x]
            part, span = _log_total(work[:k])
            log_z -= part
            size += 2.0 * span + k
        value += log_z
    for v in range(len(flat.sizes)):
        k, at = flat.sizes[v], flat.state_ptr[v]
        total[at : at + k] = 0.0
        for i in range(flat.var_ptr[v], flat.var_ptr[v + 1]):
            start = flat.message_ptr[flat.var_port[i]]
            for x in range(k):
                total[at + x] += message[start + x]
        part, span = _log_total(total[at : at + k])
        for x in range(k):
            total[at + x] -= part
        value += part
        size += 2.0 * span + k + abs(value) * 1e-3
    return value, size
