"""Parallel tempering: replicas of one magnet on a ladder of temperatures, swapped between neighbours.

    swap replicas at λ_a < λ_b with probability min(1, e^{(λ_a − λ_b)(w_a − w_b)}),   weight at λ is e^{λ w}, w = −βE

so that what is hot carries a cold replica over the barriers. Pairs (0,1), (2,3), … and (1,2), (3,4), … take turns, one
turn a sweep of heat bath. The ladder is adapted before the chain begins, so that every pair rejects equally often, and
is then frozen: afterwards p(x) is invariant at λ = 1, the last replica. Round trips between the two ends are counted:
few of them mean that the cold replica has hardly been renewed. **Cost** `replicas` times that of `HeatBath`. **Fails**
where a transition of first order separates the ends. **Source** Hukushima & Nemoto (1996); Syed et al. (2021).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from calipers.core.model import AbstractDiscreteModel
from calipers.sampling.kernel import AbstractPlain, Info, first_states
from calipers.sampling.local import heat_bath
from calipers.sampling.neighbours import Neighbours, neighbours
from calipers.sampling.streams import streams, uniform

_ROUNDS = 5


class TemperingState(NamedTuple):
    """Spins (chains, R, n), hottest first; streams of sweeps (chains, R, 4) and swaps (chains, 4); ladder (R,); wiring.

    `walker` (chains, R) says who is where; `origin` (chains, R), by walker, the end it saw last (0 hot, 1 cold, −1
    none); `trips` (chains, R), round trips by walker; `rejected` (R−1,), `turns` (1,) the sweeps since the beginning.
    """

    spins: np.ndarray
    streams: np.ndarray
    swaps: np.ndarray
    ladder: np.ndarray
    walker: np.ndarray
    origin: np.ndarray
    trips: np.ndarray
    rejected: np.ndarray
    turns: np.ndarray
    wiring: Neighbours


class ParallelTempering(AbstractPlain):
    """Parallel tempering of a magnet by heat bath.

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
        wiring, R = neighbours(model), self.replicas
        states = first_states(np.asarray(model.domains), rng, chains, start)
        if start is None:
            states = np.concatenate([states, rng.integers(0, 2, (chains * (R - 1), model.n), dtype=np.int32)])
        else:
            states = np.repeat(states, R, axis=0)
        spins = (1 - 2 * states).astype(np.int8).reshape(chains, R, model.n)
        ladder = np.geomspace(self.hottest, 1.0, R)
        state = _counted(spins, streams(rng, chains, R), streams(rng, chains), ladder, wiring)
        for _ in range(_ROUNDS if self.adapt else 0):
            state, _ = self.step(state, -(-self.adapt // _ROUNDS))
            ladder = _even(state.ladder, rejection(state))
            state = _counted(state.spins, state.streams, state.swaps, ladder, wiring)
        return state

    def step(self, state: TemperingState, sweeps: int = 1) -> tuple[TemperingState, Info]:
        kept = ("ladder", "wiring")
        new = state._replace(**{k: getattr(state, k).copy() for k in state._fields if k not in kept})
        chains, R, n = new.spins.shape
        moved = np.zeros((chains, R), np.int64)
        for _ in range(sweeps):
            for r, wiring in enumerate(scaled(new.wiring, new.ladder)):
                for c in range(chains):
                    heat_bath(wiring, new.spins[c, r : r + 1], new.streams[c, r : r + 1], 1, moved[c, r : r + 1])
            exchange(
                new.wiring, new.spins, new.swaps, new.ladder, new.walker, new.origin, new.trips, new.rejected,
                int(new.turns[0]),
            )  # fmt: skip
            new.turns[0] += 1
        return new, Info(moved[:, -1], sweeps * n)

    def states(self, state: TemperingState) -> np.ndarray:
        return (state.spins[:, -1] < 0).astype(np.int8)


def rejection(state: TemperingState) -> np.ndarray:
    """The part of proposed swaps that were rejected, (R−1,)."""
    turns, chains = int(state.turns[0]), len(state.spins)
    proposed = np.where(np.arange(len(state.rejected)) % 2 == 0, (turns + 1) // 2, turns // 2) * chains
    return state.rejected / np.maximum(proposed, 1)


def round_trips(state: TemperingState) -> int:
    """Journeys of replicas from the hot end to the cold one and back, in all chains."""
    return int(state.trips.sum())


def scaled(wiring: Neighbours, ladder: np.ndarray) -> list[Neighbours]:
    """The wiring at each λ."""
    return [wiring._replace(coupling=x * wiring.coupling, field=x * wiring.field) for x in ladder.tolist()]


def _counted(spins: Any, streams_: Any, swaps: Any, ladder: np.ndarray, wiring: Neighbours) -> TemperingState:
    """A state whose counts are at zero."""
    chains, R = spins.shape[:2]
    walker = np.tile(np.arange(R), (chains, 1))
    origin = np.full((chains, R), -1)
    origin[:, 0] = 0
    trips = np.zeros((chains, R), np.int64)
    return TemperingState(
        spins, streams_, swaps, ladder, walker, origin, trips, np.zeros(R - 1, np.int64), np.zeros(1, np.int64), wiring
    )


def _even(ladder: np.ndarray, rejected: np.ndarray) -> np.ndarray:
    """λ such that each pair would reject equally often, by the cumulative rejection rate; the ends stay."""
    barrier = np.concatenate([[0.0], np.cumsum(rejected + 1e-2)])
    new = np.interp(np.linspace(0.0, barrier[-1], len(ladder)), barrier, ladder)
    new[0], new[-1] = ladder[0], ladder[-1]
    return new


@njit(cache=True, nogil=True)
def _log_weight(wiring, x):
    """w = Σ βJ s s′ + Σ βH s."""
    total = 0.0
    for i in range(len(x)):
        half = wiring.field[i]
        for e in range(wiring.ptr[i], wiring.ptr[i + 1]):
            half += 0.5 * wiring.coupling[e] * x[wiring.nbr[e]]
        total += half * x[i]
    return total


@njit(cache=True, nogil=True)
def exchange(wiring, spins, swaps, ladder, walker, origin, trips, rejected, turn):
    """One turn of swaps, in place."""
    chains, R, n = spins.shape
    for c in range(chains):
        for a in range(turn % 2, R - 1, 2):
            gain = _log_weight(wiring, spins[c, a]) - _log_weight(wiring, spins[c, a + 1])
            d = (ladder[a + 1] - ladder[a]) * gain
            if uniform(swaps[c]) < (1.0 if d >= 0.0 else math.exp(d)):
                for i in range(n):
                    spins[c, a, i], spins[c, a + 1, i] = spins[c, a + 1, i], spins[c, a, i]
                walker[c, a], walker[c, a + 1] = walker[c, a + 1], walker[c, a]
            else:
                rejected[a] += 1
        hot, cold = walker[c, 0], walker[c, R - 1]
        if origin[c, hot] == 1:  # it was at the hot end before it was at the cold one: only such are marked 1
            trips[c, hot] += 1
        origin[c, hot] = 0
        if origin[c, cold] == 0:
            origin[c, cold] = 1
