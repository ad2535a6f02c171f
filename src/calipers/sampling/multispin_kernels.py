"""Numba kernels of multispin coding: 64 spins of a lattice in a word, Metropolis by Boolean algebra.

A flip of a spin of which k more bonds hold than are broken is accepted with probability e^{−2Kk}, and always if k ≤ 0.
One uniform number a spin, u, serves all thresholds t: u < t is decided bit by bit from the lowest. With t's bit as a
word m of all ones or zeros and a word q of random bits, the running result is majority(x, q, m). Sixteen random bits
are compared; a tie in all sixteen, one in 65536, goes by a coin with the probability that the remaining bits of t ask
for, tossed once a run of words, so that every acceptance probability is right to 2⁻⁴⁸.

The arrays are those of `packing.py`, rows of words (R, W + 2) with the last word before the first and the first after
the last. A lattice's rows are divided into bands, each with streams of its own, whatever the number of threads.
"""

import numpy as np
from numba import njit

from calipers.sampling.streams import advance, uniform
from calipers.sampling.teams import has_done, others_have, tell

PLANES = 16
RUN = 512  # words that are updated together
_ONE, _C63 = np.uint64(1), np.uint64(63)
_ALL, _ZERO = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)


def threshold(p: float) -> tuple[tuple[np.uint64, ...], float]:
    """The sixteen leading bits of a probability as words, lowest first, and the probability that settles a tie."""
    bits, rest = divmod(p * 2.0**PLANES, 1.0)
    return tuple(_ALL if (int(bits) >> k) & 1 else _ZERO for k in range(PLANES)), rest


@njit(cache=True, nogil=True, inline="always")
def plane2(state, ma, mb):
    """One more random bit in every lane; x, y: is the number so far below the threshold's?"""
    a, b, c, d, x, y = state
    q, a, b, c, d = advance(a, b, c, d)
    return a, b, c, d, (x & q) | (ma & (x | q)), (y & q) | (mb & (y | q))


@njit(cache=True, nogil=True, inline="always")
def plane3(state, ma, mb, mc):
    """The same with three thresholds."""
    a, b, c, d, x, y, z = state
    q, a, b, c, d = advance(a, b, c, d)
    return a, b, c, d, (x & q) | (ma & (x | q)), (y & q) | (mb & (y | q)), (z & q) | (mc & (z | q))


@njit(cache=True, nogil=True)
def _update4(me, n1, n2, n3, n4, g1, g2, g3, g4, m, tie, s0, s1, s2, s3):
    """Updates a run of words, given those of the four neighbours of each spin and the signs of the bonds."""
    ma, mb, tie_a, tie_b = m[0], m[1], tie[0], tie[1]
    for w in range(len(me)):
        z = (s0[w], s1[w], s2[w], s3[w], tie_a, tie_b)
        z = plane2(z, ma[0], mb[0])
        z = plane2(z, ma[1], mb[1])
        z = plane2(z, ma[2], mb[2])
        z = plane2(z, ma[3], mb[3])
        z = plane2(z, ma[4], mb[4])
        z = plane2(z, ma[5], mb[5])
        z = plane2(z, ma[6], mb[6])
        z = plane2(z, ma[7], mb[7])
        z = plane2(z, ma[8], mb[8])
        z = plane2(z, ma[9], mb[9])
        z = plane2(z, ma[10], mb[10])
        z = plane2(z, ma[11], mb[11])
        z = plane2(z, ma[12], mb[12])
        z = plane2(z, ma[13], mb[13])
        z = plane2(z, ma[14], mb[14])
        z = plane2(z, ma[15], mb[15])
        s0[w], s1[w], s2[w], s3[w], x, y = z
        i = me[w]
        a, b, c, d = i ^ n1[w] ^ g1[w], i ^ n2[w] ^ g2[w], i ^ n3[w] ^ g3[w], i ^ n4[w] ^ g4[w]
        any12, both12, any34, both34 = a | b, a & b, c | d, c & d
        free = both12 | both34 | (any12 & any34)  # two or more are broken: a flip costs nothing
        me[w] = i ^ (free | ((any12 | any34) & x) | y)


