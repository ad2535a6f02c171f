"""Hamiltonian annealing between two densities over R^d: weights whose mean is the ratio of their normalisers.

    log γ_t = (1 − t) log q + t log p,     h = log p − log q,     0 = t_0 < … < t_K = 1
    forwards    u_0 ~ q,  log w  = Σ_k (t_k − t_{k−1}) h(u_{k−1}),  u_k ~ T_k(u_{k−1})          E[w]  = Z_p / Z_q
    backwards   u_K ~ p,  u_{k−1} ~ T_k(u_k),  log w′ = −Σ_k (t_k − t_{k−1}) h(u_{k−1})         E[w′] = Z_q / Z_p

T_k is a Hamiltonian step of a few leaps with Metropolis' test, reversible for γ_{t_k}; weights are unbiased however
badly it mixes, as long as nothing is tuned on the chains that are weighed. **Cost** K·leaps gradients a chain, many
chains at once. **Fails** by weights that vary much: the schedule is too short, or the path crosses modes late.
**Source** Neal, *Annealed importance sampling* (2001) and *MCMC using Hamiltonian dynamics* (2011); Sohl-Dickstein &
Culpepper, *Hamiltonian annealed importance sampling* (2012); Grosse, Ghahramani & Adams (2015) for the way back.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Density = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # rows u to log densities (c,) and gradients (c, d)
_ACCEPTANCE = 0.8  # that a pilot tunes its steps to


class Bridge(NamedTuple):
    """The two ends, and how to scale momenta: steps in u are `factor` times steps in z, d × d or a diagonal."""

    base: Density
    target: Density
    factor: np.ndarray
    leaps: int = 4

    def spread(self, z: np.ndarray) -> np.ndarray:
        """L z, for rows z."""
        return z * self.factor if self.factor.ndim == 1 else z @ self.factor.T

    def gathered(self, g: np.ndarray) -> np.ndarray:
        """Lᵀ g, for rows g."""
        return g * self.factor if self.factor.ndim == 1 else g @ self.factor

    def cloud(self, u: np.ndarray) -> "Cloud":
        """The chains at u."""
        (low, low_slope), (high, high_slope) = self.base(u), self.target(u)
        return Cloud(u, low, high, low_slope, high_slope)


class Cloud(NamedTuple):
    """Chains, with log q, log p and their gradients."""

    u: np.ndarray
    low: np.ndarray
    high: np.ndarray
    low_slope: np.ndarray
    high_slope: np.ndarray

    def gain(self) -> np.ndarray:
        """h = log p − log q; −inf where p is zero, whatever q is."""
        return np.where(np.isneginf(self.high), -np.inf, self.high - self.low)

    def level(self, t: float) -> np.ndarray:
        """log γ_t."""
        return self.high if t == 1.0 else (1.0 - t) * self.low + t * self.high

    def slope(self, t: float) -> np.ndarray:
        """∇ log γ_t."""
        return (1.0 - t) * self.low_slope + t * self.high_slope

    def where(self, mask: np.ndarray, other: "Cloud") -> "Cloud":
        """`other` where the mask holds."""
        pairs = zip(self, other, strict=True)
        return Cloud(*(np.where(mask if a.ndim == 1 else mask[:, None], b, a) for a, b in pairs))


class Schedule(NamedTuple):
    """t_0 … t_K, shape (K + 1,), and the step of the transition at t_k, shape (K + 1,); the first is not used."""

    t: np.ndarray
    step: np.ndarray


class Passage(NamedTuple):
    """Log weights (c,), the chains at their end, the acceptance (K,), and the spread of h at each t_k (K + 1,)."""

    logs: np.ndarray
    end: Cloud
    acceptance: np.ndarray
    spread: np.ndarray


def hamiltonian_step(
    bridge: Bridge, cloud: Cloud, t: float, step: float, random: np.random.Generator
) -> tuple[Cloud, float]:
    """One transition of every chain that leaves γ_t as it is, and how many were accepted.

    **Arguments:** `cloud`; `t`; `step`, of the leapfrog, in units of the factor.
    """
    momentum = random.standard_normal(cloud.u.shape)
    before = cloud.level(t) - 0.5 * (momentum**2).sum(1)
    moved = cloud
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(bridge.leaps):
            momentum = momentum + 0.5 * step * bridge.gathered(moved.slope(t))
            moved = bridge.cloud(moved.u + step * bridge.spread(momentum))
            momentum = momentum + 0.5 * step * bridge.gathered(moved.slope(t))
        change = moved.level(t) - 0.5 * (momentum**2).sum(1) - before
    chance = np.exp(np.minimum(np.nan_to_num(change, nan=-np.inf, posinf=0.0), 0.0))
    accepted = random.random(len(chance)) < chance
    return cloud.where(accepted, moved), float(chance.mean())


def anneal_forwards(
    bridge: Bridge, schedule: Schedule, u: np.ndarray, random: np.random.Generator, tune: bool = False
) -> Passage:
    """Chains from q to p. **Arguments:** `u`, independent draws from q, shape (c, d); `tune`, whether steps follow the
    acceptance on the way, for pilots only. Tuned steps are written into `schedule.step`.
    """
    cloud, logs = bridge.cloud(u), np.zeros(len(u))
    t, acceptance, spread = schedule.t, np.zeros(len(schedule.t) - 1), np.zeros(len(schedule.t))
    for k in range(1, len(t)):
        gain = cloud.gain()
        logs += (t[k] - t[k - 1]) * gain
        spread[k - 1] = _spread(gain)
        cloud, acceptance[k - 1] = hamiltonian_step(bridge, cloud, t[k], schedule.step[k], random)
        if tune:
            schedule.step[k:] *= np.exp(0.7 * (acceptance[k - 1] - _ACCEPTANCE))
    spread[-1] = _spread(cloud.gain())
    return Passage(logs, cloud, acceptance, spread)


def anneal_backwards(bridge: Bridge, schedule: Schedule, u: np.ndarray, random: np.random.Generator) -> Passage:
    """Chains from p to q. **Arguments:** `u`, independent draws from p, shape (c, d)."""
    cloud, logs = bridge.cloud(u), np.zeros(len(u))
    t, acceptance, spread = schedule.t, np.zeros(len(schedule.t) - 1), np.zeros(len(schedule.t))
    spread[-1] = _spread(cloud.gain())
    for k in range(len(t) - 1, 0, -1):
        cloud, acceptance[k - 1] = hamiltonian_step(bridge, cloud, t[k], schedule.step[k], random)
        gain = cloud.gain()
        logs -= (t[k] - t[k - 1]) * gain
        spread[k - 1] = _spread(gain)
    return Passage(logs, cloud, acceptance, spread)


def _spread(gain: np.ndarray) -> float:
    """Standard deviation of h, from its quartiles: a few wild chains should not bend the schedule."""
    finite = gain[np.isfinite(gain)]
    low, high = np.quantile(finite, [0.25, 0.75]) if len(finite) else (0.0, 0.0)
    return float(high - low) / 1.349


def even_bridge(passage: Passage, schedule: Schedule, steps: int) -> Schedule:
    """A schedule of K = `steps` in which every step spans as much of ∫ sd(h) dt, as a pilot saw it."""
    t = schedule.t
    pace = np.maximum(passage.spread, 1e-3 * max(passage.spread.max(), 1e-12))
    length = np.concatenate([[0.0], np.cumsum(0.5 * (pace[1:] + pace[:-1]) * np.diff(t))])
    new = np.interp(np.linspace(0.0, length[-1], steps + 1), length, t)
    new[0], new[-1] = 0.0, 1.0
    return Schedule(new, np.interp(new, t[1:], schedule.step[1:]))
