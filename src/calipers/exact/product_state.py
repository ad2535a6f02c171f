"""What is known of each table and message while products are summed: exponent, range, zeros.

A message is stored as numbers, its largest entry about 2^exponent, or, where the range of a bucket may leave float64,
as logs, its largest entry 0. `low` is the log of the smallest positive entry against the largest.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

FLOOR = 1e-200  # a product of scaled numbers above it has lost nothing to underflow, nor has any part of it
LOG_FLOOR = math.log(FLOOR)
_LAZY = 64  # |exponent| that a message may keep
_SUM = 200  # Σ |exponent| that a bucket takes
DONE, WIDE, ZERO = 0, 1, 2


class State(NamedTuple):
    """Arrays over the pieces, tables then messages; `error` over buckets."""

    exponent: np.ndarray
    low: np.ndarray
    hard: np.ndarray  # holds zeros
    logs: np.ndarray  # stored as logs
    top: np.ndarray  # of tables, and of messages in log space: the log that was taken off
    error: np.ndarray  # (B,) of each bucket's own roundings
    shed: np.ndarray  # (1,) Σ of all exponents taken off
    removed: np.ndarray  # exponent that a message's entries have lost since it was summed


@njit(cache=True, nogil=True)
def load(pieces, raw, raw_at, raw_scope, table, as_logs, arena, state):
    """Writes one table, its axes in elimination order, its largest entry scaled to 1; False if all of it is zero."""
    first, last = pieces.scope_ptr[table], pieces.scope_ptr[table + 1]
    d, at, entries = last - first, pieces.at[table], pieces.length[table]
    axis, stride, digit = np.empty(d, np.int64), np.zeros(d, np.int64), np.zeros(d, np.int64)
    own = raw_scope[first:last]
    for j in range(d):
        axis[j] = pieces.sizes[pieces.scope[first + j]]
        step = 1
        for q in range(d - 1, -1, -1):
            if own[q] == pieces.scope[first + j]:
                stride[j] = step
            step *= pieces.sizes[own[q]]
    source = raw[raw_at[table] : raw_at[table] + entries]
    top, low = -np.inf, np.inf
    for e in range(entries):
        top = max(top, source[e])
    if top == -np.inf:
        return False
    place = 0
    for e in range(entries):
        log = source[place] - top
        arena[at + e] = log if as_logs else math.exp(log)
        if log == -np.inf:
            state.hard[table] = True
        else:
            low = min(low, log)
        for j in range(d - 1, -1, -1):
            place += stride[j]
            digit[j] += 1
            if digit[j] < axis[j]:
                break
            place -= axis[j] * stride[j]
            digit[j] = 0
    state.top[table], state.low[table], state.logs[table] = top, low, as_logs
    return True


@njit(cache=True, nogil=True)
def load_all(pieces, raw, raw_at, raw_scope, arena, state):
    """All tables as numbers; False if one of them is zero everywhere."""
    possible = True
    for table in range(pieces.first):
        possible &= load(pieces, raw, raw_at, raw_scope, table, False, arena, state)
    return possible


@njit(cache=True, nogil=True)
def begin(pieces, state, arena, b):
    """What products of bucket b start from, whether items hold zeros, whether no product can leave float64's range."""
    own = pieces.item[pieces.item_ptr[b] : pieces.item_ptr[b + 1]]
    total, size, low, hard, wide = 0, 0, 0.0, False, False
    for p in own:
        size += abs(state.exponent[p])
        low += state.low[p]
        hard |= state.hard[p]
        wide |= state.logs[p]
    for p in own:
        if size > _SUM and state.exponent[p] != 0:
            rescale(pieces, state, arena, p)
        total += state.exponent[p]
    return 2.0 ** float(-total), hard, low >= LOG_FLOOR, wide


@njit(cache=True, nogil=True)
def rescale(pieces, state, arena, p):
    """Takes a message's exponent off its entries; exact, a power of two."""
    factor = 2.0 ** float(-state.exponent[p])
    for e in range(pieces.at[p], pieces.at[p] + pieces.length[p]):
        arena[e] *= factor
    state.removed[p] += state.exponent[p]
    state.exponent[p] = 0


@njit(cache=True, nogil=True)
def reverse_scale(pieces, state, b):
    """What products of bucket b start from to agree with its message as it is stored now."""
    total = state.removed[pieces.first + b]
    for p in pieces.item[pieces.item_ptr[b] : pieces.item_ptr[b + 1]]:
        total += state.exponent[p]
    return 2.0 ** float(-total)


@njit(cache=True, nogil=True)
def settle(pieces, state, arena, b, span, safe):
    """Books the message of bucket b: DONE, ZERO (so is Z), or WIDE: something may have been lost to underflow."""
    p, one = pieces.first + b, np.uint64(1)
    if span[0] == 0:
        return ZERO if safe else WIDE
    ends = np.array([span[0], span[1] + one]).view(np.float64)
    most, least = ends[0], ends[1]
    if least < FLOOR or not (span[2] > 0 or safe):
        return WIDE
    state.exponent[p] = math.frexp(most)[1]
    state.shed[0] += state.exponent[p]
    state.low[p], state.hard[p], state.logs[p] = math.log(least / most), span[2] == 0, False
    items = pieces.item_ptr[b + 1] - pieces.item_ptr[b]
    state.error[b] = items + pieces.sizes[pieces.variable[b]]
    if abs(state.exponent[p]) > _LAZY:
        rescale(pieces, state, arena, p)
    return DONE
