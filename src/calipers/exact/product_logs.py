"""The way out of float64's range: one bucket in log space, its items turned into logs and its message back if it may.

    λ(rest) = log Σ_x exp(Σ_i item_i(rest, x))

Cost: an exponential per joint entry, a logarithm per message entry: some 20 times that of `product_kernels.py`.
"""

import math

import numpy as np
from numba import njit

from calipers.exact.product_state import LOG_FLOOR, load, rescale
from calipers.exact.wiring import offsets, starts, wire


@njit(cache=True, nogil=True)
def items_to_logs(pieces, raw, raw_at, raw_scope, arena, state, b):
    """Turns the items of bucket b into logs: tables anew from what was given, messages in place."""
    for p in pieces.item[pieces.item_ptr[b] : pieces.item_ptr[b + 1]]:
        if p < pieces.first:
            load(pieces, raw, raw_at, raw_scope, p, True, arena, state)
        elif not state.logs[p]:
            to_logs(pieces, state, arena, p)


@njit(cache=True, nogil=True)
def to_logs(pieces, state, arena, p):
    """Turns a message into logs, its largest entry about 0."""
    rescale(pieces, state, arena, p)  # exact, so that the logs are of numbers up to 1
    for e in range(pieces.at[p], pieces.at[p] + pieces.length[p]):
        arena[e] = math.log(arena[e]) if arena[e] > 0.0 else -np.inf
    state.logs[p] = True


@njit(cache=True, nogil=True)
def log_blocks(pieces, arena, b, first, last):
    """The message of bucket b as logs, blocks first…last−1; all items are logs. Returns its largest entry."""
    wiring = wire(pieces, b)
    m, width, k = len(wiring.piece), wiring.width, wiring.axes[-1]
    start, digit = np.empty(m, np.int64), np.empty(max(wiring.cut, 1), np.int64)
    table, joint = np.zeros((m, width), np.int64), np.empty(width)
    for i in range(m):
        offsets(wiring, i, table[i])
    peak = -np.inf
    for h in range(first, last):
        starts(pieces, wiring, h, digit, start)
        for l in range(width):
            joint[l] = 0.0
        for i in range(m):
            run = wiring.run[i]
            for r in range(width // run):
                for l in range(run):
                    joint[r * run + l] += arena[start[i] + table[i, r] + l]
        place = pieces.at[pieces.first + b] + h * (width // k)
        for j in range(width // k):
            top, total = -np.inf, 0.0
            for x in range(j * k, j * k + k):
                top = max(top, joint[x])
            if top > -np.inf:
                for x in range(j * k, j * k + k):
                    total += math.exp(joint[x] - top)
                top += math.log(total)
            arena[place + j] = top
            peak = max(peak, top)
    return peak


@njit(cache=True, nogil=True)
def settle_logs(pieces, state, arena, b, peak):
    """Books a message in log space, as numbers again if its range allows; False if all of it is zero."""
    p, low, size = pieces.first + b, 0.0, 0.0
    own = pieces.item[pieces.item_ptr[b] : pieces.item_ptr[b + 1]]
    for i in own:
        size -= state.low[i]
    if peak == -np.inf:
        return False
    for e in range(pieces.at[p], pieces.at[p] + pieces.length[p]):
        if arena[e] == -np.inf:
            state.hard[p] = True
        else:
            arena[e] -= peak
            low = min(low, arena[e])
    state.top[p], state.low[p], state.logs[p] = peak, low, low < LOG_FLOOR
    if not state.logs[p]:
        for e in range(pieces.at[p], pieces.at[p] + pieces.length[p]):
            arena[e] = math.exp(arena[e])
    # sums of items of this size, their own turns into logs and this one's back, the power sum, the peak
    state.error[b] = (len(own) + 5.0) * (size + 1.0) + pieces.sizes[pieces.variable[b]] + 8.0 + abs(peak) - low
    return True
