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
def uniform(s):
    """The next number in [0, 1), a multiple of 2⁻⁵³, of a stream s (4,), which moves on."""
    q = s[0] + s[3]
    t = s[1] << _C17
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = (s[3] << _C45) | (s[3] >> _C19)
    return np.float64(q >> _C11) * 1.1102230246251565e-16
