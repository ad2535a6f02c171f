"""Multispin replicas: 64 W independent copies of one magnet, a bit each, on any graph of degree ≤ 6 with |J| uniform.

    a spin with c of its d bonds broken flips with probability 1 (2c > d), ½ (2c = d), e^{−2K(d−2c)} (2c < d),  K = β|J|

Neighbours' disagreements are added in three bit planes; the random number of each replica is compared with its own
threshold, bit by bit (`multispin_kernels.py`), sixteen bits and then a coin, so that probabilities are right to 2⁻⁴⁸.
Sites are visited in order; replicas share the wiring, and the coin of a tie (one in 65536) with the others of their
word, never the random bits. **Cost** 0.9 ns a spin, replica and core. **Fails** like Metropolis; refuses
fields and couplings of different size. **Source** Bhanot, Duke & Salvador (1986); Isakov et al. (2015).
"""

import math
from typing import ClassVar, NamedTuple

import numpy as np
from numba import njit

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.transfer_matrix import as_magnet
from calipers.sampling.kernel import AbstractPlain, Info, first_states
from calipers.sampling.multispin_kernels import PLANES, threshold
from calipers.sampling.neighbours import neighbours
from calipers.sampling.streams import advance, streams, uniform

MOST_DEGREE = 6
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO = np.uint64(0)


class ReplicaState(NamedTuple):
    """Words (n, W), set bits up; streams; wiring; thresholds by degree and broken bonds, as words and ties."""

    words: np.ndarray
    lanes: np.ndarray  # (4, W)
    coin: np.ndarray  # (4,)
    ptr: np.ndarray
    nbr: np.ndarray
    anti: np.ndarray  # (2e,) all ones where J < 0
    bits: np.ndarray  # (7, 4, 16)
    rest: np.ndarray  # (7, 4)


class MultispinReplicas(AbstractPlain):
    """Bit-packed Metropolis of many independent replicas: `chains` must be a multiple of 64."""

    fewest: ClassVar[int] = 64

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> ReplicaState:
        magnet = as_magnet(model)
        size = np.abs(magnet.couplings)
        wiring = neighbours(magnet)
        if magnet.fields.any() or (len(size) and (np.ptp(size) or size[0] == 0)):
            raise Refusal("MultispinReplicas() needs couplings of one size, ±J, and no field; use HeatBath()")
        if np.diff(wiring.ptr).max(initial=0) > MOST_DEGREE:
            raise Refusal(f"a site has more than {MOST_DEGREE} neighbours; use HeatBath()")
        if chains < 64 or chains % 64:
            raise Refusal(f"chains is {chains}; replicas come in words, so that it must be a multiple of 64")
        states = first_states(np.full(magnet.n, 2), rng, chains, start)
        words = _pack((states == 0).T)
        lanes = np.ascontiguousarray(streams(rng, chains // 64).T)
        bits, rest = _thresholds(float(magnet.beta * size[0]) if len(size) else 0.0)
        anti = np.where(wiring.coupling < 0, _ALL, _ZERO)
        return ReplicaState(words, lanes, streams(rng, 1)[0], wiring.ptr, wiring.nbr, anti, bits, rest)

    def step(self, state: ReplicaState, sweeps: int = 1) -> tuple[ReplicaState, Info]:
        new = state._replace(words=state.words.copy(), lanes=state.lanes.copy(), coin=state.coin.copy())
        replicas(*new, sweeps)
        n, width = new.words.shape
        return new, Info(np.full(64 * width, -1), sweeps * n)  # flips are not counted

    def states(self, state: ReplicaState) -> np.ndarray:
        up = np.unpackbits(state.words.astype("<u8").view(np.uint8), axis=1, bitorder="little")
        return (1 - up.T).astype(np.int8)


def _pack(up: np.ndarray) -> np.ndarray:
    """Booleans (n, chains) as words (n, chains/64)."""
    return np.ascontiguousarray(np.packbits(up, axis=1, bitorder="little")).view("<u8").astype(np.uint64)


def _thresholds(K: float) -> tuple[np.ndarray, np.ndarray]:
    """Bits (7, 4, 16) and ties (7, 4) of the flip probabilities of a site of degree d with c ≤ d/2 bonds broken."""
    bits, rest = np.zeros((MOST_DEGREE + 1, 4, PLANES), np.uint64), np.zeros((MOST_DEGREE + 1, 4))
    for d in range(MOST_DEGREE + 1):
        for c in range(d // 2 + 1):
            p = 0.5 if 2 * c == d else math.exp(-2.0 * K * (d - 2 * c))
            sure = p == 1.0  # at β = 0: rounded down to the largest number below 1
            bits[d, c], rest[d, c] = threshold(1.0 - 2.0**-53 if sure else p)
    return bits, rest


@njit(cache=True, nogil=True)
def _broken(words, i, w, ptr, nbr, anti):
    """The number of broken bonds of site i, in three bit planes."""
    c0, c1, c2 = np.uint64(0), np.uint64(0), np.uint64(0)
    for e in range(ptr[i], ptr[i + 1]):
        d = words[i, w] ^ words[nbr[e], w] ^ anti[e]
        carry = c0 & d
        c0 ^= d
        c2 |= c1 & carry
        c1 ^= carry
    return c0, c1, c2


@njit(cache=True, nogil=True)
def replicas(words, lanes, coin, ptr, nbr, anti, bits, rest, sweeps):
    """Metropolis sweeps of words (n, W), in place."""
    n, width = words.shape
    for _ in range(sweeps):
        for i in range(n):
            degree = ptr[i + 1] - ptr[i]
            m, u = bits[degree], uniform(coin)
            for w in range(width):
                c0, c1, c2 = _broken(words, i, w, ptr, nbr, anti)
                z0, z1, z2, z3 = ~(c0 | c1 | c2), c0 & ~c1 & ~c2, ~c0 & c1 & ~c2, c0 & c1 & ~c2
                if degree < 6:
                    z3 = _ZERO
                if degree < 4:
                    z2 = _ZERO
                if degree < 2:
                    z1 = _ZERO
                sure = ~(z0 | z1 | z2 | z3)
                below = _ZERO
                if u < rest[degree, 0]:
                    below |= z0
                if u < rest[degree, 1]:
                    below |= z1
                if u < rest[degree, 2]:
                    below |= z2
                if u < rest[degree, 3]:
                    below |= z3
                s0, s1, s2, s3 = lanes[0, w], lanes[1, w], lanes[2, w], lanes[3, w]
                for k in range(PLANES):
                    q, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
                    bound = (z0 & m[0, k]) | (z1 & m[1, k]) | (z2 & m[2, k]) | (z3 & m[3, k])
                    below = (below & ~q) | (bound & (below | ~q))
                lanes[0, w], lanes[1, w], lanes[2, w], lanes[3, w] = s0, s1, s2, s3
                words[i, w] ^= sure | below