@njit(cache=True, nogil=True)
def _update6(me, n1, n2, n3, n4, n5, n6, g1, g2, g3, g4, g5, g6, m, tie, s0, s1, s2, s3):
    """The same with six neighbours."""
    ma, mb, mc, tie_a, tie_b, tie_c = m[0], m[1], m[2], tie[0], tie[1], tie[2]
    for w in range(len(me)):
        z = (s0[w], s1[w], s2[w], s3[w], tie_a, tie_b, tie_c)
        z = plane3(z, ma[0], mb[0], mc[0])
        z = plane3(z, ma[1], mb[1], mc[1])
        z = plane3(z, ma[2], mb[2], mc[2])
        z = plane3(z, ma[3], mb[3], mc[3])
        z = plane3(z, ma[4], mb[4], mc[4])
        z = plane3(z, ma[5], mb[5], mc[5])
        z = plane3(z, ma[6], mb[6], mc[6])
        z = plane3(z, ma[7], mb[7], mc[7])
        z = plane3(z, ma[8], mb[8], mc[8])
        z = plane3(z, ma[9], mb[9], mc[9])
        z = plane3(z, ma[10], mb[10], mc[10])
        z = plane3(z, ma[11], mb[11], mc[11])
        z = plane3(z, ma[12], mb[12], mc[12])
        z = plane3(z, ma[13], mb[13], mc[13])
        z = plane3(z, ma[14], mb[14], mc[14])
        z = plane3(z, ma[15], mb[15], mc[15])
        s0[w], s1[w], s2[w], s3[w], x, y, v = z
        i = me[w]
        a, b, c = i ^ n1[w] ^ g1[w], i ^ n2[w] ^ g2[w], i ^ n3[w] ^ g3[w]
        d, e, f = i ^ n4[w] ^ g4[w], i ^ n5[w] ^ g5[w], i ^ n6[w] ^ g6[w]
        p1, p2, r1, r2 = a ^ b, d ^ e, (a & b) | (c & (a ^ b)), (d & e) | (f & (d ^ e))
        b0, carry = p1 ^ c ^ p2 ^ f, (p1 ^ c) & (p2 ^ f)
        b1, b2 = r1 ^ r2 ^ carry, (r1 & r2) | (carry & (r1 ^ r2))
        two = b1 | b2  # two or more are broken
        me[w] = i ^ (b2 | (b1 & b0) | (two & x) | ((two | b0) & y) | v)


@njit(cache=True, nogil=True, inline="always")
def _turned(row, turn, room):
    """A row, or a copy of it whose bits are turned by a place: +1 to the right, −1 to the left."""
    if turn == 0:
        return row
    if turn > 0:
        for w in range(len(row)):
            room[w] = (row[w] >> _ONE) | (row[w] << _C63)
    else:
        for w in range(len(row)):
            room[w] = (row[w] << _ONE) | (row[w] >> _C63)
    return room[: len(row)]


