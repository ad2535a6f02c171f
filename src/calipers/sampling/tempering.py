"""Parallel tempering: replicas of one model on a ladder of temperatures, swapped between neighbours.

    swap replicas at λ_a < λ_b with probability min(1, e^{(λ_a − λ_b)(w_a − w_b)}),   weight at λ is e^{λ w}, w = −βE

so that what is hot carries a cold replica over the barriers. Pairs (0,1), (2,3), … and (1,2), (3,4), … take turns, one
turn a sweep of heat bath, or of Gibbs sampling where the model is no magnet. The ladder is adapted before the chain
begins, so that every pair rejects equally often, and is then frozen: afterwards p(x) is invariant at λ = 1, the last
replica. Round trips between the two ends are counted: few of them mean that the cold replica has hardly been renewed.
**Cost** `replicas` times that of `HeatBath`, or of `Gibbs`. **Fails** where a transition of first order separates the
ends. **Source** Hukushima & Nemoto (1996); Syed et al. (2021).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.sampling.annealed_kernels import Tables
from calipers.sampling.gibbs import first_values, gibbs, graph_tables
from calipers.sampling.kernel import AbstractPlain, Info, first_states
from calipers.sampling.local import heat_bath
from calipers.sampling.neighbours import Neighbours, neighbours
from calipers.sampling.streams import streams, uniform

_ROUNDS = 5


class TemperingState(NamedTuple):
    """Spins ±1 int8, or states int32, (chains, R, n), hottest first; streams of sweeps (chains, R, 4) and of swaps.

    `swaps` (chains, 4); `ladder` (R,); `wiring` of a magnet, or the tables of a factor graph.
    `walker` (chains, R) says who is where; `origin` (chains, R), by walker, the end it saw last (0 hot, 1 cold, −1
    none); `trips` (chains, R), round trips by walker; `rejected` (R−1,), `turns` (1,) the sweeps since the beginning.
    """

    values: np.ndarray
    streams: np.ndarray
    swaps: np.ndarray
    ladder: np.ndarray
    walker: np.ndarray
    origin: np.ndarray
    trips: np.ndarray
    rejected: np.ndarray
    turns: np.ndarray
    wiring: Neighbours | Tables


class ParallelTempering(AbstractPlain):
    """Parallel tempering of any discrete model: magnets by heat bath, others by Gibbs sampling.

    **Arguments:** `replicas` ≥ 2 on the ladder; `hottest`, the smallest λ, in (0, 1): temperature T/λ; `adapt`, sweeps
    that place the ladder, 0 for a geometric one.
    """

    replicas: int = 12
    hottest: float = 0.1
    adapt: int = 500

    def __check_init__(self) -> None:
        if self.replicas < 2 or self.adapt < 0 or not 0 < self.hottest < 1:
            raise ValueError("ParallelTempering needs replicas ≥ 2, adapt ≥ 0 and hottest between 0 and 1")

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> TemperingState:
        wiring, R = _wiring(model), self.replicas
        if isinstance(wiring, Neighbours):
            states = first_states(np.asarray(model.domains), rng, chains, start)
            if start is None:
                states = np.concatenate([states, rng.integers(0, 2, (chains * (R - 1), model.n), dtype=np.int32)])
            values = (1 - 2 * states).astype(np.int8)
        else:
            values = first_values(model.factor_graph(), rng, chains * (R if start is None else 1), start)
        values = (values if start is None else np.repeat(values, R, axis=0)).reshape(chains, R, model.n)
        ladder = np.geomspace(self.hottest, 1.0, R)
        state = _counted(values, streams(rng, chains, R), streams(rng, chains), ladder, wiring)
        for _ in range(_ROUNDS if self.adapt else 0):
            state, _ = self.step(state, -(-self.adapt // _ROUNDS))
            ladder = _even(state.ladder, rejection(state))
            state = _counted(state.values, state.streams, state.swaps, ladder, wiring)
        return state

    def step(self, state: TemperingState, sweeps: int = 1) -> tuple[TemperingState, Info]:
        kept = ("ladder", "wiring")
        new = state._replace(**{k: getattr(state, k).copy() for k in state._fields if k not in kept})
        chains, R, n = new.values.shape
        moved, rungs, sites = np.zeros((chains, R), np.int64), scaled(new.wiring, new.ladder), np.arange(n)
        for _ in range(sweeps):
            for r, wiring in enumerate(rungs):
                for c in range(chains):
                    x, stream, count = new.values[c, r : r + 1], new.streams[c, r : r + 1], moved[c, r : r + 1]
                    if isinstance(wiring, Neighbours):
                        heat_bath(wiring, x, stream, 1, count)
                    else:
                        gibbs(wiring, sites, x, stream, 1, count)
            exchange(
                log_weights(new), new.values, new.swaps, new.ladder, new.walker, new.origin, new.trips, new.rejected,
                int(new.turns[0]),
            )  # fmt: skip
            new.turns[0] += 1
        return new, Info(moved[:, -1], sweeps * n)

    def states(self, state: TemperingState) -> np.ndarray:
        cold = state.values[:, -1]
        return (cold < 0).astype(np.int8) if isinstance(state.wiring, Neighbours) else cold.copy()


def rejection(state: TemperingState) -> np.ndarray:
    """The part of proposed swaps that were rejected, (R−1,)."""
    turns, chains = int(state.turns[0]), len(state.values)
    proposed = np.where(np.arange(len(state.rejected)) % 2 == 0, (turns + 1) // 2, turns // 2) * chains
    return state.rejected / np.maximum(proposed, 1)


def round_trips(state: TemperingState) -> int:
    """Journeys of replicas from the hot end to the cold one and back, in all chains."""
    return int(state.trips.sum())


def log_weights(state: TemperingState) -> np.ndarray:
    """w of every replica at λ = 1, up to a constant, (chains, R)."""
    weigh = weigh_spins if isinstance(state.wiring, Neighbours) else weigh_tables
    return weigh(state.wiring, state.values)


def scaled(wiring: Any, ladder: np.ndarray) -> list:
    """The wiring at each λ."""
    if isinstance(wiring, Neighbours):
        return [wiring._replace(coupling=x * wiring.coupling, field=x * wiring.field) for x in ladder.tolist()]
    return [wiring._replace(entries=x * wiring.entries, base=x * wiring.base) for x in ladder.tolist()]


def _wiring(model: AbstractDiscreteModel) -> Neighbours | Tables:
    """A magnet's neighbours, or the tables of what is no magnet."""
    try:
        return neighbours(model)
    except Refusal:
        return graph_tables(model.factor_graph())


