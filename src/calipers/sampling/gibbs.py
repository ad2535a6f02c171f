"""Gibbs sampling of any factor graph: each variable drawn from its distribution given all others.

    p(x_v = k | rest) ∝ Π_{a ∋ v} f_a(k, rest)

Sums of log tables, so that nothing under- or overflows. **Cost** ~10 ns a table entry that is looked at. **Fails** by
slow mixing; and where tables have zeros the chain may not reach every configuration of positive weight (it starts from
one that a SAT solver finds): then `ergodic` is False, and its averages are those of a part, unless shown otherwise.
**Source** Geman & Geman (1984).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.feasible import feasible_points, has_zeros
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.sampling.annealed_kernels import Tables, pulls
from calipers.sampling.compressed_tables import compressed_tables
from calipers.sampling.kernel import AbstractOrdered, Info, first_states
from calipers.sampling.neighbours import visiting_order
from calipers.sampling.streams import streams, uniform


class GibbsState(NamedTuple):
    """States (chains, n) int32, streams (chains, 4), the order of a sweep, and the tables."""

    values: np.ndarray
    streams: np.ndarray
    order: np.ndarray
    tables: Tables


class Gibbs(AbstractOrdered):
    """Gibbs sweeps over the variables of any discrete model; `order` as in `Metropolis`."""

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> GibbsState:
        graph = model.factor_graph()
        values = first_values(graph, rng, chains, start)
        return GibbsState(values, streams(rng, chains), _order(graph, self.order), graph_tables(graph))

    def step(self, state: GibbsState, sweeps: int = 1) -> tuple[GibbsState, Info]:
        new = state._replace(values=state.values.copy(), streams=state.streams.copy())
        moved = np.zeros(len(new.values), np.int64)
        gibbs(new.tables, new.order, new.values, new.streams, sweeps, moved)
        return new, Info(moved, sweeps * new.values.shape[1])

    def states(self, state: GibbsState) -> np.ndarray:
        return state.values.copy()


def first_values(graph: FactorGraph, rng: np.random.Generator, chains: int, start: np.ndarray | None) -> np.ndarray:
    """Where chains begin, int32 (chains, n), all of positive weight."""
    values = first_states(graph.domains, rng, chains, start)
    return values if ergodic(graph) else _feasible(graph, values, start is not None)


def graph_tables(graph: FactorGraph) -> Tables:
    """A factor graph's log tables in compressed rows, evidence in the base."""
    base = [np.zeros(k) for k in graph.sizes]
    for v, x in graph.evidence:
        base[v][np.arange(graph.sizes[v]) != x] = -np.inf
    return compressed_tables(graph.sizes, list(graph.scopes), list(graph.log_tables()), base)


def ergodic(model: AbstractDiscreteModel) -> bool:
    """Whether every configuration has positive weight: then Gibbs sampling certainly reaches all of them."""
    if isinstance(model, Ising):
        return True
    graph = model.factor_graph()
    return not graph.evidence and not has_zeros(graph)


def _feasible(graph: FactorGraph, wanted: np.ndarray, given: bool) -> np.ndarray:
    """Starts of positive weight near those wanted; a start that was given must be one."""
    if given:
        if any(not math.isfinite(graph.log_weight(x)) for x in wanted):
            raise ValueError("start has weight zero; give configurations of positive weight, or none")
        return wanted
    found = [x for x in feasible_points(graph, list(wanted)) if x is not None]
    if not found:
        raise Refusal("every configuration has weight zero: there is nothing to sample")
    return np.array(found, np.int32)


def _order(graph: FactorGraph, order: str) -> np.ndarray:
    pairs = sorted({(v, w) for s in graph.scopes for v in s for w in s if v != w}) if order == "coloured" else []
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    ptr = np.concatenate([[0], np.cumsum(np.bincount(ends[:, 0], minlength=graph.n))]).astype(np.int64)
    return visiting_order(ptr, np.ascontiguousarray(ends[:, 1]), order)


@njit(cache=True, nogil=True)
def _draw(odds, k, stream):
    """A state with probability ∝ exp(odds)."""
    top, total = odds[:k].max(), 0.0
    for i in range(k):
        odds[i] = math.exp(odds[i] - top)
        total += odds[i]
    left, last = uniform(stream) * total, 0
    for i in range(k):
        if odds[i] > 0.0:
            last = i
            left -= odds[i]
            if left < 0.0:
                return i
    return last  # rounding: never a state of weight zero


@njit(cache=True, nogil=True)
def gibbs(tables, order, values, streams, sweeps, moved):
    """Gibbs sweeps of values (chains, n), in place; `moved` counts changes."""
    n, odds = values.shape[1], np.empty(max(tables.states.max(), 1))
    for c in range(len(values)):
        x, stream = values[c], streams[c]
        for _ in range(sweeps):
            for step in range(n):
                v = order[step] if len(order) else min(int(uniform(stream) * n), n - 1)
                k = tables.states[v]
                pulls(tables, x, v, odds)
                for i in range(k):
                    odds[i] += tables.base[tables.base_at[v] + i]
                new = _draw(odds, k, stream)
                moved[c] += x[v] != new
                x[v] = new
