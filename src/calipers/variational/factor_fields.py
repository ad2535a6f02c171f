"""Kernels of mean field on a factor graph: coordinate ascent on a product of marginals q_v.

    log q_v(x) = Σ_{a ∋ v} ⟨θ_a | x_v = x⟩_q + const,        F(q) = Σ_a ⟨θ_a⟩_q + Σ_v H(q_v) ≤ log Z

A state that would give mass to a zero of some factor, given the support of the others, gets none. As long as the
product starts inside the model's support it stays there, and supports can only widen: F is finite at every step.
Masses below e^−600 are set to zero, so that a support is exactly where q > 0.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numba import njit

from calipers.core.answer import Belief, Grounds
from calipers.core.witness import Block, Tangent
from calipers.exact.elimination import lift_belief, probe_scopes
from calipers.exact.feasible import feasible_points
from calipers.exact.kernels import ULP
from calipers.models.reduction import Reduced
from calipers.variational.factor_arrays import Flat, contract_mean, flatten, split
from calipers.variational.factor_propagation import guess

_SMALLEST = -600.0  # log of the smallest mass that is kept
_THRESHOLD = 1e-7  # probabilities that moved by less wake no neighbours
_PIECE = 5e6  # table entries of one kernel call: signals are heard between two calls


@njit(cache=True, nogil=True)
def ascend(flat, order, first, last, logs, q, awake, threshold, field, work):
    """Updates those variables of order[first:last] that are awake; returns the gain of F, Σ KL(old ‖ new), in nats.

    A variable falls asleep when visited, and wakes those that share a factor with it if it moved by over `threshold`.
    """
    gain = 0.0
    for place in range(first, last):
        v = order[place]
        if not awake[v]:
            continue
        awake[v] = False
        k, at = flat.sizes[v], flat.state_ptr[v]
        field[:k] = 0.0
        for i in range(flat.var_ptr[v], flat.var_ptr[v + 1]):
            port = flat.var_port[i]
            contract_mean(flat, flat.port_factor[port], port, q, work)
            for x in range(k):
                field[x] += work[x]
        top, total = field[:k].max(), 0.0
        for x in range(k):
            field[x] -= top
            if field[x] >= _SMALLEST:
                total += math.exp(field[x])
        log_total, moved = math.log(total), 0.0
        for x in range(k):
            new = field[x] - log_total if field[x] >= _SMALLEST else -np.inf
            if q[at + x] > 0.0 and new > -np.inf:
                gain += q[at + x] * (logs[at + x] - new)
            moved = max(moved, abs(q[at + x] - math.exp(new)))
            logs[at + x] = new
            q[at + x] = math.exp(new)
        if moved > threshold:
            _wake(flat, v, awake)
    return gain


@njit(cache=True, nogil=True)
def _wake(flat, v, awake):
    for i in range(flat.var_ptr[v], flat.var_ptr[v + 1]):
        a = flat.port_factor[flat.var_port[i]]
        for port in range(flat.port_ptr[a], flat.port_ptr[a + 1]):
            if flat.port_var[port] != v:
                awake[flat.port_var[port]] = True


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


class FactorProduct:
    """Independent variables as a trial for a factor graph, zeros included; a bound at every moment after `begin`."""

    def __init__(self, reduced: Reduced):
        self.reduced, self.flat = reduced, flatten(reduced.model)
        flat = self.flat
        self.work, self.field = flat.scratch, np.empty(int(flat.sizes.max(initial=1)))
        self.logs = np.repeat(-np.log(flat.sizes), flat.sizes)
        self.q = np.exp(self.logs)
        zero = (
            np.logical_or.reduceat(np.isneginf(flat.tables), flat.table_ptr[:-1]) if len(flat.tables) else np.zeros(0)
        )
        self.hard = np.zeros(len(flat.sizes), bool)
        self.hard[flat.port_var[zero[flat.port_factor].astype(bool)]] = True
        self.order, self.awake = np.arange(len(flat.sizes)), np.ones(len(flat.sizes), bool)
        cost = np.bincount(flat.port_var, np.diff(flat.table_ptr)[flat.port_factor], minlength=len(flat.sizes))
        self.cost = 4.0 * cost
        self.points: Iterator[np.ndarray | None] | None = None

    def begin(self, start: int, random: np.random.Generator) -> bool:
        """Takes up the trial number `start`; False if the model has no configuration of positive weight.

        Variables of factors with zeros begin at one feasible configuration, found near what belief propagation thinks
        likely; the others begin free, all in the first state, all in the last, then at random.
        """
        flat = self.flat
        self.logs[:] = _opening(flat.sizes, start, random)
        self.order = np.arange(len(flat.sizes)) if start == 0 else random.permutation(len(flat.sizes))
        if self.hard.any():
            if self.points is None:
                self.points = feasible_points(self.reduced.model, _wishes(flat, random))
            point = next(self.points)
            if point is None:
                return False
            masked = np.repeat(self.hard, flat.sizes)
            self.logs[masked] = -np.inf
            self.logs[(flat.state_ptr[:-1] + point)[self.hard]] = 0.0
        self.q[:] = np.exp(self.logs)
        self.awake[:] = True
        return True

    def sweep(self) -> float:
        """One sweep of coordinate ascent; the gain in nats."""
        ends = np.searchsorted(np.cumsum(self.cost[self.order]), np.arange(_PIECE, self.cost.sum() + _PIECE, _PIECE))
        gain, first = 0.0, 0
        for last in [*(ends + 1).tolist(), len(self.order)]:
            last = min(last, len(self.order))
            span = (self.flat, self.order, first, last)
            gain += ascend(*span, self.logs, self.q, self.awake, _THRESHOLD, self.field, self.work)
            first = last
        return float(gain)

    def bound(self) -> tuple[float, float]:
        """The bound on the original model's log Z, and its rounding estimate."""
        value, size = evaluate(self.flat, self.logs, self.q, self.work)
        error = ULP * (8.0 + len(self.field)) * size
        return value + self.reduced.log_constant, error + self.reduced.error + 2.0 * ULP * abs(value)

    def belief(self) -> Belief:
        """Marginals of the original variables, and their products over the original factors."""
        single = split(self.flat, self.q.copy())
        tables = {}
        for scope in probe_scopes(self.reduced):
            tables[scope] = np.ones(())
            for v in scope:
                tables[scope] = np.multiply.outer(tables[scope], single[v])
        lifted = lift_belief(self.reduced, tables)
        return Belief(lifted.marginals, lifted.factors, Grounds.NONE)

    def witness(self) -> Callable[[], Tangent]:
        """A function that writes the trial as it stands now, in the original model's variables."""
        logs = split(self.flat, self.logs.copy())
        return lambda: product_witness(self.reduced, logs)


