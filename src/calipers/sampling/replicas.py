"""Multispin replicas: 64 W independent copies of one magnet, a bit each, on any graph, couplings and fields integers.

    flip with probability min(1, e^{−2β(held − broken)}), ½ where nothing is gained or lost

Couplings and fields must be small multiples of one unit, such that those of a site add up to at most 31 units; a field
is a bond to a spin that stays up. Broken bonds are added in bit planes, 64 replicas at once, for up to 1024 words of
unconnected sites (`replica_kernels.py`); probabilities are right to 2⁻⁴⁸. Sites are visited colour by colour; replicas
share the wiring, and within a run of words the coin of a tie (one in 65536), never the random bits. Groups of 512
replicas have streams of their own: threads share them and change nothing. **Cost** 0.15 ns a spin, replica and core at
degrees 3 and 4, 0.19 at degree 6, 0.3 elsewhere. **Fails** like Metropolis; refuses what are no small integers.
**Source** Bhanot, Duke & Salvador (1986); Isakov et al. (2015).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
from numba import get_num_threads

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.transfer_matrix import as_magnet
from calipers.sampling import replica_kernels as kernels
from calipers.sampling.kernel import AbstractPlain, Info, first_states
from calipers.sampling.multispin_kernels import threshold
from calipers.sampling.neighbours import Neighbours, colours, neighbours
from calipers.sampling.streams import streams
from calipers.sampling.teams import at_once

MOST_UNITS = 31
_DIGITS = kernels.DEEPEST
_GROUP = 8  # words that have streams together
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


class Bonds(NamedTuple):
    """Bonds in slots, one a site and binary digit of its units; sites as they are visited."""

    nbr: np.ndarray  # (slots, n) the other end; n for a field, the site itself where there is none
    unlike: np.ndarray  # (slots, n) words, all ones where a bond wants spins unlike
    place: np.ndarray  # (slots,) the digit


class ReplicaState(NamedTuple):
    """Words (n + 1, W), set bits up, and zeros; streams; bonds; where sums start, and C, in digits; blocks; chances."""

    words: np.ndarray
    lanes: np.ndarray  # (groups, 4, RUN)
    coin: np.ndarray  # (groups, 4)
    bonds: Bonds
    start: np.ndarray  # (6, n) words
    level: np.ndarray  # (6,) words
    blocks: np.ndarray  # (blocks + 1,) into order
    order: np.ndarray  # (n,)
    bits: np.ndarray  # (6, 16) words; (3, 16) where n ≤ 3
    rest: np.ndarray  # (6,) or (3,)
    depth: np.ndarray  # (2,) digits that n > 0 and S can have


class MultispinReplicas(AbstractPlain):
    """Bit-packed Metropolis of many independent replicas, integer couplings and fields; `chains` a multiple of 64.

    **Arguments:** `threads`, that share the replicas, 0 for all that numba may use; results do not depend on it.
    """

    threads: int = 0
    fewest: ClassVar[int] = 64

    def __check_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}; it must be 1 or more, or 0 for all that numba may use")

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> ReplicaState:
        magnet = as_magnet(model)
        if chains < 64 or chains % 64:
            raise Refusal(f"chains is {chains}; replicas come in words, so that it must be a multiple of 64")
        wiring = neighbours(magnet, "coloured")
        ends, units, unit = _ends(wiring)
        total = np.bincount(ends[0], np.abs(units), magnet.n).astype(np.int64)
        if total.max(initial=0) > MOST_UNITS:
            raise Refusal(f"a site's couplings and fields add up to {total.max()} units, more than {MOST_UNITS}")
        odd = bool((total % 2).any())  # then n is odd or even, and else always even: halve it
        level = total if odd else total // 2
        top = int(level.max(initial=0))
        deepest = int((top - level + (2 if odd else 1) * total).max(initial=0))
        few = top <= kernels.FEW and deepest < 8
        steps = _few(level, 2 if odd else 1) if few else [2**b for b in range(_DIGITS)]
        chances = [threshold(min(math.exp(-(2 if odd else 4) * unit * n), 1.0 - 2.0**-53)) for n in steps]
        states = first_states(np.full(magnet.n, 2), rng, chains, start)
        groups = -(-chains // (64 * _GROUP))
        return ReplicaState(
            words=np.concatenate([_pack((states == 0).T), np.zeros((1, chains // 64), np.uint64)]),
            lanes=np.ascontiguousarray(streams(rng, groups, kernels.RUN).swapaxes(1, 2)),
            coin=streams(rng, groups),
            bonds=_slots(wiring.order, ends, units * (2 if odd else 1)),
            start=np.ascontiguousarray(_planes(top - level)[wiring.order].T),
            level=_planes(np.array([top]))[0],
            blocks=_blocks(wiring, max(1, kernels.RUN // min(_GROUP, chains // 64))),
            order=wiring.order.astype(np.int32),
            bits=np.array([words for words, _ in chances], np.uint64),
            rest=np.array([rest for _, rest in chances]),
            depth=np.array([2, 3] if few else [top.bit_length(), deepest.bit_length()]),
        )

    def step(self, state: ReplicaState, sweeps: int = 1) -> tuple[ReplicaState, Info]:
        new = state._replace(words=state.words.copy(), lanes=state.lanes.copy(), coin=state.coin.copy())
        n, width = len(new.order), new.words.shape[1]
        tasks: list[Callable[[], None]] = [partial(_advance, new, g, sweeps) for g in range(len(new.lanes))]
        at_once(tasks, self.threads or get_num_threads())
        return new, Info(np.full(64 * width, -1), sweeps * n)  # flips are not counted

    def states(self, state: ReplicaState) -> np.ndarray:
        up = np.unpackbits(state.words[:-1].astype("<u8").view(np.uint8), axis=1, bitorder="little")
        return (1 - up.T).astype(np.int8)


def _advance(state: ReplicaState, group: int, sweeps: int) -> None:
    """Sweeps of one group of words, in place."""
    words = np.ascontiguousarray(state.words[:, group * _GROUP : (group + 1) * _GROUP])
    m = tuple(tuple(row) for row in state.bits)
    kernels.replicas(
        words, state.lanes[group], state.coin[group], state.bonds, state.start, state.level, state.blocks, state.order,
        m, state.rest, state.depth, sweeps,
    )  # fmt: skip
    state.words[:, group * _GROUP : (group + 1) * _GROUP] = words


def _few(level: np.ndarray, step: int) -> list[int]:
    """1, 2, 3; where costs of 2 and 3 do not both occur, the one that may instead of both."""
    costs = {n for most in np.unique(level).tolist() for n in range(most, 0, -step)}
    return [1, 2, 3] if {2, 3} <= costs else [1, 3, 3] if 3 in costs else [1, 2, 2]


def _ends(wiring: Neighbours) -> tuple[np.ndarray, np.ndarray, float]:
    """Both ends of every bond, (2, 2e + fields), a field's the site n; their couplings in units; β times the unit."""
    n = len(wiring.field)
    where = np.flatnonzero(wiring.field)
    units, unit = _integers(np.concatenate([wiring.coupling, wiring.field[where]]))
    here = np.concatenate([np.repeat(np.arange(n), np.diff(wiring.ptr)), where])
    return np.stack([here, np.concatenate([wiring.nbr, np.full(len(where), n)])]), units, unit


