"""How the items of a bucket lie in its joint table: ragged scopes for all buckets, strides for the one at work.

The axes of a joint table are ordered alike everywhere: the variable eliminated first is the fastest, so a scope is a
subsequence of every joint that contains it. A joint is walked in blocks, its trailing axes up to `BLOCK` entries; the
other axes number the blocks. An item's *level* is one more than the last of those axes that it has, 0 without any: its
values stay the same while only later axes move, so its product with the items below it is formed that much less often.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

BLOCK = 4096


class Pieces(NamedTuple):
    """Tables 0…T−1, then the message of bucket b as number T + b; all arrays flat, for Numba."""

    sizes: np.ndarray  # (n,) states of the variables
    scope_ptr: np.ndarray  # (T+B+1,)
    scope: np.ndarray  # variables of each piece, slowest first, that is last eliminated first
    at: np.ndarray  # (T+B,) offset in the arena
    length: np.ndarray  # (T+B,) entries
    item_ptr: np.ndarray  # (B+1,)
    item: np.ndarray  # pieces of each bucket
    variable: np.ndarray  # (B,)
    first: int  # T


class Wiring(NamedTuple):
    """One bucket's items within its joint; items sorted by level, those that fill a block last within a level."""

    axes: np.ndarray  # (d,) states, eliminated variable last
    cut: int  # axes before it number the blocks
    width: int  # entries of a block
    blocks: int
    piece: np.ndarray  # (m,)
    stride: np.ndarray  # (m, d), 0 where the item lacks the axis
    level: np.ndarray  # (m,) ascending
    run: np.ndarray  # (m,) neighbouring entries of a block that are neighbours in the item too


@njit(cache=True, nogil=True)
def _axes(pieces, b):
    """The joint's variables, and where its blocks begin."""
    message = pieces.first + b
    rest = pieces.scope[pieces.scope_ptr[message] : pieces.scope_ptr[message + 1]]
    d = len(rest) + 1
    joint, axes = np.empty(d, np.int64), np.empty(d, np.int64)
    for j in range(d):
        joint[j] = rest[j] if j < d - 1 else pieces.variable[b]
        axes[j] = pieces.sizes[joint[j]]
    cut, width = d - 1, axes[d - 1]
    while cut > 0 and width * axes[cut - 1] <= BLOCK:
        cut -= 1
        width *= axes[cut]
    return joint, axes, cut, width


@njit(cache=True, nogil=True)
def _strides(pieces, p, joint, axes, stride):
    """The strides of piece p along the joint's axes."""
    first, place, step = pieces.scope_ptr[p], pieces.scope_ptr[p + 1] - 1, 1
    for j in range(len(joint) - 1, -1, -1):
        stride[j] = 0
        if place >= first and pieces.scope[place] == joint[j]:
            stride[j] = step
            step *= axes[j]
            place -= 1


@njit(cache=True, nogil=True)
def wire(pieces, b):
    """The wiring of bucket b."""
    joint, axes, cut, width = _axes(pieces, b)
    own = pieces.item[pieces.item_ptr[b] : pieces.item_ptr[b + 1]]
    m, d = len(own), len(joint)
    piece, stride = np.empty(m, np.int64), np.empty((m, d), np.int64)
    level, run, row = np.zeros(m, np.int64), np.ones(m, np.int64), np.empty(d, np.int64)
    for n in range(m):
        _strides(pieces, own[n], joint, axes, row)
        deep, near = 0, 1
        for j in range(cut):
            deep = j + 1 if row[j] > 0 else deep
        for j in range(d - 1, cut - 1, -1):
            if row[j] == 0:
                break
            near *= axes[j]
        i = n  # sorted by insertion
        while i > 0 and 2 * level[i - 1] + (run[i - 1] == width) > 2 * deep + (near == width):
            piece[i], level[i], run[i] = piece[i - 1], level[i - 1], run[i - 1]
            for j in range(d):
                stride[i, j] = stride[i - 1, j]
            i -= 1
        piece[i], level[i], run[i] = own[n], deep, near
        for j in range(d):
            stride[i, j] = row[j]
    return Wiring(axes, cut, width, _product(axes, cut), piece, stride, level, run)


@njit(cache=True, nogil=True)
def _product(axes, cut):
    count = 1
    for j in range(cut):
        count *= axes[j]
    return count


@njit(cache=True, nogil=True)
def offsets(wiring, i, out):
    """Offsets of item i within a block, one for each run of neighbours; returns their number."""
    out[0] = 0
    count, run = 1, 1
    d = len(wiring.axes)
    start = d
    while start > wiring.cut and run < wiring.run[i]:
        start -= 1
        run *= wiring.axes[start]
    for j in range(start - 1, wiring.cut - 1, -1):
        for x in range(1, wiring.axes[j]):
            for c in range(count):
                out[x * count + c] = out[c] + x * wiring.stride[i, j]
        count *= wiring.axes[j]
    return count


@njit(cache=True, nogil=True)
def starts(pieces, wiring, h, digit, start):
    """The block number h as digits over the leading axes, and where each item begins in that block."""
    rest = h
    for j in range(wiring.cut - 1, -1, -1):
        digit[j] = rest % wiring.axes[j]
        rest //= wiring.axes[j]
    for i in range(len(start)):
        start[i] = pieces.at[wiring.piece[i]]
        for j in range(wiring.cut):
            start[i] += digit[j] * wiring.stride[i, j]


@njit(cache=True, nogil=True)
def advance(wiring, digit, start):
    """Moves on by one block; returns the slowest axis that moved (−1: it was the last block)."""
    j = wiring.cut - 1
    while j >= 0 and digit[j] == wiring.axes[j] - 1:
        for i in range(len(start)):
            start[i] -= digit[j] * wiring.stride[i, j]
        digit[j] = 0
        j -= 1
    if j >= 0:
        digit[j] += 1
        for i in range(len(start)):
            start[i] += wiring.stride[i, j]
    return j


@njit(cache=True, nogil=True)
def block_size(pieces, b):
    """Entries of the joint of bucket b, and of one of its blocks."""
    _, axes, cut, width = _axes(pieces, b)
    return width * _product(axes, cut), width
