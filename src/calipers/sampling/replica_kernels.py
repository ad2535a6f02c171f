"""Numba kernels of multispin replicas: a bit a copy of one magnet, integer couplings and fields, any graph.

    a spin costs n = held − broken (in units of the couplings, fields counted as bonds) and flips with probability 1
    where n < 0, ½ where n = 0, and where n = Σ_b n_b 2^b > 0 with Π_b [1 − n_b + n_b e^{−r 2^b}] = e^{−r n}

Broken bonds are added up in bit planes, each site starting so high that one constant C serves all: n = C − S. Each
chance e^{−r 2^b} is drawn for all lanes at once, as `multispin_kernels.py` says: sixteen bits, then a coin. Where n
never exceeds 3 (up to six equal bonds) one draw serves: each lane compares it with the threshold of its own n.
"""

import numpy as np
from numba import njit

from calipers.sampling.multispin_kernels import plane2, plane3
from calipers.sampling.streams import advance, uniform

_ZERO, _ALL = np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)
DEEPEST = 6  # digits of S
RUN = 1024  # words that are updated together
FEW = 3  # up to this n, and with at most three digits of S, kernels of their own serve


@njit(cache=True, nogil=True)
def _gather(words, sites, out):
    """Rows of words, side by side."""
    width = words.shape[1]
    if width == 1:
        flat = words.reshape(-1)
        for k in range(len(sites)):
            out[k] = flat[sites[k]]
        return
    for k in range(len(sites)):
        row, part = words[sites[k]], out[k * width : (k + 1) * width]
        for w in range(width):
            part[w] = row[w]


@njit(cache=True, nogil=True)
def _broken(words, sites, unlike, me, out):
    """Where rows of words differ from `me`; where they agree, if they should be unlike."""
    width = words.shape[1]
    if width == 1:
        flat = words.reshape(-1)
        for k in range(len(sites)):
            out[k] = me[k] ^ flat[sites[k]] ^ np.uint64(np.int64(unlike[k]))
        return
    for k in range(len(sites)):
        row, u = words[sites[k]], np.uint64(np.int64(unlike[k]))
        mine, part = me[k * width : (k + 1) * width], out[k * width : (k + 1) * width]
        for w in range(width):
            part[w] = mine[w] ^ row[w] ^ u


@njit(cache=True, nogil=True)
def _scatter(words, sites, flips):
    """The reverse of `_gather`: flips of sites whose words lie side by side."""
    width = words.shape[1]
    if width == 1:
        flat = words.reshape(-1)
        for k in range(len(sites)):
            flat[sites[k]] ^= flips[k]
        return
    for k in range(len(sites)):
        row, part = words[sites[k]], flips[k * width : (k + 1) * width]
        for w in range(width):
            row[w] ^= part[w]


@njit(cache=True, nogil=True)
def _spread(one, width, out):
    """A word a site, `width` times each."""
    if width == 1:
        out[:] = one
        return
    for k in range(len(one)):
        for w in range(width):
            out[k * width + w] = one[k]


@njit(cache=True, nogil=True)
def _add(digit, more):
    """One place of a sum, in place: its digit, and in `more` what goes to the next."""
    for w in range(len(digit)):
        both = digit[w] & more[w]
        digit[w] ^= more[w]
        more[w] = both


@njit(cache=True, nogil=True)
def _add3(low, middle, high, more, place):
    """All of three places at once, from place 0 or 1 on; nothing goes beyond."""
    if place == 1:
        for w in range(len(low)):
            b, x = middle[w], more[w]
            middle[w] = b ^ x
            high[w] ^= b & x
        return
    for w in range(len(low)):
        a, b, x = low[w], middle[w], more[w]
        low[w], x = a ^ x, a & x
        middle[w] = b ^ x
        high[w] ^= b & x


@njit(cache=True, nogil=True)
def _costs(rows, level, negative, zero):
    """Digits of n = C − S in place of those of S; whether n is negative, or zero."""
    negative[:] = _ALL
    zero[:] = _ALL
    for k in range(len(rows)):
        row, c = rows[k, : len(zero)], level[k]
        for w in range(len(row)):
            a, carry = ~row[w], negative[w]
            row[w] = a ^ c ^ carry
            negative[w] = (a & c) | (carry & (a ^ c))
            zero[w] &= ~row[w]
    for w in range(len(negative)):
        negative[w] = ~negative[w]


