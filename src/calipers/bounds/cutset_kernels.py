"""Numba kernel of cutset conditioning: the mass of a model given an assignment of the cutset, for many assignments.

The variables outside the cutset are eliminated along a fixed order, in linear arithmetic: tables are kept divided by
the largest entry of each slice, messages by their largest entry, and the logs of what was divided out are added up.
Every number is then at most the number of joint states of what was summed out, and what rounding to zero can lose of
the whole is below e^(logs of the slices' maxima) · joint states · e^−650: the second result, to be added to an upper
bound. (A message whose largest entry is below 10^−290 counts as zero; what is subnormal elsewhere is smaller still.)
An item of a bucket is one of three kinds, by the part of a block's entries that it tells apart: all of them, only the
states of the bucket's own variable, or only places within the block (those are multiplied together once a bucket).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

ALL, OWN, INSIDE = 0, 1, 2
_ZERO = 1e-290


class Conditioned(NamedTuple):
    """F tables sliced by the cutset (D variables), and the B buckets of the rest with their I items."""

    slice_ptr: np.ndarray  # (F+1,) into the next two: which cutset variables select the slice of each table
    slice_of: np.ndarray
    slice_stride: np.ndarray  # in slices
    slice_cells: np.ndarray  # (F,) entries of one slice
    table: np.ndarray  # (F,) where the table begins in the arena
    peak_at: np.ndarray  # (F,) where its slices' log maxima begin
    peaks: np.ndarray
    states: np.ndarray  # (B,)
    cells: np.ndarray  # (B,)
    width: np.ndarray  # (B,)
    message: np.ndarray  # (B,)
    item_ptr: np.ndarray  # (B+1,)
    source: np.ndarray  # (I,) number of the table, or −1 − arena offset of a message
    kind: np.ndarray  # (I,)
    high: np.ndarray  # (I,)
    low: np.ndarray  # (I,)
    offsets: np.ndarray


@njit(cache=True, nogil=True)
def _multiply(c, arena, base, b, h, kind, factor):
    """Multiplies the items of one kind, at block h, into `factor`; returns how many there were."""
    count = 0
    length = c.states[b] if kind == OWN else c.width[b]
    for i in range(c.item_ptr[b], c.item_ptr[b + 1]):
        if c.kind[i] == kind:
            start, low = base[i] + c.offsets[c.high[i] + h], c.low[i]
            for l in range(length):
                factor[l] *= arena[start + c.offsets[low + l]]
            count += 1
    return count


@njit(cache=True, nogil=True)
def _sum_out(c, arena, base, b, block, inside, own):
    """Writes the message of bucket b, divided by its largest entry; returns that entry."""
    k, width, place, top = c.states[b], c.width[b], c.message[b], 0.0
    inside[:width] = 1.0
    _multiply(c, arena, base, b, 0, INSIDE, inside)
    for h in range(c.cells[b] // width):
        own[:k] = 1.0
        _multiply(c, arena, base, b, h, OWN, own)
        for j in range(0, width, k):
            for x in range(k):
                block[j + x] = inside[j + x] * own[x]
        _multiply(c, arena, base, b, h, ALL, block)
        for j in range(0, width, k):
            total = 0.0
            for x in range(k):
                total += block[j + x]
            arena[place] = total
            top = max(top, total)
            place += 1
    if top > _ZERO:
        scale = 1.0 / top
        for j in range(c.message[b], place):
            arena[j] *= scale
    return top


@njit(cache=True, nogil=True)
def log_masses(c, arena, assignments, states_log, block, inside, own, base, out, lost):
    """log mass of every assignment (m, D) into `out`, and the log of what rounding to zero may have lost into `lost`.

    `states_log` is the log of the joint states outside the cutset; `base`, shape (I,), is scratch.
    """
    offset = np.empty(len(c.table), np.int64)
    for a in range(len(assignments)):
        peaks = 0.0
        for f in range(len(c.table)):
            place = 0
            for j in range(c.slice_ptr[f], c.slice_ptr[f + 1]):
                place += assignments[a, c.slice_of[j]] * c.slice_stride[j]
            peaks += c.peaks[c.peak_at[f] + place]
            offset[f] = c.table[f] + place * c.slice_cells[f]
        lost[a] = peaks + states_log - 650.0
        out[a] = peaks
        for i in range(len(c.source)):
            base[i] = offset[c.source[i]] if c.source[i] >= 0 else -1 - c.source[i]
        for b in range(len(c.states)):
            if out[a] == -np.inf:
                break
            top = _sum_out(c, arena, base, b, block, inside, own)
            out[a] += np.log(top) if top > _ZERO else -np.inf