def _slots(order: np.ndarray, ends: np.ndarray, units: np.ndarray) -> Bonds:
    """Bonds divided by the binary digits of their units, and each site's bonds of a digit put into slots."""
    n = len(order)
    where = np.argsort(order)
    nbr, unlike, place = [np.zeros((0, n), np.int64)], [np.zeros((0, n), np.uint64)], []
    for digit in range(_DIGITS):
        mine = np.flatnonzero((np.abs(units) >> digit) & 1)
        mine = mine[np.argsort(ends[0, mine], kind="stable")]
        here, there, value = ends[0, mine], ends[1, mine], units[mine]
        count = np.bincount(here, minlength=n)
        slot = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count)
        slots = int(count.max(initial=0))
        table, wants = np.tile(order, (slots, 1)), np.zeros((slots, n), np.uint64)
        table[slot, where[here]] = there
        wants[slot, where[here]] = np.where((value < 0) != (there == n), _ALL, np.uint64(0))  # a field's spin: not set
        nbr.append(table)
        unlike.append(wants)
        place += [digit] * slots
    return Bonds(
        np.concatenate(nbr).astype(np.int32),
        np.concatenate(unlike).view(np.int64).astype(np.int8),
        np.array(place, np.int64),
    )


def _integers(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Values as multiples of the largest unit that serves all. Raises `Refusal` where there is none."""
    size = np.abs(values[values != 0])
    if not len(size):
        return np.zeros(len(values), np.int64), 1.0
    for parts in range(1, MOST_UNITS + 1):
        unit = float(size.min()) / parts
        units = np.rint(values / unit)
        if np.allclose(units * unit, values, rtol=1e-12, atol=0) and np.abs(units).max() <= MOST_UNITS:
            return units.astype(np.int64), unit
    raise Refusal("MultispinReplicas() needs couplings and fields that are small multiples of a unit; use HeatBath()")


def _blocks(wiring: Neighbours, most: int) -> np.ndarray:
    """Where blocks of at most so many sites of one colour begin, in the coloured order, and the end."""
    sizes = np.bincount(colours(wiring.ptr, wiring.nbr))
    begin = [np.arange(e - size, e, most) for e, size in zip(np.cumsum(sizes), sizes, strict=True)]
    return np.concatenate([*begin, [len(wiring.field)]]).astype(np.int64)


def _planes(numbers: np.ndarray) -> np.ndarray:
    """The digits of numbers as words of all ones or zeros, (n, 6)."""
    digits = (numbers[:, None] >> np.arange(_DIGITS)) & 1
    return np.where(digits, _ALL, np.uint64(0)).astype(np.uint64)


def _pack(up: np.ndarray) -> np.ndarray:
    """Booleans (n, chains) as words (n, chains/64)."""
    return np.ascontiguousarray(np.packbits(up, axis=1, bitorder="little")).view("<u8").astype(np.uint64)