@njit(cache=True, nogil=True)
def _half_sweep(mine, other, colour, first, last, near, turn, odd, sign, m, rest, lanes, coin, room):
    """Updates rows first … last−1 of one colour; arguments as `half_sweeps`, of this colour and band."""
    width, sides, glass = mine.shape[1] - 2, near.shape[1], sign.shape[2] > 1
    for r in range(first, last):
        shift = 2 * ((odd[r] + colour) % 2)
        k = r if glass else 0
        for at in range(0, width, RUN):
            count = min(RUN, width - at)
            s, e = at + 1, at + 1 + count
            g, f = (at, at + count) if glass else (0, count)
            u = uniform(coin)
            up = _turned(other[near[r, 0], s:e], turn[r, 0], room[0])
            down = _turned(other[near[r, 1], s:e], turn[r, 1], room[1])
            if sides == 2:
                tie = (_ALL if u < rest[0] else _ZERO, _ALL if u < rest[1] else _ZERO)
                _update4(
                    mine[r, s:e], other[r, s:e], other[r, at + shift : at + shift + count], up, down,
                    sign[colour, 0, k, g:f], sign[colour, 1, k, g:f], sign[colour, 2, k, g:f], sign[colour, 3, k, g:f],
                    (m[0], m[1]), tie, lanes[0], lanes[1], lanes[2], lanes[3],
                )  # fmt: skip
            else:
                tie3 = (
                    _ALL if u < rest[0] else _ZERO, _ALL if u < rest[1] else _ZERO, _ALL if u < rest[2] else _ZERO,
                )  # fmt: skip
                _update6(
                    mine[r, s:e], other[r, s:e], other[r, at + shift : at + shift + count], up, down,
                    other[near[r, 2], s:e], other[near[r, 3], s:e], sign[colour, 0, k, g:f], sign[colour, 1, k, g:f],
                    sign[colour, 2, k, g:f], sign[colour, 3, k, g:f], sign[colour, 4, k, g:f], sign[colour, 5, k, g:f],
                    m, tie3, lanes[0], lanes[1], lanes[2], lanes[3],
                )  # fmt: skip
        mine[r, 0], mine[r, width + 1] = mine[r, width], mine[r, 1]


@njit(cache=True, nogil=True)
def half_sweeps(words, near, turn, odd, sign, m, rest, lanes, coin, bands, me, done, until):
    """Half sweeps of one member of a team over its part of the bands, until `until` are done or others lag behind.

    **Arguments:** `words` (2, R, W + 2) by colour; `near`, `turn` (R, 2d − 2), the rows that hold neighbours, and by
    how much their bits turn; `odd` (R,); `sign` (2, 2d, R or 1, W or RUN); `m`, `rest`, three thresholds; `lanes`
    (bands, 4, RUN or W), `coin` (bands, 4); `bands` (B + 1,), where they begin; `me`, `done`, as `teams.py`.

    **Returns:** the half sweeps done.
    """
    team, parts = len(done), len(bands) - 1
    room = np.empty((2, RUN), np.uint64)
    at = has_done(done, me)
    while at < until and others_have(done, me, at):
        colour = at % 2
        for b in range(me * parts // team, (me + 1) * parts // team):
            _half_sweep(
                words[colour], words[1 - colour], colour, bands[b], bands[b + 1], near, turn, odd, sign, m, rest,
                lanes[b], coin[b], room,
            )  # fmt: skip
        at += 1
        tell(done, me, at)
    return at


@njit(cache=True, nogil=True)
def _ones(x):
    """Bits set in a word."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def totals(words, near, turn, odd, sign):
    """(Σ s_i, Σ_edges ±s_i s_j): every edge once, from its black end."""
    rows, width, sides, glass = words.shape[1], words.shape[2] - 2, near.shape[1], sign.shape[2] > 1
    up, broken = 0, 0
    for r in range(rows):
        for w in range(width):
            m, n, g = words[0, r, w + 1], words[1, r, w + 1], w if glass else w % RUN
            s = r if glass else 0
            up += _ones(m) + _ones(n)
            broken += _ones(m ^ n ^ sign[0, 0, s, g])
            broken += _ones(m ^ words[1, r, w + 2 * (odd[r] % 2)] ^ sign[0, 1, s, g])
            for k in range(sides):
                x = words[1, near[r, k], w + 1]
                if turn[r, k] > 0:
                    x = (x >> _ONE) | (x << _C63)
                elif turn[r, k] < 0:
                    x = (x << _ONE) | (x >> _C63)
                broken += _ones(m ^ x ^ sign[0, k + 2, s, g])
    sites = 128 * rows * width
    return 2 * up - sites, (sides + 2) // 2 * sites - 2 * broken