def _counted(values: Any, streams_: Any, swaps: Any, ladder: np.ndarray, wiring: Any) -> TemperingState:
    """A state whose counts are at zero."""
    chains, R = values.shape[:2]
    walker = np.tile(np.arange(R), (chains, 1))
    origin = np.full((chains, R), -1)
    origin[:, 0] = 0
    trips = np.zeros((chains, R), np.int64)
    return TemperingState(
        values, streams_, swaps, ladder, walker, origin, trips, np.zeros(R - 1, np.int64), np.zeros(1, np.int64), wiring
    )


def _even(ladder: np.ndarray, rejected: np.ndarray) -> np.ndarray:
    """λ such that each pair would reject equally often, by the cumulative rejection rate; the ends stay."""
    barrier = np.concatenate([[0.0], np.cumsum(rejected + 1e-2)])
    new = np.interp(np.linspace(0.0, barrier[-1], len(ladder)), barrier, ladder)
    new[0], new[-1] = ladder[0], ladder[-1]
    return new


@njit(cache=True, nogil=True)
def weigh_spins(wiring, spins):
    """w = Σ βJ s s′ + Σ βH s of spins (chains, R, n)."""
    found = np.zeros(spins.shape[:2])
    for c in range(spins.shape[0]):
        for r in range(spins.shape[1]):
            x, total = spins[c, r], 0.0
            for i in range(len(x)):
                half = wiring.field[i]
                for e in range(wiring.ptr[i], wiring.ptr[i + 1]):
                    half += 0.5 * wiring.coupling[e] * x[wiring.nbr[e]]
                total += half * x[i]
            found[c, r] = total
    return found


@njit(cache=True, nogil=True)
def weigh_tables(t, values):
    """w = Σ log f of values (chains, R, n): each table is counted at the first of its variables."""
    found = np.zeros(values.shape[:2])
    for c in range(values.shape[0]):
        for r in range(values.shape[1]):
            x, total = values[c, r], 0.0
            for v in range(len(x)):
                total += t.base[t.base_at[v] + x[v]]
                for a in range(t.ptr[v], t.ptr[v + 1]):
                    at, first = t.start[a] + t.own_stride[a] * np.int64(x[v]), True
                    for j in range(t.other_ptr[a], t.other_ptr[a + 1]):
                        at += t.other_stride[j] * np.int64(x[t.other[j]])
                        first = first and v < t.other[j]
                    if first:
                        total += t.entries[at]
            found[c, r] = total
    return found


@njit(cache=True, nogil=True)
def exchange(weight, values, swaps, ladder, walker, origin, trips, rejected, turn):
    """One turn of swaps, in place; `weight` (chains, R)."""
    chains, R, n = values.shape
    for c in range(chains):
        w = weight[c]
        for a in range(turn % 2, R - 1, 2):
            d = (ladder[a + 1] - ladder[a]) * (w[a] - w[a + 1])
            if uniform(swaps[c]) < (1.0 if d >= 0.0 else math.exp(d)):
                for i in range(n):
                    values[c, a, i], values[c, a + 1, i] = values[c, a + 1, i], values[c, a, i]
                walker[c, a], walker[c, a + 1] = walker[c, a + 1], walker[c, a]
            else:
                rejected[a] += 1
        hot, cold = walker[c, 0], walker[c, R - 1]
        if origin[c, hot] == 1:  # it was at the hot end before it was at the cold one: only such are marked 1
            trips[c, hot] += 1
        origin[c, hot] = 0
        if origin[c, cold] == 0:
            origin[c, cold] = 1
