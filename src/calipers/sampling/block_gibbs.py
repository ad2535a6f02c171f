"""Block Gibbs sampling of any magnet: whole trees or strips drawn exactly given the rest.

    p(x_B | rest) ∝ exp(Σ_{i∈B} f_i x_i + Σ_{ij⊂B} βJ_ij x_i x_j),     f_i = βH_i + Σ_{j∉B} βJ_ij x_j

Sites are eliminated one after another, Σ over each given its later neighbours in the filled graph (forward filtering),
then drawn in the reverse order (backward sampling). `blocks.py` divides the magnet into blocks of elimination width at
most `width`: 1 for forests, 4 … 8 for strips of a lattice. All of a block moves at once, so that domains in it turn as
a whole; correlations longer than a block is wide decay as slowly as with heat bath, by a factor.
**Cost** about 40 ns a spin at width 1, twice as much for each site that strips are wider. **Fails** where couplings are
so strong that weights leave floating point: it refuses. **Source** Hamze & de Freitas, *From fields to trees* (2004);
Carter & Kohn (1994).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.transfer_matrix import as_magnet
from calipers.sampling.blocks import Blocks, blocks
from calipers.sampling.local import AbstractSpins, local_state
from calipers.sampling.neighbours import Neighbours
from calipers.sampling.streams import uniform

WIDEST = 12
_STRONGEST = 600.0  # nats between the weights of a block's states that floating point must tell apart


class Elimination(NamedTuple):
    """How messages go: later neighbours, couplings to them, to whom and to which of its bits, and room for tables."""

    later: np.ndarray  # (n, width)
    degree: np.ndarray  # (n,) how many of them
    coupling: np.ndarray  # (n, width) βJ, 0 where the bond is only fill
    parent: np.ndarray  # (n,) the first eliminated of the later ones, −1 where there is none
    place: np.ndarray  # (n, width) the bit of the parent's table that each later neighbour is
    at: np.ndarray  # (n + 1,) where a site's table begins
    block: np.ndarray  # (n,)


class BlockState(NamedTuple):
    """Spins (chains, n) int8, streams (chains, 4), wiring; sites as eliminated, where blocks begin, and how."""

    spins: np.ndarray
    streams: np.ndarray
    wiring: Neighbours
    order: np.ndarray
    ends: np.ndarray
    tables: Elimination


class BlockGibbs(AbstractSpins):
    """Gibbs sampling of a magnet by blocks of spins, each drawn exactly given the rest.

    **Arguments:** `width`, the elimination width of a block, 1 … 12: 1 makes forests, w strips of a lattice.
    """

    width: int = 1

    def __check_init__(self) -> None:
        if not 1 <= self.width <= WIDEST:
            raise ValueError(f"width is {self.width}; it must be from 1 to {WIDEST}")

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> BlockState:
        local = local_state(model, "sequential", rng, chains, start)
        wiring = local.wiring
        pull = np.bincount(np.repeat(np.arange(model.n), np.diff(wiring.ptr)), np.abs(wiring.coupling), model.n)
        strongest = float((pull + np.abs(wiring.field)).max(initial=0.0))
        if 2 * (self.width + 2) * strongest > _STRONGEST:
            raise Refusal(f"a spin is pulled by up to {strongest:.3g} nats, too much for blocks; use HeatBath()")
        made = blocks(as_magnet(model), wiring, self.width)
        return BlockState(*local, made.order, made.ends, _elimination(made, wiring))

    def sweep(self, state: BlockState, sweeps: int, moved: np.ndarray) -> None:
        block_gibbs(state.wiring, state.order, state.ends, state.tables, state.spins, state.streams, sweeps, moved)


def _elimination(made: Blocks, wiring: Neighbours) -> Elimination:
    """The wiring of messages."""
    n, width = made.later.shape
    turn, block = np.empty(n, np.int64), np.empty(n, np.int64)
    turn[made.order] = np.arange(n)
    block[made.order] = np.repeat(np.arange(len(made.ends) - 1), np.diff(made.ends))
    at = np.concatenate([[0], np.cumsum(1 << made.degree)])
    coupling, place = np.zeros((n, width)), np.zeros((n, width), np.int64)
    parent = _wire(made.later, made.degree, turn, wiring.ptr, wiring.nbr, wiring.coupling, coupling, place)
    return Elimination(made.later, made.degree, coupling, parent, place, at, block)


@njit(cache=True, nogil=True)
def _wire(later, count, turn, ptr, nbr, bond, coupling, place):
    """Fills in couplings and places; returns parents."""
    n = len(count)
    parent = np.full(n, -1, np.int64)
    for v in range(n):
        for j in range(count[v]):
            u = later[v, j]
            if parent[v] < 0 or turn[u] < turn[parent[v]]:
                parent[v] = u
            for e in range(ptr[v], ptr[v + 1]):
                if nbr[e] == u:
                    coupling[v, j] += bond[e]
        p = parent[v]
        for j in range(count[v]):
            place[v, j] = count[p]  # the parent itself
            for k in range(count[p]):
                if later[p, k] == later[v, j]:
                    place[v, j] = k
    return parent


@njit(cache=True, nogil=True)
def _filter(wiring, order, first, last, t, x, up, weights, room):
    """Eliminates a block: `up`, each site's probability to be up given its later neighbours, bit 1 for down."""
    for k in range(first, last):
        v = order[k]
        weights[2 * t.at[v] : 2 * t.at[v + 1]] = 1.0
    for k in range(first, last):
        v = order[k]
        a, total = t.degree[v], wiring.field[v]
        for e in range(wiring.ptr[v], wiring.ptr[v + 1]):
            if t.block[wiring.nbr[e]] != t.block[v]:
                total += wiring.coupling[e] * x[wiring.nbr[e]]
        for j in range(a):
            total += t.coupling[v, j]
        room[0] = math.exp(total)
        for j in range(a):
            q = math.exp(-2.0 * t.coupling[v, j])
            for s in range(1 << j):
                room[s + (1 << j)] = room[s] * q
        size, start, top = 1 << a, t.at[v], 0.0
        for s in range(size):
            plus, minus = weights[2 * start + s] * room[s], weights[2 * start + size + s] / room[s]
            up[start + s] = plus / (plus + minus)
            room[s] = plus + minus
            top = max(top, room[s])
        p = t.parent[v]
        if p >= 0:
            begin = 2 * t.at[p]
            for s in range(2 << t.degree[p]):
                mine = 0
                for j in range(a):
                    mine |= ((s >> t.place[v, j]) & 1) << j
                weights[begin + s] *= room[mine] / top


@njit(cache=True, nogil=True)
def block_gibbs(wiring, order, ends, tables, spins, streams, sweeps, moved):
    """Sweeps over all blocks, in place; `moved` counts flips."""
    up, weights = np.empty(tables.at[-1]), np.empty(2 * tables.at[-1])
    room = np.empty(1 << tables.later.shape[1])
    for c in range(len(spins)):
        x, stream = spins[c], streams[c]
        for _ in range(sweeps):
            for b in range(len(ends) - 1):
                _filter(wiring, order, ends[b], ends[b + 1], tables, x, up, weights, room)
                for k in range(ends[b + 1] - 1, ends[b] - 1, -1):
                    v, s = order[k], 0
                    for j in range(tables.degree[v]):
                        s |= (x[tables.later[v, j]] < 0) << j
                    new = np.int8(1) if uniform(stream) < up[tables.at[v] + s] else np.int8(-1)
                    moved[c] += x[v] != new
                    x[v] = new
