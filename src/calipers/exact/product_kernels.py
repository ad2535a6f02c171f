"""Numba kernels that sum products of positive tables: no logarithm per entry, every loop over neighbours.

    message(rest) = Σ_x Π_i item_i(rest, x)

Items are scaled so that their largest entry is 1, or 2^exponent, which the constant that every product starts from
takes away again. Products are formed block by block and level by level (`wiring.py`): what does not change between two
blocks is not multiplied again, and where it is zero the blocks that hang on it are skipped. Small items are spread out
to full blocks beforehand. Sums of positive numbers do not cancel: see `product.py` for the rounding.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.exact.wiring import advance, offsets, starts, wire

WHOLE, SPREAD, RUNS, SINGLES = 0, 1, 2, 3  # how an item's part of a block is read
_SPREAD_ENTRIES = 1 << 15  # of an item that is spread out: it should stay in the cache
_SPREAD_USES = 4  # blocks a spread part must serve
_RUN = 8  # neighbours that are worth a loop


class Feed(NamedTuple):
    """How each item of a bucket is read."""

    kind: np.ndarray  # (m,)
    inner: np.ndarray  # (m,) entries of the item that belong to one block
    place: np.ndarray  # (m,) where its offsets begin, or its spread parts
    offsets: np.ndarray
    spread: np.ndarray


@njit(cache=True, nogil=True)
def prepare(pieces, wiring, arena, blocks):
    """Chooses how to read each item, and lays out offsets and spread parts."""
    m, width = len(wiring.piece), wiring.width
    kind, inner, place = np.zeros(m, np.int64), np.ones(m, np.int64), np.zeros(m, np.int64)
    many, wide = 0, 0
    for i in range(m):
        for j in range(wiring.cut, len(wiring.axes)):
            if wiring.stride[i, j] > 0:
                inner[i] *= wiring.axes[j]
        parts = pieces.length[wiring.piece[i]] // inner[i]
        if wiring.run[i] == width:
            kind[i] = WHOLE
        elif wiring.level[i] > 0 and parts * width <= _SPREAD_ENTRIES and parts * _SPREAD_USES <= blocks:
            kind[i], place[i] = SPREAD, wide
            wide += parts * width
        else:
            kind[i] = RUNS if wiring.run[i] >= _RUN else SINGLES
            place[i] = many
            many += width
    feed = Feed(kind, inner, place, np.zeros(many, np.int64), np.empty(wide))
    table = np.empty(width, np.int64)
    for i in range(m):
        if kind[i] == SPREAD:
            _spread(pieces, wiring, arena, i, table, feed)
        elif kind[i] != WHOLE:
            offsets(wiring, i, feed.offsets[place[i] : place[i] + width])
    return feed


@njit(cache=True, nogil=True)
def _spread(pieces, wiring, arena, i, table, feed):
    """Writes every part of item i out to a full block."""
    runs, run, width = offsets(wiring, i, table), wiring.run[i], wiring.width
    p = wiring.piece[i]
    for part in range(pieces.length[p] // feed.inner[i]):
        start, out = pieces.at[p] + part * feed.inner[i], feed.place[i] + part * width
        for r in range(runs):
            for l in range(run):
                feed.spread[out + r * run + l] = arena[start + table[r] + l]


@njit(cache=True, nogil=True)
def _times(out, left, right):
    for l in range(len(out)):
        out[l] = left[l] * right[l]


@njit(cache=True, nogil=True)
def _part(pieces, wiring, feed, arena, i, start):
    """The item's part of the block that begins at `start`, as neighbouring entries (WHOLE and SPREAD only)."""
    if feed.kind[i] == WHOLE:
        return arena[start : start + wiring.width]
    place = feed.place[i] + (start - pieces.at[wiring.piece[i]]) // feed.inner[i] * wiring.width
    return feed.spread[place : place + wiring.width]


