"""Belief propagation on a factor graph: the order of updates, the state of a run, and the beliefs it leads to.

Factors are updated one after another in breadth-first order, backwards and forwards in turn: on a forest one pass each
way is exact. The kernels are in `factor_messages.py`.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from calipers.core.answer import Belief, Grounds
from calipers.exact.elimination import lift_belief, probe_scopes
from calipers.models.reduction import Reduced
from calipers.variational.factor_arrays import Flat, split
from calipers.variational.factor_messages import cavities, evaluate, propagate

BIAS = 0.01  # nats by which messages of a graph with loops start away from uniform
_PIECE = 1e7  # table entries of one kernel call: well under half a second


def breadth_first(flat: Flat) -> tuple[np.ndarray, bool]:
    """The factors in breadth-first order, component after component, and whether the factor graph is a forest."""
    n, f, p = len(flat.sizes), len(flat.port_ptr) - 1, len(flat.port_var)
    ones = np.ones(p)
    graph = coo_array((ones, (flat.port_var, n + flat.port_factor)), shape=(n + f + 1, n + f + 1))
    count, label = connected_components(graph, directed=False)
    roots = np.unique(label[:-1], return_index=True)[1]
    rooted = coo_array(
        (
            np.concatenate([ones, np.ones(len(roots))]),
            (
                np.concatenate([flat.port_var, np.full(len(roots), n + f)]),
                np.concatenate([n + flat.port_factor, roots]),
            ),
        ),
        shape=graph.shape,
    )
    visited = breadth_first_order(rooted.tocsr(), n + f, directed=False, return_predecessors=False)
    order = visited[(visited >= n) & (visited < n + f)] - n
    return order.astype(np.int64), p == n + f + 1 - count


def pieces(flat: Flat, order: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of `order` of about equal work, each well under half a second, between which signals are heard."""
    arity = np.diff(flat.port_ptr)
    work = np.cumsum((3.0 * np.diff(flat.table_ptr) * arity)[order]) if len(order) else np.zeros(0)
    ends = np.searchsorted(work, np.arange(_PIECE, work[-1] if len(work) else 0.0, _PIECE)) + 1
    cuts = np.unique(np.concatenate([[0], np.minimum(ends, len(order)), [len(order)]])).tolist()
    return list(pairwise(cuts))


class Messages:
    """Messages in motion. They start uniform, or with a slight random `bias` towards the first states, in nats.

    Without a bias a symmetric model stays at its symmetric fixed point, though that may be unstable.
    """

    def __init__(self, flat: Flat, bias: float = 0.0):
        self.flat = flat
        self.message = -bias * np.random.default_rng(0).random(flat.message_ptr[-1])
        self.message[flat.message_ptr[:-1]] = 0.0
        self.cavity = np.zeros(flat.message_ptr[-1])
        self.work, self.total = flat.scratch, np.zeros(flat.state_ptr[-1])

    def sweep(self, order: np.ndarray, damping: float) -> float:
        """Updates every factor in this order; the largest change of a message, inf if Z = 0 came to light."""
        way, change = np.ascontiguousarray(order), 0.0
        for first, last in pieces(self.flat, way):
            part = propagate(self.flat, way, first, last, self.message, self.cavity, damping, self.work)
            change = max(change, float(part))
        return change

    def evaluate(self) -> tuple[float, float]:
        """log Z_Bethe of the reduced model, and the magnitudes that rounding scales with; fills the beliefs `total`."""
        value, size = evaluate(self.flat, self.message, self.cavity, self.work, self.total)
        return float(value), float(size)

    def belief(self, reduced: Reduced, grounds: Grounds) -> Belief:
        """Marginals of the original variables and factors, after `evaluate`.

        A factor that reduction found to be uniform has no belief of its own: it gets a product, on no grounds.
        """
        single = [np.exp(t) for t in split(self.flat, self.total)]
        known = {(v,): p for v, p in enumerate(single)} | dict(self._factor_beliefs(reduced))
        for scope in probe_scopes(reduced):
            if scope not in known:
                grounds, known[scope] = Grounds.NONE, np.ones(())
                for v in scope:
                    known[scope] = np.multiply.outer(known[scope], single[v])
        lifted = lift_belief(reduced, known)
        return Belief(lifted.marginals, lifted.factors, grounds)

    def _factor_beliefs(self, reduced: Reduced) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """The beliefs of the original factors' free variables, from the reduced factors that they are part of."""
        place = {v: i for i, v in enumerate(reduced.variables.tolist())}
        flat = self.flat
        for a, (scope, table) in enumerate(zip(reduced.model.scopes, reduced.model.log_tables(), strict=True)):
            cavities(flat, a, self.message, self.cavity)
            logs = table.copy()
            for axis, port in enumerate(range(flat.port_ptr[a], flat.port_ptr[a + 1])):
                n = self.cavity[flat.message_ptr[port] : flat.message_ptr[port + 1]]
                logs = logs + n.reshape([-1 if i == axis else 1 for i in range(len(scope))])
            belief = np.exp(logs - logs.max())
            belief /= belief.sum()
            for member in reduced.members[a]:
                wanted = tuple(place[v] for v in reduced.original.scopes[member] if v in place)
                part = [v for v in scope if v in wanted]
                rest = belief.sum(axis=tuple(i for i, v in enumerate(scope) if v not in wanted))
                yield wanted, np.transpose(rest, [part.index(v) for v in wanted])


def guess(flat: Flat, random: np.random.Generator | None, work_limit: float = 3e7) -> np.ndarray:
    """A likely state of each variable by a few damped sweeps: the likeliest, or a draw from the beliefs.

    At most ten sweeps, and about `work_limit` table entries (a second); a model larger than that: the first states.
    """
    order, _ = breadth_first(flat)
    sweep = 3.0 * float(np.sum(np.diff(flat.table_ptr) * np.diff(flat.port_ptr)))
    run = Messages(flat)
    for turn in range(int(min(10.0, work_limit / max(sweep, 1.0)))):
        if run.sweep(order if turn % 2 else order[::-1], 0.2) == np.inf:
            return np.zeros(len(flat.sizes), np.int64)
    run.evaluate()
    noise = 0.0 if random is None else random.gumbel(size=len(run.total))
    return np.array([int(np.argmax(t)) for t in split(flat, run.total + noise)], np.int64)
