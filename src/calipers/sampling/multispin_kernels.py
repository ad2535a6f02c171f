"""Numba kernels of multispin coding: 64 spins of a square lattice in a word, Metropolis by Boolean algebra.

A flip of a spin that agrees with 3 (4) of its neighbours is accepted with probability e^{-4K} (e^{-8K}), otherwise
always. Both are decided by one uniform number a spin, u < t, compared bit by bit from the lowest: with t's bit as a
word m of all ones or zeros and a word q of random bits, the running result is majority(x, q, m). Sixteen random bits
are compared; a tie in all sixteen, one in 65536, goes by a coin with the probability that the remaining bits of t ask
for, tossed once a row, so that every acceptance probability is right to 2⁻⁴⁸.
"""

import numpy as np
from numba import njit

PLANES = 16
_C17, _C45, _C19, _ONE, _C63, _C11 = (np.uint64(x) for x in (17, 45, 19, 1, 63, 11))
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def threshold(p: float) -> tuple[tuple[np.uint64, ...], float]:
    """The sixteen leading bits of a probability as words, lowest first, and the probability that settles a tie."""
    bits, rest = divmod(p * 2.0**PLANES, 1.0)
    return tuple(_ALL if (int(bits) >> k) & 1 else np.uint64(0) for k in range(PLANES)), rest


@njit(cache=True, nogil=True, inline="always")
def _plane(state, m3, m4):
    """One more random bit in every lane (xoshiro256+); x, y: is the number so far below the threshold's?"""
    a, b, c, d, x, y = state
    q = a + d
    t = b << _C17
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = (d << _C45) | (d >> _C19)
    return a, b, c, d, (x & q) | (m3 & (x | q)), (y & q) | (m4 & (y | q))


@njit(cache=True, nogil=True)
def _shifted(other, i, left, out):
    """Row i's neighbours on the far side: one spin further to the left or to the right, periodic."""
    row, width = other[i], other.shape[1]
    if left:
        for w in range(1, width):
            out[w] = (row[w] << _ONE) | (row[w - 1] >> _C63)
        out[0] = (row[0] << _ONE) | (row[width - 1] >> _C63)
    else:
        for w in range(width - 1):
            out[w] = (row[w] >> _ONE) | (row[w + 1] << _C63)
        out[width - 1] = (row[width - 1] >> _ONE) | (row[0] << _C63)


@njit(cache=True, nogil=True)
def wrap(half):
    """Copies the first and last rows of a sublattice into the rows beyond the edge."""
    half[0] = half[-2]
    half[-1] = half[1]


@njit(cache=True, nogil=True)
def _update(me, near, far, up, down, m3, m4, tie3, tie4, s0, s1, s2, s3):
    """Updates a run of words of one colour, given those of the four neighbours of each spin."""
    for w in range(len(me)):
        z = (s0[w], s1[w], s2[w], s3[w], tie3, tie4)
        z = _plane(z, m3[0], m4[0])
        z = _plane(z, m3[1], m4[1])
        z = _plane(z, m3[2], m4[2])
        z = _plane(z, m3[3], m4[3])
        z = _plane(z, m3[4], m4[4])
        z = _plane(z, m3[5], m4[5])
        z = _plane(z, m3[6], m4[6])
        z = _plane(z, m3[7], m4[7])
        z = _plane(z, m3[8], m4[8])
        z = _plane(z, m3[9], m4[9])
        z = _plane(z, m3[10], m4[10])
        z = _plane(z, m3[11], m4[11])
        z = _plane(z, m3[12], m4[12])
        z = _plane(z, m3[13], m4[13])
        z = _plane(z, m3[14], m4[14])
        z = _plane(z, m3[15], m4[15])
        s0[w], s1[w], s2[w], s3[w], x, y = z
        m = me[w]
        n1, n2, n3, n4 = m ^ near[w], m ^ far[w], m ^ up[w], m ^ down[w]
        any12, both12, any34, both34 = n1 | n2, n1 & n2, n3 | n4, n3 & n4
        free = both12 | both34 | (any12 & any34)  # two or more disagree: a flip costs nothing
        me[w] = m ^ (free | ((any12 | any34) & x) | y)


@njit(cache=True, nogil=True)
def sweep(black, white, m3, rest3, m4, rest4, sweeps, lanes, coin):
    """Metropolis sweeps over a periodic square lattice of spins that want to agree.

    **Arguments:** `black`, `white`, words (L + 2, W): sites with i + j even and odd; bit b of word w of row i + 1 is
    site number 64 w + b among its colour in row i; the outer rows repeat the opposite ones. `m3`, `rest3`, `m4`,
    `rest4`: `threshold` of e^{-4K} and e^{-8K}. `lanes` (4, B), random streams, B a multiple of W; `coin` (4,).
    """
    rows, width = black.shape[0] - 2, black.shape[1]
    together = lanes.shape[1] // width
    far = np.empty((together, width), np.uint64)
    for _ in range(sweeps):
        for colour in range(2):
            mine, other = (black, white) if colour == 0 else (white, black)
            flat, near = mine.reshape(-1), other.reshape(-1)
            for first in range(1, rows + 1, together):
                count = min(together, rows + 1 - first)
                for r in range(count):
                    _shifted(other, first + r, (first + r - 1) % 2 == colour, far[r])
                u = _uniform(coin)
                tie3 = _ALL if u < rest3 else np.uint64(0)
                tie4 = _ALL if u < rest4 else np.uint64(0)
                at, end = first * width, (first + count) * width
                _update(
                    flat[at:end], near[at:end], far.reshape(-1), near[at - width : end - width],
                    near[at + width : end + width], m3, m4, tie3, tie4, lanes[0], lanes[1], lanes[2], lanes[3],
                )  # fmt: skip
            wrap(mine)


@njit(cache=True, nogil=True)
def _uniform(s):
    """The next number in [0, 1) of a xoshiro256+ stream of its own."""
    q = s[0] + s[3]
    t = s[1] << _C17
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = (s[3] << _C45) | (s[3] >> _C19)
    return (q >> _C11) * 2.0**-53


@njit(cache=True, nogil=True)
def _ones(x):
    """Bits set in a word."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def totals(black, white):
    """(Σ s_i, Σ_edges s_i s_j): every edge once, from its black end."""
    rows, width = black.shape[0] - 2, black.shape[1]
    far = np.empty(width, np.uint64)
    up_spins, unlike = 0, 0
    for i in range(1, rows + 1):
        _shifted(white, i, (i - 1) % 2 == 0, far)
        for w in range(width):
            m, n = black[i, w], white[i, w]
            up_spins += _ones(m) + _ones(n)
            unlike += _ones(m ^ n) + _ones(m ^ far[w]) + _ones(m ^ white[i - 1, w]) + _ones(m ^ white[i + 1, w])
    sites = 2 * 64 * rows * width
    return 2 * up_spins - sites, 2 * sites - 2 * unlike