@njit(cache=True, nogil=True)
def _multiply(pieces, wiring, feed, arena, i, start, left, out):
    """out = left × item i, over one block."""
    if feed.kind[i] <= SPREAD:
        _times(out, left, _part(pieces, wiring, feed, arena, i, start))
        return
    run, table = wiring.run[i], feed.offsets[feed.place[i] : feed.place[i] + wiring.width]
    if feed.kind[i] == RUNS:
        for r in range(wiring.width // run):
            at = r * run
            _times(out[at : at + run], left[at : at + run], arena[start + table[r] : start + table[r] + run])
    elif run == 2:
        for r in range(wiring.width // 2):
            out[2 * r] = left[2 * r] * arena[start + table[r]]
            out[2 * r + 1] = left[2 * r + 1] * arena[start + table[r] + 1]
    else:
        for r in range(wiring.width // run):
            for l in range(run):
                out[r * run + l] = left[r * run + l] * arena[start + table[r] + l]


@njit(cache=True, nogil=True)
def _pairs(left, right, out):
    """out = Σ over neighbours of left × right."""
    for j in range(len(out)):
        out[j] = left[2 * j] * right[2 * j] + left[2 * j + 1] * right[2 * j + 1]


@njit(cache=True, nogil=True)
def _sums(joint, k, out):
    """out = Σ over k neighbours of the joint."""
    if k == 2:
        for j in range(len(out)):
            out[j] = joint[2 * j] + joint[2 * j + 1]
    elif k == 3:
        for j in range(len(out)):
            out[j] = joint[3 * j] + joint[3 * j + 1] + joint[3 * j + 2]
    elif k == 4:
        for j in range(len(out)):
            out[j] = (joint[4 * j] + joint[4 * j + 1]) + (joint[4 * j + 2] + joint[4 * j + 3])
    else:
        for j in range(len(out)):
            out[j] = joint[k * j]
        for x in range(1, k):
            for j in range(len(out)):
                out[j] += joint[k * j + x]


@njit(cache=True, nogil=True)
def _spans(bits, span):
    """Widens span = (most, least above zero less 1, least), of entries ≥ 0 read as integers, in the same order."""
    most, low, least = span[0], span[1], span[2]
    one = np.uint64(1)
    for j in range(len(bits)):
        most = max(most, bits[j])
        low = min(low, bits[j] - one)
        least = min(least, bits[j])
    span[0], span[1], span[2] = most, low, least


@njit(cache=True, nogil=True)
def _nothing(bits):
    """Whether all entries are zero."""
    most = np.uint64(0)
    for j in range(len(bits)):
        most |= bits[j]
    return most == 0


@njit(cache=True, nogil=True)
def sum_blocks(pieces, arena, b, scale, first, last, hard, span):
    """Writes the message of bucket b for its blocks first…last−1, and widens `span` by its entries.

    `scale` is what every product starts from; `hard` says that items hold zeros, so that looking for them may pay.
    """
    wiring = wire(pieces, b)
    feed = prepare(pieces, wiring, arena, last - first)
    m, width, k = len(wiring.piece), wiring.width, wiring.axes[-1]
    start, digit = np.empty(m, np.int64), np.empty(max(wiring.cut, 1), np.int64)
    starts(pieces, wiring, first, digit, start)
    rows, spare = np.empty((m + 1, width)), np.empty(width)
    for l in range(width):
        rows[0, l] = scale
    bits, out = rows.view(np.uint64), arena.view(np.uint64)
    parts = width // k
    moved, h = -1, first
    while h < last:
        place = pieces.at[pieces.first + b] + h * parts
        message = arena[place : place + parts]
        i, row, dead = 0, 0, 0
        while i < m:
            end = i + 1
            while end < m and wiring.level[end] == wiring.level[i]:
                end += 1
            if end == m:
                break
            if wiring.level[i] > moved:
                multiply_items(pieces, wiring, feed, arena, start, i, end, rows[row], rows[row + 1], spare)
                if hard and _nothing(bits[row + 1]):
                    dead = _blocks_below(wiring, wiring.level[i])
                    break
            row, i = row + 1, end
        if dead > 0:
            dead = min(dead - h % dead, last - h)
            for e in range(place, place + dead * parts):
                arena[e] = 0.0
            span[2] = 0
            h += dead
            moved = _jump(pieces, wiring, h, digit, start)
            continue
        _last(pieces, wiring, feed, arena, start, i, rows[row], rows[m], spare, message, k)
        _spans(out[place : place + parts], span)
        moved = advance(wiring, digit, start)
        h += 1


@njit(cache=True, nogil=True)
def _jump(pieces, wiring, h, digit, start):
    """Goes on at block h; returns the slowest axis that moved."""
    before = np.empty_like(digit)
    for j in range(wiring.cut):
        before[j] = digit[j]
    starts(pieces, wiring, h, digit, start)
    for j in range(wiring.cut):
        if digit[j] != before[j]:
            return j
    return -1


@njit(cache=True, nogil=True)
def multiply_items(pieces, wiring, feed, arena, start, first, end, left, out, spare):
    """out = left × items first…end−1: products go to and fro so that no loop reads what it writes."""
    for i in range(first, end):
        if (end - i) % 2 == 1:
            _multiply(pieces, wiring, feed, arena, i, start[i], left, out)
            left = out
        else:
            _multiply(pieces, wiring, feed, arena, i, start[i], left, spare)
            left = spare


@njit(cache=True, nogil=True)
def _last(pieces, wiring, feed, arena, start, first, left, joint, spare, message, k):
    """The items of the last level, and the sum over the variable."""
    m = len(wiring.piece)
    if m == 0:
        _sums(left, k, message)
    elif k == 2 and feed.kind[m - 1] <= SPREAD:
        if first < m - 1:
            multiply_items(pieces, wiring, feed, arena, start, first, m - 1, left, joint, spare)
            left = joint
        _pairs(left, _part(pieces, wiring, feed, arena, m - 1, start[m - 1]), message)
    else:
        multiply_items(pieces, wiring, feed, arena, start, first, m, left, joint, spare)
        _sums(joint, k, message)


@njit(cache=True, nogil=True)
def _blocks_below(wiring, level):
    """How many blocks share the digits before axis `level`."""
    count = 1
    for j in range(level, wiring.cut):
        count *= wiring.axes[j]
    return count
