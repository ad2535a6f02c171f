"""Kernels of mean field on an Ising magnet: coordinate ascent on the effective fields η_i = atanh m_i.

    η_i = βH_i + Σ_j βJ_ij m_j,  m_i = tanh η_i,      F(m) = Σ_(ij) βJ_ij m_i m_j + Σ_i βH_i m_i + Σ_i S(η_i) ≤ log Z

Sites are visited one after another, in place: every visit maximises F over one m_i, so F never falls and no damping is
needed. Cost of a sweep: about 40 ns a site of a square lattice on one core. `S` is written in η, so that saturated spins
(m = ±1 in float64) keep their entropy to full relative precision.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit


class Bonds(NamedTuple):
    """Neighbours in flat form: site i has bonds ptr[i] … ptr[i+1]."""

    ptr: np.ndarray  # (n+1,)
    neighbour: np.ndarray  # (2e,)
    coupling: np.ndarray  # (2e,) βJ
    field: np.ndarray  # (n,) βH


def bonds(edges: np.ndarray, coupling: np.ndarray, field: np.ndarray) -> Bonds:
    """Both directions of each edge, sorted by site; `coupling` and `field` carry β already."""
    n = len(field)
    source = np.concatenate([edges[:, 0], edges[:, 1]])
    target = np.concatenate([edges[:, 1], edges[:, 0]])
    order = np.argsort(source, kind="stable")
    ptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n))]).astype(np.int64)
    both = np.concatenate([coupling, coupling])
    return Bonds(
        ptr,
        np.ascontiguousarray(target[order], np.int64),
        np.ascontiguousarray(both[order], np.float64),
        np.ascontiguousarray(field, np.float64),
    )


@njit(cache=True, nogil=True)
def sweep(bonds, eta, m, awake, threshold):
    """Visits every site that is awake once; returns the gain of F, to second order in the steps, in nats.

    A site falls asleep when visited, and wakes its neighbours when its magnetization moved by more than `threshold`:
    late sweeps cost only what still moves.
    """
    gain = 0.0
    for i in range(len(m)):
        if not awake[i]:
            continue
        awake[i] = False
        x = bonds.field[i]
        for b in range(bonds.ptr[i], bonds.ptr[i + 1]):
            x += bonds.coupling[b] * m[bonds.neighbour[b]]
        new = math.tanh(x)
        step = new - m[i]
        gain += 0.5 * step * (x - eta[i])
        eta[i], m[i] = x, new
        if abs(step) > threshold:
            for b in range(bonds.ptr[i], bonds.ptr[i + 1]):
                awake[bonds.neighbour[b]] = True
    return gain


@njit(cache=True, nogil=True)
def entropy(eta):
    """Entropy in nats of a spin in the field η."""
    t = math.exp(-2.0 * abs(eta))
    return math.log1p(t) + 2.0 * abs(eta) * t / (1.0 + t)


@njit(cache=True, nogil=True)
def evaluate(bonds, eta, m):
    """F(m), and the sum of the magnitudes that went into it, for the rounding estimate."""
    value, carry, size = 0.0, 0.0, 0.0
    for i in range(len(m)):
        x, spread = 0.0, abs(bonds.field[i])
        for b in range(bonds.ptr[i], bonds.ptr[i + 1]):
            term = 0.5 * bonds.coupling[b] * m[bonds.neighbour[b]]
            x += term
            spread += abs(term)
        term = m[i] * (bonds.field[i] + x) + entropy(eta[i])
        size += spread * (bonds.ptr[i + 1] - bonds.ptr[i] + 4.0) + 1.0
        total = value + term
        carry += (value - total) + term if abs(value) >= abs(term) else (term - total) + value
        value = total
    return value + carry, size
