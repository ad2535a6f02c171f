"""Single-spin updates of any magnet: Metropolis and heat bath.

    d = 2 s_i (βH_i + Σ_j βJ_ij s_j)        Metropolis flips with probability min(1, e^{−d}), with ½ at d = 0
                                            heat bath sets s_i = +1 with probability 1/(1 + e^{−2(βH_i + Σ βJ_ij s_j)})

Both leave exp(−βE) invariant. With sites in a fixed order ("sequential", "coloured") Metropolis flips uphill spins with
certainty; the ½ keeps free spins from marching in step, and "random" order is irreducible and aperiodic beyond doubt.
Heat bath is, in any order, since nothing has probability 0 or 1. **Cost** about 20 ns a spin. **Fails** by slow mixing:
τ ~ ξ^2.17 near criticality, exponentially long among the valleys of a glass. **Source** Metropolis et al. (1953);
Glauber (1963); Creutz, Jacobs & Rebbi (1979).
"""

import abc
import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from calipers.core.model import AbstractDiscreteModel
from calipers.sampling.kernel import AbstractOrdered, AbstractPlain, Info, first_states
from calipers.sampling.neighbours import Neighbours, neighbours
from calipers.sampling.streams import streams, uniform


class LocalState(NamedTuple):
    """Spins (chains, n) int8, one random stream a chain (chains, 4), and the wiring."""

    spins: np.ndarray
    streams: np.ndarray
    wiring: Neighbours


class AbstractSpins(AbstractPlain):
    """A kernel whose state holds `spins` (chains, n) and `streams`, both moved in place by `sweep`."""

    @abc.abstractmethod
    def sweep(self, state: Any, sweeps: int, moved: np.ndarray) -> None:
        """Moves a state in place; `moved` (chains,) counts the spins that were."""

    def step(self, state: Any, sweeps: int = 1) -> tuple[Any, Info]:
        new = state._replace(spins=state.spins.copy(), streams=state.streams.copy())
        moved = np.zeros(len(new.spins), np.int64)
        self.sweep(new, sweeps, moved)
        return new, Info(moved, sweeps * new.spins.shape[1])

    def states(self, state: Any) -> np.ndarray:
        return (state.spins < 0).astype(np.int8)


class AbstractLocal(AbstractSpins, AbstractOrdered):
    """A magnet's spins, one after another."""

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> LocalState:
        return local_state(model, self.order, rng, chains, start)


class Metropolis(AbstractLocal):
    """Metropolis updates of a magnet's spins, one after another.

    **Arguments:** `order`, "sequential", "coloured" (one colour of a graph colouring after another) or "random".
    """

    def sweep(self, state: LocalState, sweeps: int, moved: np.ndarray) -> None:
        metropolis(state.wiring, state.spins, state.streams, sweeps, moved)


class HeatBath(AbstractLocal):
    """Heat-bath (Glauber) updates of a magnet's spins; `order` as in `Metropolis`."""

    def sweep(self, state: LocalState, sweeps: int, moved: np.ndarray) -> None:
        heat_bath(state.wiring, state.spins, state.streams, sweeps, moved)


def local_state(
    model: AbstractDiscreteModel, order: str, rng: np.random.Generator, chains: int, start: np.ndarray | None
) -> LocalState:
    """Chains of spins, random unless told otherwise."""
    wiring = neighbours(model, order)
    states = first_states(np.asarray(model.domains), rng, chains, start)
    return LocalState((1 - 2 * states).astype(np.int8), streams(rng, chains), wiring)


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
