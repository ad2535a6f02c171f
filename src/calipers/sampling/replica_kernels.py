"""Numba kernels of multispin replicas: a bit a copy of one magnet, integer couplings and fields, any graph.

    a spin costs n = held − broken (in units of the couplings, fields counted as bonds) and flips with probability 1
    where n < 0, ½ where n = 0, and where n = Σ_b n_b 2^b > 0 with Π_b [1 − n_b + n_b e^{−r 2^b}] = e^{−r n}

Broken bonds are added up in bit planes, each site starting so high that one constant C serves all: n = C − S. Each
chance e^{−r 2^b} is drawn for all lanes at once, as `multispin_kernels.py` says: sixteen bits, then a coin.
"""

import numpy as np
from numba import njit

from calipers.sampling.streams import advance, uniform

_ZERO, _ALL = np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)
DEEPEST = 6  # digits of S
RUN = 256  # words that are updated together


@njit(cache=True, nogil=True)
def _gather(words, sites, unlike, out, change):
    """Rows of words, xor `unlike`, side by side; `change` says to combine them with what is there, by xor too."""
    width = words.shape[1]
    if width == 1:
        flat = words.reshape(-1)
        for k in range(len(sites)):
            out[k] = (out[k] if change else _ZERO) ^ flat[sites[k]] ^ unlike[k]
        return
    for k in range(len(sites)):
        row, part, u = words[sites[k]], out[k * width : (k + 1) * width], unlike[k]
        for w in range(width):
            part[w] = (part[w] if change else _ZERO) ^ row[w] ^ u


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
    `level` (6,), C; `blocks` (B + 1,) into `order` (n,); `m`, `rest`: `threshold` of e^{−r 2^b}; `depth`, how many
    digits n > 0 and S can have.
    """
    nbr, unlike, place = bonds
    width, tops, deep = words.shape[1], depth[0], depth[1]
    rows, room, none = np.empty((deep, RUN), np.uint64), np.empty((4, RUN), np.uint64), np.zeros(len(order), np.uint64)
    for _ in range(sweeps):
        for b in range(len(blocks) - 1):
            first, last = blocks[b], blocks[b + 1]
            count = (last - first) * width
            more, me, sites = room[2, :count], room[3, :count], order[first:last]
            for p in range(deep):
                _spread(start[p, first:last], width, rows[p, :count])
            _gather(words, sites, none[first:last], me, False)
            for j in range(len(place)):
                more[:] = me
                _gather(words, nbr[j, first:last], unlike[j, first:last], more, True)
                for p in range(place[j], deep):
                    _add(rows[p, :count], more)
            _flips(rows, level, tops, m, rest, lanes, coin, room, more)
            _scatter(words, sites, more)
