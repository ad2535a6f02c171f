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
from typing import NamedTuple

import numpy as np

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.sampling import cluster_kernels as kernels
from calipers.sampling.local import AbstractSpins, local_state
from calipers.sampling.neighbours import Neighbours


class ClusterState(NamedTuple):
    """Spins (chains, n) int8, streams (chains, 4), wiring, and the probabilities of bonds (2e,) and ties (n,)."""

    spins: np.ndarray
    streams: np.ndarray
    wiring: Neighbours
    bond: np.ndarray
    tie: np.ndarray


class SwendsenWang(AbstractSpins):
    """All clusters at once: a sweep divides the magnet into clusters and flips each with probability ½."""

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> ClusterState:
        return _cluster_state(model, rng, chains, start)

    def sweep(self, state: ClusterState, sweeps: int, moved: np.ndarray) -> None:
        kernels.swendsen_wang(state.wiring, state.bond, state.tie, state.spins, state.streams, sweeps, moved)


class Wolff(AbstractSpins):
    """One cluster at a time: a sweep is one cluster, whatever its size, so that the number of spins moved varies."""

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> ClusterState:
        state = _cluster_state(model, rng, chains, start)
        if not state.bond.any() and not state.tie.any():
            raise Refusal("without couplings and fields single clusters come back in two steps; use HeatBath()")
        return state

    def sweep(self, state: ClusterState, sweeps: int, moved: np.ndarray) -> None:
        kernels.wolff(state.wiring, state.bond, state.tie, state.spins, state.streams, sweeps, moved)


def _cluster_state(
    model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
) -> ClusterState:
    local = local_state(model, "sequential", rng, chains, start)
    wiring = local.wiring
    if kernels.frustrated(wiring.ptr, wiring.nbr, wiring.coupling, wiring.field):
        warnings.warn(
            "the magnet is frustrated: cluster updates stay correct, but clusters may span it; ParallelTempering() or "
            "HeatBath() may mix better",
            stacklevel=4,
        )
    return ClusterState(*local, -np.expm1(-2.0 * np.abs(wiring.coupling)), -np.expm1(-2.0 * np.abs(wiring.field)))
