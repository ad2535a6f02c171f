"""Cluster updates of magnets: Swendsen–Wang and Wolff, fields by a ghost spin.

    a bond between spins that satisfy it (J s s′ > 0) is made with probability 1 − e^{−2β|J|}
    a spin along its field is tied to a ghost with probability 1 − e^{−2β|H|}

Swendsen–Wang flips every cluster with probability ½, but those tied to the ghost; Wolff grows one cluster from a random
site and flips it, unless it is tied: then nothing moves. Both leave exp(−βE) invariant for couplings and fields of any
sign. **Cost** about 30 ns a spin of the square lattice. **Fails** to be faster than single flips where bonds are
frustrated: then clusters span the system above the interesting temperatures, and a warning says so. **Source** Swendsen
& Wang (1987); Wolff (1989); Kandel & Domany (1991).
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.sampling import cluster_kernels as kernels
from calipers.sampling.kernel import AbstractKernel, Info, Measured
from calipers.sampling.local import local_state
from calipers.sampling.measure import meter
from calipers.sampling.neighbours import Neighbours


class ClusterState(NamedTuple):
    """Spins (chains, n) int8, streams (chains, 4), wiring, and the probabilities of bonds (2e,) and ties (n,)."""

    spins: np.ndarray
    streams: np.ndarray
    wiring: Neighbours
    bond: np.ndarray
    tie: np.ndarray


class SwendsenWang(AbstractKernel):
    """All clusters at once: a sweep divides the magnet into clusters and flips each with probability ½."""

    def init(
        self, model: AbstractDiscreteModel, *, key: Any = None, seed: int | None = None, chains: int = 4,
        start: np.ndarray | None = None,
    ) -> ClusterState:  # fmt: skip
        return _cluster_state(model, key, seed, chains, start)

    def step(self, state: ClusterState, sweeps: int = 1) -> tuple[ClusterState, Info]:
        return _step(kernels.swendsen_wang, state, sweeps)

    def states(self, state: ClusterState) -> np.ndarray:
        return (state.spins < 0).astype(np.int8)

    def meter(self, model: AbstractDiscreteModel) -> Callable[[ClusterState], Measured]:
        measure = meter(model)
        return lambda state: measure(self.states(state))


class Wolff(AbstractKernel):
    """One cluster at a time: a sweep is one cluster, whatever its size, so that the number of spins moved varies."""

    def init(
        self, model: AbstractDiscreteModel, *, key: Any = None, seed: int | None = None, chains: int = 4,
        start: np.ndarray | None = None,
    ) -> ClusterState:  # fmt: skip
        state = _cluster_state(model, key, seed, chains, start)
        if not state.bond.any() and not state.tie.any():
            raise Refusal("without couplings and fields single clusters come back in two steps; use HeatBath()")
        return state

    def step(self, state: ClusterState, sweeps: int = 1) -> tuple[ClusterState, Info]:
        return _step(kernels.wolff, state, sweeps)

    def states(self, state: ClusterState) -> np.ndarray:
        return (state.spins < 0).astype(np.int8)

    def meter(self, model: AbstractDiscreteModel) -> Callable[[ClusterState], Measured]:
        measure = meter(model)
        return lambda state: measure(self.states(state))


def _cluster_state(model: AbstractDiscreteModel, key: Any, seed: Any, chains: int, start: Any) -> ClusterState:
    local = local_state(model, "sequential", key, seed, chains, start)
    wiring = local.wiring
    if kernels.frustrated(wiring.ptr, wiring.nbr, wiring.coupling, wiring.field):
        warnings.warn(
            "the magnet is frustrated: cluster updates stay correct, but clusters may span it; ParallelTempering() or "
            "HeatBath() may mix better",
            stacklevel=3,
        )
    return ClusterState(*local, -np.expm1(-2.0 * np.abs(wiring.coupling)), -np.expm1(-2.0 * np.abs(wiring.field)))


def _step(update: Any, state: ClusterState, sweeps: int) -> tuple[ClusterState, Info]:
    new = state._replace(spins=state.spins.copy(), streams=state.streams.copy())
    moved = np.zeros(len(new.spins), np.int64)
    update(new.wiring, new.bond, new.tie, new.spins, new.streams, sweeps, moved)
    return new, Info(moved, sweeps * new.spins.shape[1])
