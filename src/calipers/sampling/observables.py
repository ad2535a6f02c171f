"""Observables of configurations beside energy and magnetization: for `run_chain(observables=…, functions=…)`.

    S(k) = |Σ_r s_r e^{ik·r}|² / n,  k = 2π (m_1/L_1, …)       structure factor
    ξ = √(S(0)/S(k_1) − 1) / (2 sin(|k_1|/2)),  |k_1| = 2π/L   second-moment correlation length, S(0) = Var M / n
    q = Σ_i s_i^a s_i^b / n                                     overlap of two replicas (Edwards & Anderson)

An observable is a function of states (chains, n) to one number a chain; an overlap is one a pair of chains, which are
independent replicas. **Fails** by refusing lattices that are not periodic or have more than one site a cell; below T_c
without a field, where M turns over, ξ measures the whole lattice, not fluctuations. **Source** Cooper, Freedman &
Preston (1982); Edwards & Anderson (1975).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.models.ising import Ising
from calipers.sampling.estimates import Function

Observable = Callable[[np.ndarray], np.ndarray]
_KINDS = ("chain", "square", "cubic", "hypercubic")


class Measures(NamedTuple):
    """Observables, and functions of their means, by name."""

    observables: Mapping[str, Observable]
    functions: Mapping[str, Function]


def structure_factor(model: AbstractDiscreteModel, k: Sequence[int] | None = None) -> Observable:
    """S(k) of a periodic lattice of spins.

    **Arguments:** `model`; `k`, an integer a side, in units of 2π/L; None for the mean over the smallest k along each
    axis.

    **Raises:** `ValueError` when the model is no periodic hypercubic lattice, or k has not one number a side.
    """
    shape = _shape(model)
    vectors = [tuple(k)] if k is not None else [tuple(row) for row in np.eye(len(shape), dtype=int).tolist()]
    if any(len(v) != len(shape) for v in vectors):
        raise ValueError(f"k is {k}; a lattice of {len(shape)} sides needs as many integers")
    places = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape))  # (d, n)
    phases = [2.0 * math.pi * (np.array(v) / shape) @ places for v in vectors]
    waves = np.concatenate([[np.cos(p), np.sin(p)] for p in phases]).T  # (n, 2 · vectors)
    scale = math.prod(shape) * len(vectors)
    return lambda states: (((1.0 - 2.0 * states) @ waves) ** 2).sum(1) / scale


def correlation_length(model: AbstractDiscreteModel) -> Function:
    """ξ by the second moment, of series "magnetization" and "structure_factor" at the smallest k; sides must be equal.

    **Raises:** `ValueError` when the model is no periodic hypercubic lattice, or its sides differ.
    """
    shape = _shape(model)
    if len(set(shape)) > 1:
        raise ValueError(f"the sides {shape} differ; a correlation length is given for equal ones")
    n, step = math.prod(shape), 2.0 * math.sin(math.pi / shape[0])

    def xi(first: np.ndarray, second: np.ndarray, smallest: np.ndarray) -> np.ndarray:
        zero = (second - first * first) / n
        return np.sqrt(np.maximum(zero / smallest - 1.0, 0.0)) / step

    return xi, ("magnetization", lambda series: series["magnetization"] ** 2, "structure_factor")


def overlap(states: np.ndarray) -> np.ndarray:
    """q of chains 0 and 1, 2 and 3, …: states (chains, n) of spins to (chains // 2,)."""
    spins = (1 - 2 * states).astype(np.int32)
    pairs = len(spins) // 2
    return (spins[0 : 2 * pairs : 2] * spins[1 : 2 * pairs : 2]).mean(1)


def usual_measures(model: AbstractDiscreteModel) -> Measures:
    """The structure factor at the smallest k and ξ, where the lattice has them; else nothing."""
    try:
        return Measures(
            {"structure_factor": structure_factor(model)}, {"correlation_length": correlation_length(model)}
        )
    except ValueError:
        return Measures({}, {})


def _shape(model: AbstractDiscreteModel) -> tuple[int, ...]:
    made = model.lattice if isinstance(model, Ising) else None
    if made is None or made.kind not in _KINDS or not made.periodic:
        raise ValueError("structure factors need a periodic chain, square, cubic or hypercubic lattice")
    return made.shape