def _wishes(flat: Flat, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Likely states: first the likeliest, then draws."""
    yield guess(flat, None)
    while True:
        yield guess(flat, random)


def _opening(sizes: np.ndarray, start: int, random: np.random.Generator) -> np.ndarray:
    """Log marginals over all states: uniform, mostly the first state, mostly the last, then random."""
    rows = []
    for k in sizes.tolist():
        weights = random.exponential(size=k) + 1e-9 if start > 2 else np.ones(k)
        if start in (1, 2):
            weights[0 if start == 1 else -1] += 20.0 * k
        rows.append(np.log(weights / weights.sum()))
    return np.concatenate(rows) if rows else np.zeros(0)


def product_witness(reduced: Reduced, logs: tuple[np.ndarray, ...]) -> Tangent:
    """One block a variable; its extra table is log q less the factors that the restriction leaves on it alone."""
    states = list(reduced.states)
    support = [np.flatnonzero(q > -np.inf) for q in logs]
    for v, alive in zip(reduced.variables.tolist(), support, strict=True):
        states[v] = states[v][alive]
    table = {
        v: q[alive].copy()
        for v, q, alive in zip(reduced.variables.tolist(), logs, support, strict=True)
        if len(alive) > 1
    }
    original = reduced.original
    for scope, log_table in zip(original.scopes, original.log_tables(), strict=True):
        free = [v for v in scope if len(states[v]) > 1]
        if len(free) == 1 and free[0] in table:
            table[free[0]] -= log_table[np.ix_(*(states[v] for v in scope))].ravel()
    return Tangent(tuple(states), tuple(Block((v,), (((v,), t),)) for v, t in table.items()))
