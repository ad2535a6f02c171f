"""Annealing a ferromagnet by Swendsen–Wang, between itself and where its sum is known.

    log w = Σ_t (λ_t − λ_{t+1}) H(x_t),   x_{t+1} from x_t by Swendsen–Wang at λ_{t+1},   E[w] = ζ(λ_end)/ζ(λ_start)

λ runs between 1 (the model) and 0, or between 1 and ∞ (its ground states): the schedule may begin or end with ∞, where
only H = 0 is left. Towards ∞ the mean is as it should be; from ∞ it is at most that, since what is not a ground state
is never begun from. **Proves** nothing by itself (docs/theorems.md, theorem S8, makes sides of it).
**Cost** about 20 ns a spin, step and chain. **Source** Neal, *Annealed importance sampling* (2001); Swendsen & Wang
(1987); Gelman & Meng (1998) for the length ∫ √Var H dλ, whose square, over the steps, is the variance of log w but for
correlations.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.sampling.cluster_kernels import join, turn_clusters
from calipers.sampling.ferromagnet import Ferromagnet, components
from calipers.sampling.streams import streams, uniform

_PIECE = 5e6  # updates in one call of the kernel
_EDGE = 1e-3  # excitations that may be left at the end of a schedule towards ∞


class Annealed(NamedTuple):
    """Log weights (chains,); H before each step, (t, chains), where it was recorded; the states at the end."""

    logs: np.ndarray
    energies: np.ndarray
    spins: np.ndarray


def anneal(
    magnet: Ferromagnet, schedule: np.ndarray, spins: np.ndarray, rng: np.random.Generator, record: bool = False
) -> Annealed:
    """Runs chains along a schedule of λ from spins of the gauge, int8 (chains, n), drawn at its start."""
    x, chains, steps = np.array(spins, np.int8), len(spins), len(schedule) - 1
    logs, energies, lanes = np.zeros(chains), np.zeros((steps if record else 0, chains)), streams(rng, chains)
    piece = max(1, int(_PIECE / max(magnet.m + magnet.n, 1)))
    for c in range(chains):
        for t in range(0, steps, piece):
            part = schedule[t : t + piece + 1]
            logs[c] += _anneal(magnet.bonds, part, x[c], lanes[c], energies[t : t + piece, c], record)
    return Annealed(logs, energies, x)


def ground_states(magnet: Ferromagnet, chains: int, rng: np.random.Generator) -> np.ndarray:
    """Draws at λ = ∞: along the fields, every component without one ±1 by a coin; (chains, n) int8."""
    x = np.ones((chains, magnet.n), np.int8)
    for c, lane in enumerate(streams(rng, chains)):
        _ground(magnet.bonds, lane, x[c])
    return x


def cold_schedule(magnet: Ferromagnet, steps: int) -> np.ndarray:
    """Points from λ = ∞ to 1, spread as if excitations of the ground state were independent flips."""
    prices, counts = np.unique(_prices(magnet).round(12), return_counts=True)
    prices, counts = prices[prices > 0.0], counts[prices > 0.0]
    last = 1.0
    while counts @ np.exp(-last * prices) > _EDGE:
        last *= 1.1
    fine = np.geomspace(1.0, max(last, 1.01), 1000)
    speed = np.sqrt((counts * prices**2) @ np.exp(-np.outer(prices, fine)))
    length = np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * np.diff(fine))])
    return np.append(np.interp(np.linspace(0.0, length[-1], steps), length, fine), math.inf)[::-1].copy()


def even_schedule(schedule: np.ndarray, energies: np.ndarray, steps: int) -> np.ndarray:
    """The same way in so many steps, spread by the standard deviation of H before each step of a pilot, (t, chains)."""
    finite = np.isfinite(schedule)
    ends, grid, part = schedule[~finite], schedule[finite], energies[np.count_nonzero(~finite) :]
    spread = np.append(part.std(axis=1), part[-1].std())
    spread = spread + 0.05 * max(float(spread.max()), 1e-12)
    smooth = np.convolve(np.pad(spread, 5, mode="edge"), np.full(11, 1.0 / 11), mode="valid")
    length = np.concatenate([[0.0], np.cumsum(0.5 * (smooth[1:] + smooth[:-1]) * np.abs(np.diff(grid)))])
    places = np.linspace(0.0, length[-1], max(steps + 1 - len(ends), 2))
    points = np.interp(places, length, grid)
    points[0], points[-1] = grid[0], 1.0
    return np.concatenate([ends, points])


def _prices(magnet: Ferromagnet) -> np.ndarray:
    """What it costs to turn one spin of a ground state, or a whole component against its fields; (n + components,)."""
    bonds, cost, n = magnet.bonds, magnet.cost, magnet.n
    single = np.bincount(np.concatenate([bonds.head, bonds.tail]), np.tile(cost, 2), n + 1)[:n]
    tied = bonds.tail == n
    count, part = components(n, np.stack([bonds.head, bonds.tail], axis=1)[~tied])
    return np.concatenate([single, np.bincount(part[bonds.head[tied]], cost[tied], count)])


@njit(cache=True, nogil=True)
def _anneal(bonds, schedule, x, stream, energies, record):
    """Steps along the schedule, in place; the log weight."""
    n, m, total = len(x), len(bonds.head), 0.0
    parent, turn, keep = np.empty(n + 1, np.int64), np.empty(n + 1, np.int8), np.empty(len(bonds.costs))
    for t in range(len(schedule) - 1):
        for c in range(len(keep)):
            keep[c] = np.exp(-bonds.base[c] - (schedule[t + 1] * bonds.costs[c] if bonds.costs[c] > 0.0 else 0.0))
        for i in range(n + 1):
            parent[i] = i
        energy = 0.0
        for e in range(m):
            i, j = bonds.head[e], bonds.tail[e]
            if x[i] != (x[j] if j < n else bonds.want[i]):
                energy += bonds.costs[bonds.level[e]]
            elif uniform(stream) >= keep[bonds.level[e]]:
                join(parent, i, j)
        if energy > 0.0:
            total += (schedule[t] - schedule[t + 1]) * energy
        if record:
            energies[t] = energy
        turn_clusters(parent, turn, x, stream)
    return total


@njit(cache=True, nogil=True)
def _ground(bonds, stream, x):
    """A ground state: along the fields, and where there are none, all alike by a coin."""
    n = len(x)
    parent, turn = np.empty(n + 1, np.int64), np.empty(n + 1, np.int8)
    for i in range(n + 1):
        parent[i] = i
    for e in range(len(bonds.head)):
        join(parent, bonds.head[e], bonds.tail[e])
    x[:] = 1
    turn_clusters(parent, turn, x, stream)
