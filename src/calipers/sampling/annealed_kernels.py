"""Numba kernels of annealed importance sampling: one heat-bath sweep a step, energies kept up to date.

A chain at coupling λ has log weight base(x) + λ E(x). A step from λ_t to λ_{t+1} adds (λ_{t+1} − λ_t) E(x) to the
chain's log weight, then sweeps all variables by heat bath at λ_{t+1}, which leaves that distribution as it is. λ may
go up or down. Random numbers are SplitMix64's, one stream a chain.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Spins(NamedTuple):
    """Pairs of spins ±1: E(x) = Σ_ij J_ij s_i s_j, base(x) = Σ_i h_i s_i; neighbours in compressed rows."""

    ptr: np.ndarray  # (n+1,)
    nbr: np.ndarray  # (2e,)
    coupling: np.ndarray  # (2e,)
    field: np.ndarray  # (n,)


class Tables(NamedTuple):
    """Any factor graph: E(x) = Σ_a table_a(x_a), base(x) = Σ_v base_v(x_v)."""

    states: np.ndarray  # (n,)
    base: np.ndarray  # all base_v, one after another
    base_at: np.ndarray  # (n,)
    entries: np.ndarray  # all tables
    ptr: np.ndarray  # (n+1,) the tables of each variable
    own_stride: np.ndarray  # (I,)
    start: np.ndarray  # (I,) where the table starts
    other_ptr: np.ndarray  # (I+1,) the table's other variables
    other: np.ndarray
    other_stride: np.ndarray


@njit(cache=True, nogil=True, inline="always")
def _next(state):
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 1.1102230246251565e-16


@njit(cache=True, nogil=True, inline="always")
def _up(edges, state, odds):
    """Whether a uniform number is below 1/(1 + exp(−odds)): mostly by comparing with the nearest of `edges`."""
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    k = np.int64(z >> np.uint64(54))
    if odds > edges[k + 1] or odds < edges[k]:
        return odds > edges[k]
    return np.float64(z >> np.uint64(11)) * 1.1102230246251565e-16 * (1.0 + math.exp(-odds)) < 1.0


@njit(cache=True, nogil=True)
def _logits():
    """log(u / (1 − u)) at u = 0, 1/1024, …, 1."""
    edges = np.empty(1025)
    edges[0], edges[1024] = -np.inf, np.inf
    for k in range(1, 1024):
        edges[k] = math.log(k / (1024.0 - k))
    return edges


@njit(cache=True, nogil=True)
def _spin_energy(model, s):
    total = 0.0
    for i in range(len(s)):
        for e in range(model.ptr[i], model.ptr[i + 1]):
            total += 0.5 * model.coupling[e] * s[i] * s[model.nbr[e]]
    return total


@njit(cache=True, nogil=True)
def anneal_spins(model, schedule, seeds, s, log_weight, energy):
    """Takes every chain s[c] (n,) int8 along the schedule (T+1,); energy (T, chains) is recorded if it has rows."""
    n, edges = s.shape[1], _logits()
    for c in range(s.shape[0]):
        x, state, weight = s[c], seeds[c], 0.0
        now = _spin_energy(model, x)
        for t in range(len(schedule) - 1):
            if len(energy) > 0:
                energy[t, c] = now
            weight += (schedule[t + 1] - schedule[t]) * now
            coupling = schedule[t + 1]
            for i in range(n):
                pull = 0.0
                for e in range(model.ptr[i], model.ptr[i + 1]):
                    pull += model.coupling[e] * x[model.nbr[e]]
                state += _GOLDEN
                up = _up(edges, state, 2.0 * (model.field[i] + coupling * pull))
                new = np.int8(1) if up else np.int8(-1)
                now += pull * (new - x[i])
                x[i] = new
        log_weight[c] = weight


@njit(cache=True, nogil=True)
def pulls(model, x, v, pull):
    """The sum of v's tables at each of its states, the others as they are."""
    k = model.states[v]
    pull[:k] = 0.0
    for a in range(model.ptr[v], model.ptr[v + 1]):
        at = model.start[a]
        for j in range(model.other_ptr[a], model.other_ptr[a + 1]):
            at += model.other_stride[j] * np.int64(x[model.other[j]])
        for k_ in range(k):
            pull[k_] += model.entries[at + k_ * model.own_stride[a]]


@njit(cache=True, nogil=True)
def anneal_tables(model, schedule, seeds, start_energy, xs, log_weight, energy):
    """The same for any factor graph; xs (chains, n) int32, start_energy (chains,) is E at the start."""
    n, most = xs.shape[1], model.states.max()
    pull, odds = np.empty(most), np.empty(most)
    for c in range(xs.shape[0]):
        x, state, weight, now = xs[c], seeds[c], 0.0, start_energy[c]
        for t in range(len(schedule) - 1):
            if len(energy) > 0:
                energy[t, c] = now
            weight += (schedule[t + 1] - schedule[t]) * now
            coupling = schedule[t + 1]
            for v in range(n):
                k = model.states[v]
                pulls(model, x, v, pull)
                top = -np.inf
                for i in range(k):
                    odds[i] = model.base[model.base_at[v] + i] + coupling * pull[i]
                    top = max(top, odds[i])
                total = 0.0
                for i in range(k):
                    odds[i] = math.exp(odds[i] - top)
                    total += odds[i]
                state += _GOLDEN
                left, new = _next(state) * total, k - 1
                for i in range(k - 1):
                    left -= odds[i]
                    if left < 0.0:
                        new = i
                        break
                now += pull[new] - pull[x[v]]
                x[v] = new
        log_weight[c] = weight
