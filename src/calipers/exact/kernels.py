"""Numba kernels of the bucket tree: one program over flat arrays, forward for the value, backward for its gradient.

A mini-bucket b adds up its items (factor tables, shifts, messages), each a slice of one arena, into a joint table over
(rest, variable), variable fastest, then eliminates the variable by the power sum

    λ(rest) = w log Σ_x exp(joint(rest, x) / w),     w = 1: log-sum-exp.

Joints are never stored: they are formed in blocks of at most `BLOCK` entries (or one variable), so that a pass needs
memory for messages only. A message is stored less its maximum, which goes to `shed[b]`; log Z is the sum of `shed`.
The backward pass is reverse mode over a dual arena of the same layout: `dual[item] += probability`. `error[b]` bounds
the rounding of one bucket; power sums do not expand errors in the maximum norm, so errors add up.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

BLOCK = 1024
ULP = 2.0**-53


class Program(NamedTuple):
    """The flat form of a bucket tree; arrays over B mini-buckets or I items."""

    states: np.ndarray  # (B,) states of the eliminated variable
    cells: np.ndarray  # (B,) entries of the joint
    width: np.ndarray  # (B,) entries of one block
    message: np.ndarray  # (B,) arena offset of the outgoing message
    item_ptr: np.ndarray  # (B+1,)
    base: np.ndarray  # (I,) arena offset of the item
    high: np.ndarray  # (I,) start in `offsets` of the item's offset for each block
    low: np.ndarray  # (I,) start in `offsets` of the item's offset within a block
    offsets: np.ndarray  # pool of offsets
    group_ptr: np.ndarray  # (G+1,) mini-buckets of one variable stand together
    shift_size: np.ndarray  # (G,) entries of the shift tables of a split group; 0 if the group is not split


@njit(cache=True, nogil=True)
def _fill(program, arena, b, h, block):
    """The joint of bucket b, block h, into `block`."""
    width = program.width[b]
    block[:width] = 0.0
    for i in range(program.item_ptr[b], program.item_ptr[b + 1]):
        start = program.base[i] + program.offsets[program.high[i] + h]
        low = program.low[i]
        for l in range(width):
            block[l] += arena[start + program.offsets[low + l]]


@njit(cache=True, nogil=True)
def _power_sum(block, start, k, w):
    """w log Σ exp(x/w) over k neighbouring entries; −inf if all are."""
    top = block[start]
    for x in range(1, k):
        top = max(top, block[start + x])
    if top == -np.inf:
        return top
    total = 0.0
    if w == 1.0:
        for x in range(k):
            total += math.exp(block[start + x] - top)
        return top + math.log(total)
    for x in range(k):
        total += math.exp((block[start + x] - top) / w)
    return top + w * math.log(total)


@njit(cache=True, nogil=True)
def _pair_sum(a, b, w):
    """The power sum of two entries, the common case."""
    top = max(a, b)
    if top == -np.inf:
        return top
    return top + w * math.log1p(math.exp((min(a, b) - top) / w))


@njit(cache=True, nogil=True)
def _eliminate(program, arena, b, w, block, shed, error):
    """Writes the message of bucket b, its maximum shed, and its rounding estimate."""
    k, width, message = program.states[b], program.width[b], program.message[b]
    place = message
    for h in range(program.cells[b] // width):
        _fill(program, arena, b, h, block)
        if k == 2:
            for j in range(0, width, 2):
                arena[place] = _pair_sum(block[j], block[j + 1], w)
                place += 1
        else:
            for j in range(0, width, k):
                arena[place] = _power_sum(block, j, k, w)
                place += 1
    top, bottom = -np.inf, 0.0
    for j in range(message, place):
        top = max(top, arena[j])
    if top > -np.inf:
        for j in range(message, place):
            arena[j] -= top
            if arena[j] > -np.inf:
                bottom = min(bottom, arena[j])
    shed[b] = top
    error[b] = -bottom  # the size of the message's entries; `_account` turns sizes into rounding


@njit(cache=True, nogil=True)
def _match(program, arena, g, weights, shed, dual, informed, damping, block, scratch):
    """Moment matching: moves group g towards one marginal on its common scope; keeps the sum of shifts at 0."""
    first, last = program.group_ptr[g], program.group_ptr[g + 1]
    size, parts = program.shift_size[g], last - first
    total_weight = 0.0
    for r in range(parts):
        b = first + r
        w, k, width, message = weights[b], program.states[b], program.width[b], program.message[b]
        total_weight += w
        item = program.item_ptr[b + 1] - 1
        high, low = program.high[item], program.low[item]
        logs = scratch[r * size : (r + 1) * size]
        logs[:] = 0.0
        top = -np.inf
        if not informed:
            for h in range(program.cells[b] // width):
                _fill(program, arena, b, h, block)
                for l in range(width):
                    top = max(top, block[l])
            if top == -np.inf:
                return
        for h in range(program.cells[b] // width):
            _fill(program, arena, b, h, block)
            start = program.offsets[high + h]
            for l in range(width):
                if block[l] == -np.inf:
                    continue
                if informed:
                    rest = message + (h * width + l) // k
                    if arena[rest] == -np.inf or dual[rest] == 0.0:
                        continue
                    value = dual[rest] * math.exp(min((block[l] - arena[rest] - shed[b]) / w, 300.0))
                else:
                    value = math.exp((block[l] - top) / w)
                logs[start + program.offsets[low + l]] += value
        peak = logs.max()
        if not (peak > 0.0 and peak < np.inf):
            return
        for c in range(size):
            logs[c] = max(math.log(logs[c] / peak), -40.0) if logs[c] > 0.0 else -40.0
    for c in range(size):
        mean, drift = 0.0, 0.0
        for r in range(parts):
            mean += weights[first + r] * scratch[r * size + c]
        mean /= total_weight
        for r in range(parts):
            step = damping * weights[first + r] * (mean - scratch[r * size + c])
            scratch[r * size + c] = step
            drift += step
        for r in range(parts):
            b = first + r
            scratch[r * size + c] -= drift * (weights[b] / total_weight)
            arena[program.base[program.item_ptr[b + 1] - 1] + c] += scratch[r * size + c]


@njit(cache=True, nogil=True)
def forward(program, arena, weights, first, last, shed, error, dual, informed, damping, block, scratch):
    """Eliminates groups first…last−1; with damping > 0 matches the moments of split groups on the way."""
    for g in range(first, last):
        if damping > 0.0 and program.shift_size[g] > 0:
            _match(program, arena, g, weights, shed, dual, informed, damping, block, scratch)
        for b in range(program.group_ptr[g], program.group_ptr[g + 1]):
            _eliminate(program, arena, b, weights[b], block, shed, error)


@njit(cache=True, nogil=True)
def backward(program, arena, weights, first, last, shed, dual, entropy, block):
    """Reverse of `forward` over groups last−1…first: marginals of every item into `dual`, conditional entropies."""
    for b in range(program.group_ptr[last] - 1, program.group_ptr[first] - 1, -1):
        w, k, width, message = weights[b], program.states[b], program.width[b], program.message[b]
        entropy[b] = 0.0
        for h in range(program.cells[b] // width):
            _fill(program, arena, b, h, block)
            alive = False
            for l in range(width):
                rest = message + (h * width + l) // k
                mass = dual[rest]
                if mass == 0.0 or block[l] == -np.inf:
                    block[l] = 0.0
                    continue
                log_q = (block[l] - arena[rest] - shed[b]) / w
                block[l] = mass * math.exp(log_q)
                entropy[b] -= block[l] * log_q
                alive = True
            if not alive:
                continue
            for i in range(program.item_ptr[b], program.item_ptr[b + 1]):
                start = program.base[i] + program.offsets[program.high[i] + h]
                low = program.low[i]
                for l in range(width):
                    dual[start + program.offsets[low + l]] += block[l]


@njit(cache=True, nogil=True)
def reweight(group_ptr, weights, entropy, rate):
    """One exponentiated-gradient step on the weights of every split group: dΦ/dw_b is the conditional entropy."""
    for g in range(len(group_ptr) - 1):
        first, last = group_ptr[g], group_ptr[g + 1]
        if last - first < 2:
            continue
        mean, total = 0.0, 0.0
        for b in range(first, last):
            mean += weights[b] * entropy[b]
        for b in range(first, last):
            weights[b] = max(weights[b] * math.exp(-rate * (entropy[b] - mean)), 1e-3)
            total += weights[b]
        for b in range(first, last):
            weights[b] /= total
