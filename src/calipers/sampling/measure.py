"""Energy and magnetization of many configurations at once, and the β a model is at.

The energy is a magnet's E(s), offset included; of any other model it is −log(weight at β = 1), as everywhere.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from calipers.core.model import AbstractDiscreteModel
from calipers.exact.thermodynamics import energy_statistic
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.models.tempered import Tempered


class Measured(NamedTuple):
    """Energy and Σ_i s_i of each chain, shape (chains,); the latter NaN where variables are no spins."""

    energy: np.ndarray
    magnetization: np.ndarray


def inverse_temperature(model: Any) -> float:
    """β, such that the weight is exp(−βE); 1 for models that do not say."""
    if isinstance(model, Tempered):
        return float(model.beta) * inverse_temperature(model.model)
    return float(model.beta) if isinstance(model, Ising | FactorGraph) else 1.0


def meter(model: AbstractDiscreteModel) -> Callable[[np.ndarray], Measured]:
    """A function of states (chains, n) that measures them."""
    if isinstance(model, Ising):
        j, h, offset = np.asarray(model.couplings), np.asarray(model.fields), float(model.offset)

        def of_magnet(states: np.ndarray) -> Measured:
            spins = np.ascontiguousarray(1 - 2 * states, np.int8)
            return Measured(offset + magnet_energies(model.edges, j, h, spins), spins.sum(1, dtype=np.int64) * 1.0)

        return of_magnet
    terms = energy_statistic(model)
    binary = bool((np.asarray(model.domains) == 2).all())

    def of_tables(states: np.ndarray) -> Measured:
        energy = sum((t[tuple(states[:, v] for v in s)] for s, t in terms), np.zeros(len(states)))
        total = (1.0 - 2.0 * states).sum(1) if binary else np.full(len(states), np.nan)
        return Measured(energy, total)

    return of_tables


@njit(cache=True, nogil=True)
def magnet_energies(edges, couplings, fields, spins):
    """−Σ J s s′ − Σ H s of spins (chains, n)."""
    total = np.zeros(len(spins))
    for c in range(len(spins)):
        s, pairs, single = spins[c], 0.0, 0.0
        for e in range(len(edges)):
            pairs += couplings[e] * (s[edges[e, 0]] * s[edges[e, 1]])
        for i in range(len(fields)):
            single += fields[i] * s[i]
        total[c] = -pairs - single
    return total