@njit(cache=True, nogil=True, inline="always")
def _plane(state, m):
    """One more random bit in every lane; x: is the number so far below the threshold's?"""
    a, b, c, d, x = state
    q, a, b, c, d = advance(a, b, c, d)
    return a, b, c, d, (x & q) | (m & (x | q))


@njit(cache=True, nogil=True)
def _chance(yes, asked, m, tie, s0, s1, s2, s3):
    """Lanes that are asked stay in `yes` with a probability: sixteen random bits against its own, from the lowest."""
    for w in range(len(yes)):
        z = (s0[w], s1[w], s2[w], s3[w], tie)
        z = _plane(z, m[0])
        z = _plane(z, m[1])
        z = _plane(z, m[2])
        z = _plane(z, m[3])
        z = _plane(z, m[4])
        z = _plane(z, m[5])
        z = _plane(z, m[6])
        z = _plane(z, m[7])
        z = _plane(z, m[8])
        z = _plane(z, m[9])
        z = _plane(z, m[10])
        z = _plane(z, m[11])
        z = _plane(z, m[12])
        z = _plane(z, m[13])
        z = _plane(z, m[14])
        z = _plane(z, m[15])
        s0[w], s1[w], s2[w], s3[w], x = z
        yes[w] &= ~asked[w] | x


@njit(cache=True, nogil=True)
def _coins(yes, asked, s0, s1, s2, s3):
    """The same with probability ½."""
    for w in range(len(yes)):
        q, s0[w], s1[w], s2[w], s3[w] = advance(s0[w], s1[w], s2[w], s3[w])
        yes[w] &= ~asked[w] | q


@njit(cache=True, nogil=True, inline="always")
def _value(low, middle, high, c0, c1, c2):
    """n = C − S: its lowest two digits, and whether it is negative."""
    p, q, r = ~low, ~middle, ~high
    carry = p | c0
    one, two = ~(p ^ c0), q ^ c1 ^ carry
    carry = (q & c1) | (carry & (q ^ c1))
    return one, two, ~((r & c2) | (carry & (r ^ c2)))


@njit(cache=True, nogil=True)
def _few_flips(low, middle, high, level, m, rest, lanes, coin, yes):
    """Who flips, in `yes`, given the digits of S, where n ≤ 3; `m`, `rest` are the thresholds of n = 1, 2, 3."""
    (a, b, c), c0, c1, c2 = m, level[0], level[1], level[2]
    if b == c and rest[1] == rest[2]:  # sixteen bits alone are alike for two chances that are both very small
        _two_flips(low, middle, high, level, a, c, rest, lanes, coin, yes)
        return
    u = uniform(coin)
    t1, t2, t3 = _ALL if u < rest[0] else _ZERO, _ALL if u < rest[1] else _ZERO, _ALL if u < rest[2] else _ZERO
    s0, s1, s2, s3 = lanes[0], lanes[1], lanes[2], lanes[3]
    for w in range(len(yes)):
        z = (s0[w], s1[w], s2[w], s3[w], t1, t2, t3)
        z = plane3(z, a[0], b[0], c[0])
        z = plane3(z, a[1], b[1], c[1])
        z = plane3(z, a[2], b[2], c[2])
        z = plane3(z, a[3], b[3], c[3])
        z = plane3(z, a[4], b[4], c[4])
        z = plane3(z, a[5], b[5], c[5])
        z = plane3(z, a[6], b[6], c[6])
        z = plane3(z, a[7], b[7], c[7])
        z = plane3(z, a[8], b[8], c[8])
        z = plane3(z, a[9], b[9], c[9])
        z = plane3(z, a[10], b[10], c[10])
        z = plane3(z, a[11], b[11], c[11])
        z = plane3(z, a[12], b[12], c[12])
        z = plane3(z, a[13], b[13], c[13])
        z = plane3(z, a[14], b[14], c[14])
        z = plane3(z, a[15], b[15], c[15])
        z0, z1, z2, z3, x, y, v = z
        half, s0[w], s1[w], s2[w], s3[w] = advance(z0, z1, z2, z3)
        one, two, falls = _value(low[w], middle[w], high[w], c0, c1, c2)
        yes[w] = falls | (two & ((one & v) | (~one & y))) | (~two & ((one & x) | (~one & half)))


