"""The reverse pass over products: the marginal of every item, ∂ log Z / ∂ log item, from that of the bucket's message.

    p(rest, x) = dual(rest) / message(rest) · Π_i item_i(rest, x),      dual_i += Σ p over what the item lacks

An entry whose message is zero has no marginal, and 0/0 does not occur. As on the way forward, products and sums go
level by level: what an item of a lower level gets is added up in one block until the digits before it move.
"""

import numpy as np
from numba import njit

from calipers.exact.product_kernels import RUNS, SPREAD, WHOLE, multiply_items, prepare
from calipers.exact.wiring import advance, offsets, starts, wire


@njit(cache=True, nogil=True)
def _add(out, block):
    for l in range(len(out)):
        out[l] += block[l]


@njit(cache=True, nogil=True)
def _collect(pieces, wiring, feed, dual, spread, i, start, block):
    """Adds a block of probabilities to the marginal of item i, or to its spread parts."""
    width, run = wiring.width, wiring.run[i]
    if feed.kind[i] == WHOLE:
        _add(dual[start : start + width], block)
    elif feed.kind[i] == SPREAD:
        place = feed.place[i] + (start - pieces.at[wiring.piece[i]]) // feed.inner[i] * width
        _add(spread[place : place + width], block)
    else:
        table = feed.offsets[feed.place[i] : feed.place[i] + width]
        for r in range(width // run):
            if feed.kind[i] == RUNS:
                _add(dual[start + table[r] : start + table[r] + run], block[r * run : r * run + run])
            else:
                for l in range(run):
                    dual[start + table[r] + l] += block[r * run + l]


@njit(cache=True, nogil=True)
def _gather(pieces, wiring, feed, dual, spread):
    """Adds the spread parts of all items to their marginals."""
    table = np.empty(wiring.width, np.int64)
    for i in range(len(wiring.piece)):
        if feed.kind[i] != SPREAD:
            continue
        p, run, runs = wiring.piece[i], wiring.run[i], offsets(wiring, i, table)
        for part in range(pieces.length[p] // feed.inner[i]):
            start, place = pieces.at[p] + part * feed.inner[i], feed.place[i] + part * wiring.width
            for r in range(runs):
                for l in range(run):
                    dual[start + table[r] + l] += spread[place + r * run + l]


@njit(cache=True, nogil=True)
def _levels(wiring):
    """Where each level's items begin, and the end."""
    m = len(wiring.piece)
    begin, count = np.empty(m + 1, np.int64), 0
    for i in range(m):
        if i == 0 or wiring.level[i] != wiring.level[i - 1]:
            begin[count] = i
            count += 1
    begin[count] = m
    return begin[: count + 1]


@njit(cache=True, nogil=True)
def _condition(joint, message, dual, k):
    """Turns products into probabilities, in place; False if all are zero."""
    alive = False
    for j in range(len(message)):
        ratio = dual[j] / message[j] if message[j] > 0.0 else 0.0
        alive |= ratio > 0.0
        for x in range(j * k, j * k + k):
            joint[x] *= ratio
    return alive


@njit(cache=True, nogil=True)
def _flush(pieces, wiring, feed, dual, spread, begin, start, sums, moved):
    """Hands the sums of the levels that end here to their items, and on to the level before."""
    for g in range(len(begin) - 3, -1, -1):
        if wiring.level[begin[g]] <= moved:
            return
        for i in range(begin[g], begin[g + 1]):
            _collect(pieces, wiring, feed, dual, spread, i, start[i], sums[g])
        if g > 0:
            _add(sums[g - 1], sums[g])
        for l in range(wiring.width):
            sums[g, l] = 0.0


@njit(cache=True, nogil=True)
def reverse_blocks(pieces, arena, dual, b, scale, first, last):
    """Adds what blocks first…last−1 of bucket b give to the marginals of its items."""
    wiring = wire(pieces, b)
    feed = prepare(pieces, wiring, arena, last - first)
    begin = _levels(wiring)
    m, width, k, count = len(wiring.piece), wiring.width, wiring.axes[-1], len(begin) - 1
    if m == 0:
        return
    start, digit = np.empty(m, np.int64), np.empty(max(wiring.cut, 1), np.int64)
    before = np.empty(m, np.int64)
    starts(pieces, wiring, first, digit, start)
    rows, sums = np.full((count + 1, width), scale), np.zeros((count, width))
    spread, spare = np.zeros(len(feed.spread)), np.empty(width)
    parts, moved = width // k, -1
    for h in range(first, last):
        for g in range(count):
            if g == count - 1 or wiring.level[begin[g]] > moved:
                multiply_items(pieces, wiring, feed, arena, start, begin[g], begin[g + 1], rows[g], rows[g + 1], spare)
        place = pieces.at[pieces.first + b] + h * parts
        if _condition(rows[count], arena[place : place + parts], dual[place : place + parts], k):
            for i in range(begin[count - 1], m):
                _collect(pieces, wiring, feed, dual, spread, i, start[i], rows[count])
            if count > 1:
                _add(sums[count - 2], rows[count])
        for i in range(m):
            before[i] = start[i]
        moved = advance(wiring, digit, start)
        _flush(pieces, wiring, feed, dual, spread, begin, before, sums, moved if h < last - 1 else -1)
    _gather(pieces, wiring, feed, dual, spread)
