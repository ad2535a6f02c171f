"""Random streams that live in a chain's state: xoshiro256+, one a chain, seeded once and never shared.

Four words a stream; period 2²⁵⁶ − 1. The words come from a PCG64 generator made of the key or the seed, so that no two
streams of a run are related in a known way. **Source** Blackman & Vigna, *Scrambled linear generators* (2021).
"""

from typing import Any

import numpy as np
from numba import njit

from calipers.exact.sampling import generator

_C11, _C17, _C19, _C45 = (np.uint64(k) for k in (11, 17, 19, 45))


def source(key: Any = None, seed: int | None = None) -> np.random.Generator:
    """What seeds a run: the generator of a typed key or of a seed. Raises `ValueError` unless one of them is given."""
    return generator(key, seed)


def streams(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """States of independent streams, uint64, shape (*shape, 4), none of them all zeros."""
    words = rng.integers(0, 2**64, (*shape, 4), dtype=np.uint64)
    words[..., 0] |= np.uint64(1)
    return words


@njit(cache=True, nogil=True, inline="always")
def advance(s0, s1, s2, s3):
    """The next 64 random bits of a stream, and the words after it."""
    q, t = s0 + s3, s1 << _C17
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = (s3 << _C45) | (s3 >> _C19)
    return q, s0, s1, s2, s3


@njit(cache=True, nogil=True, inline="always")
def uniform(s):
    """The next number in [0, 1), a multiple of 2⁻⁵³, of a stream s (4,), which moves on."""
    q, s[0], s[1], s[2], s[3] = advance(s[0], s[1], s[2], s[3])
    return np.float64(q >> _C11) * 1.1102230246251565e-16