@njit(cache=True, nogil=True)
def _two_flips(low, middle, high, level, a, b, rest, lanes, coin, yes):
    """The same where n > 0 is 1 or one other number, 2 or 3."""
    u, c0, c1, c2 = uniform(coin), level[0], level[1], level[2]
    t1, t2 = _ALL if u < rest[0] else _ZERO, _ALL if u < rest[2] else _ZERO
    s0, s1, s2, s3 = lanes[0], lanes[1], lanes[2], lanes[3]
    for w in range(len(yes)):
        z = (s0[w], s1[w], s2[w], s3[w], t1, t2)
        z = plane2(z, a[0], b[0])
        z = plane2(z, a[1], b[1])
        z = plane2(z, a[2], b[2])
        z = plane2(z, a[3], b[3])
        z = plane2(z, a[4], b[4])
        z = plane2(z, a[5], b[5])
        z = plane2(z, a[6], b[6])
        z = plane2(z, a[7], b[7])
        z = plane2(z, a[8], b[8])
        z = plane2(z, a[9], b[9])
        z = plane2(z, a[10], b[10])
        z = plane2(z, a[11], b[11])
        z = plane2(z, a[12], b[12])
        z = plane2(z, a[13], b[13])
        z = plane2(z, a[14], b[14])
        z = plane2(z, a[15], b[15])
        z0, z1, z2, z3, x, y = z
        half, s0[w], s1[w], s2[w], s3[w] = advance(z0, z1, z2, z3)
        one, two, falls = _value(low[w], middle[w], high[w], c0, c1, c2)
        yes[w] = falls | (two & y) | (~two & ((one & x) | (~one & half)))


@njit(cache=True, nogil=True)
def _flips(rows, level, tops, m, rest, lanes, coin, room, yes):
    """Who flips, in `yes`, given the digits of S."""
    negative, zero = room[0, : len(yes)], room[1, : len(yes)]
    _costs(rows, level, negative, zero)
    yes[:] = _ALL
    for p in range(tops):
        tie = _ALL if uniform(coin) < rest[p] else _ZERO
        _chance(yes, rows[p, : len(yes)], m[p], tie, lanes[0], lanes[1], lanes[2], lanes[3])
    _coins(yes, zero, lanes[0], lanes[1], lanes[2], lanes[3])
    for w in range(len(yes)):
        yes[w] |= negative[w]


@njit(cache=True, nogil=True)
def replicas(words, lanes, coin, bonds, start, level, blocks, order, m, rest, depth, sweeps):
    """Metropolis sweeps of words (n + 1, W), the last row all zeros, in place, a block of unconnected sites at a time.

    **Arguments:** `lanes` (4, RUN), `coin` (4,), streams; `bonds` (nbr, unlike, place): for each slot the sites' other
    ends (slots, n), in the order of visits, themselves where there is none, words of all ones where a bond wants spins
    unlike, and the binary place (slots,) that a broken one adds to; `start` (6, n), the first S, in the same order;
    `level` (6,), C; `blocks` (B + 1,) into `order` (n,); `m`, `rest`: `threshold` of e^{−r n} for n = 1, 2, 3,
    or else of e^{−r 2^b} for six b; `depth`, how many digits n > 0 and S can have.
    """
    nbr, unlike, place = bonds
    width, tops, deep = words.shape[1], depth[0], depth[1]
    rows, room, even = np.empty((deep, RUN), np.uint64), np.empty((4, RUN), np.uint64), not start.any()
    for _ in range(sweeps):
        for b in range(len(blocks) - 1):
            first, last = blocks[b], blocks[b + 1]
            count = (last - first) * width
            more, me, sites = room[2, :count], room[3, :count], order[first:last]
            if even:
                rows[:, :count] = _ZERO
            else:
                for p in range(deep):
                    _spread(start[p, first:last], width, rows[p, :count])
            _gather(words, sites, me)
            for j in range(len(place)):
                _broken(words, nbr[j, first:last], unlike[j, first:last], me, more)
                if len(m) == FEW and place[j] < 2:
                    _add3(rows[0, :count], rows[1, :count], rows[2, :count], more, place[j])
                else:
                    for p in range(place[j], deep):
                        _add(rows[p, :count], more)
            if len(m) == FEW:
                _few_flips(rows[0, :count], rows[1, :count], rows[2, :count], level, m, rest, lanes, coin, more)
            else:
                _flips(rows, level, tops, m, rest, lanes, coin, room, more)
            _scatter(words, sites, more)
