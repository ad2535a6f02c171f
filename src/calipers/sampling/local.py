"""Single-spin updates of any magnet: Metropolis and heat bath.

    d = 2 s_i (βH_i + Σ_j βJ_ij s_j)        Metropolis flips with probability min(1, e^{−d}), with ½ at d = 0
                                            heat bath sets s_i = +1 with probability 1/(1 + e^{−2(βH_i + Σ βJ_ij s_j)})

Both leave exp(−βE) invariant. With sites in a fixed order ("sequential", "coloured") Metropolis flips uphill spins with
certainty; the ½ keeps free spins from marching in step, and "random" order is irreducible and aperiodic beyond doubt.
Heat bath is, in any order, since nothing has probability 0 or 1. **Cost** about 20 ns a spin. **Fails** by slow mixing:
τ ~ ξ^2.17 near criticality, exponentially long among the valleys of a glass. **Source** Metropolis et al. (1953);
Glauber (1963); Creutz, Jacobs & Rebbi (1979).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from calipers.core.model import AbstractDiscreteModel
from calipers.sampling.kernel import AbstractKernel, Info, Measured, first_states
from calipers.sampling.measure import meter
from calipers.sampling.neighbours import Neighbours, check_order, neighbours
from calipers.sampling.streams import source, streams, uniform


class LocalState(NamedTuple):
    """Spins (chains, n) int8, one random stream a chain (chains, 4), and the wiring."""

    spins: np.ndarray
    streams: np.ndarray
    wiring: Neighbours


class Metropolis(AbstractKernel):
    """Metropolis updates of a magnet's spins, one after another.

    **Arguments:** `order`, "sequential", "coloured" (one colour of a graph colouring after another) or "random".
    """

    order: str = "sequential"

    def __check_init__(self) -> None:
        check_order(self.order)

    def init(
        self, model: AbstractDiscreteModel, *, key: Any = None, seed: int | None = None, chains: int = 4,
        start: np.ndarray | None = None,
    ) -> LocalState:  # fmt: skip
        return local_state(model, self.order, key, seed, chains, start)

    def step(self, state: LocalState, sweeps: int = 1) -> tuple[LocalState, Info]:
        return _step(metropolis, state, sweeps)

    def states(self, state: LocalState) -> np.ndarray:
        return (state.spins < 0).astype(np.int8)

    def meter(self, model: AbstractDiscreteModel) -> Callable[[LocalState], Measured]:
        measure = meter(model)
        return lambda state: measure(self.states(state))


class HeatBath(AbstractKernel):
    """Heat-bath (Glauber) updates of a magnet's spins; `order` as in `Metropolis`."""

    order: str = "sequential"

    def __check_init__(self) -> None:
        check_order(self.order)

    def init(
        self, model: AbstractDiscreteModel, *, key: Any = None, seed: int | None = None, chains: int = 4,
        start: np.ndarray | None = None,
    ) -> LocalState:  # fmt: skip
        return local_state(model, self.order, key, seed, chains, start)

    def step(self, state: LocalState, sweeps: int = 1) -> tuple[LocalState, Info]:
        return _step(heat_bath, state, sweeps)

    def states(self, state: LocalState) -> np.ndarray:
        return (state.spins < 0).astype(np.int8)

    def meter(self, model: AbstractDiscreteModel) -> Callable[[LocalState], Measured]:
        measure = meter(model)
        return lambda state: measure(self.states(state))


def local_state(
    model: AbstractDiscreteModel, order: str, key: Any, seed: int | None, chains: int, start: np.ndarray | None
) -> LocalState:
    """Chains of spins, random unless told otherwise."""
    wiring, rng = neighbours(model, order), source(key, seed)
    states = first_states(np.asarray(model.domains), rng, chains, start)
    return LocalState((1 - 2 * states).astype(np.int8), streams(rng, chains), wiring)


def _step(update: Any, state: LocalState, sweeps: int) -> tuple[LocalState, Info]:
    new = state._replace(spins=state.spins.copy(), streams=state.streams.copy())
    moved = np.zeros(len(new.spins), np.int64)
    update(new.wiring, new.spins, new.streams, sweeps, moved)
    return new, Info(moved, sweeps * new.spins.shape[1])


@njit(cache=True, nogil=True, inline="always")
def _pull(wiring, x, i):
    """βH_i + Σ_j βJ_ij s_j."""
    total = wiring.field[i]
    for e in range(wiring.ptr[i], wiring.ptr[i + 1]):
        total += wiring.coupling[e] * x[wiring.nbr[e]]
    return total


@njit(cache=True, nogil=True, inline="always")
def _site(wiring, k, n, stream):
    """The k-th site of a sweep."""
    return wiring.order[k] if len(wiring.order) else min(int(uniform(stream) * n), n - 1)


@njit(cache=True, nogil=True)
def metropolis(wiring, spins, streams, sweeps, moved):
    """Metropolis sweeps of spins (chains, n), in place; `moved` counts flips."""
    n = spins.shape[1]
    for c in range(len(spins)):
        x, stream = spins[c], streams[c]
        for _ in range(sweeps):
            for k in range(n):
                i = _site(wiring, k, n, stream)
                d = 2.0 * x[i] * _pull(wiring, x, i)
                if d < 0.0 or uniform(stream) < (math.exp(-d) if d > 0.0 else 0.5):
                    x[i] = -x[i]
                    moved[c] += 1


@njit(cache=True, nogil=True)
def heat_bath(wiring, spins, streams, sweeps, moved):
    """Heat-bath sweeps of spins (chains, n), in place; `moved` counts flips."""
    n = spins.shape[1]
    for c in range(len(spins)):
        x, stream = spins[c], streams[c]
        for _ in range(sweeps):
            for k in range(n):
                i = _site(wiring, k, n, stream)
                up = uniform(stream) * (1.0 + math.exp(-2.0 * _pull(wiring, x, i))) < 1.0
                new = np.int8(1) if up else np.int8(-1)
                moved[c] += x[i] != new
                x[i] = new
