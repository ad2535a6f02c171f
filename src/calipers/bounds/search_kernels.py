"""Numba kernels of best-first search: the steps' tables, the expansion of prefixes, and the heap that orders them.

A prefix assigns the last variables of an elimination order. With joint_r and λ_r the joint table and the message of
mini-bucket r, assigning x_v multiplies the bound on the prefix's mass by

    Π_r exp(joint_r(rest, x_v) − λ_r(rest)),      and these factors add up to at most 1 over x_v   (Hölder),

so that children never weigh more than their parent. Logs are relative to the bound on the whole. Slots of popped
prefixes are used again; nothing is allocated here.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.exact.kernels import _fill

WAITING, FRESH, FREE, LEAVES, EXPANDED = 0, 1, 2, 3, 4  # of the counts
DONE, BUDGET, FULL, BATCH = 0, 1, 2, 3  # why an expansion stopped


class Steps(NamedTuple):
    """The D variables to assign, one step each, and the R mini-buckets of all steps."""

    states: np.ndarray  # (D,) states of the step's variable
    bucket_ptr: np.ndarray  # (D+1,)
    table: np.ndarray  # (R,) where the mini-bucket's logs begin in `logs`
    rest_ptr: np.ndarray  # (R+1,)
    rest: np.ndarray  # earlier steps that its rest consists of
    stride: np.ndarray  # their strides, in entries of `logs`
    logs: np.ndarray  # joint − message


class Prefixes(NamedTuple):
    """The open prefixes: slots with states, log bound and depth; a heap of slots; free slots."""

    states: np.ndarray  # (cap, D) uint8
    bound: np.ndarray  # (cap,)
    depth: np.ndarray  # (cap,)
    heap: np.ndarray  # (cap,)
    free: np.ndarray  # (cap,)
    counts: np.ndarray  # (5,)


@njit(cache=True, nogil=True)
def conditional_logs(program, arena, b, shed, block, out):
    """joint − message of bucket b, over (rest, variable), into `out`; −inf where the message is."""
    k, width, message = program.states[b], program.width[b], program.message[b]
    for h in range(program.cells[b] // width):
        _fill(program, arena, b, h, block)
        for l in range(width):
            sent = arena[message + (h * width + l) // k]
            dead = sent == -np.inf or block[l] == -np.inf
            out[h * width + l] = -np.inf if dead else block[l] - sent - shed[b]


@njit(cache=True, nogil=True)
def push(p, slot):
    """Puts a slot on the heap."""
    j = p.counts[WAITING]
    p.counts[WAITING] += 1
    value = p.bound[slot]
    while j > 0:
        up = (j - 1) // 2
        if p.bound[p.heap[up]] >= value:
            break
        p.heap[j] = p.heap[up]
        j = up
    p.heap[j] = slot


@njit(cache=True, nogil=True)
def pop(p):
    """Takes the heaviest prefix's slot off the heap."""
    top = p.heap[0]
    p.counts[WAITING] -= 1
    n = p.counts[WAITING]
    last = p.heap[n]
    value = p.bound[last]
    j = 0
    while 2 * j + 1 < n:
        c = 2 * j + 1
        if c + 1 < n and p.bound[p.heap[c + 1]] > p.bound[p.heap[c]]:
            c += 1
        if p.bound[p.heap[c]] <= value:
            break
        p.heap[j] = p.heap[c]
        j = c
    if n > 0:
        p.heap[j] = last
    return top


@njit(cache=True, nogil=True)
def _slot(p):
    """A slot to write a new prefix into."""
    if p.counts[FREE] > 0:
        p.counts[FREE] -= 1
        return p.free[p.counts[FREE]]
    p.counts[FRESH] += 1
    return p.counts[FRESH] - 1


@njit(cache=True, nogil=True)
def _drop(p, slot):
    p.free[p.counts[FREE]] = slot
    p.counts[FREE] += 1


@njit(cache=True, nogil=True)
def _children(steps, p, slot, gain):
    """Log factors of every state of the next variable into `gain`; returns the heaviest state, −1 if none lives."""
    d = p.depth[slot]
    k = steps.states[d]
    gain[:k] = 0.0
    for r in range(steps.bucket_ptr[d], steps.bucket_ptr[d + 1]):
        at = steps.table[r]
        for t in range(steps.rest_ptr[r], steps.rest_ptr[r + 1]):
            at += p.states[slot, steps.rest[t]] * steps.stride[t]
        for x in range(k):
            gain[x] += steps.logs[at + x]
    best = -1
    for x in range(k):
        if gain[x] > -np.inf and (best < 0 or gain[x] > gain[best]):
            best = x
    return best


@njit(cache=True, nogil=True)
def accumulate(mass, value):
    """Adds exp(value) to mass[1]·exp(mass[0])."""
    if value == -np.inf:
        return
    if value > mass[0]:
        mass[1] = (mass[1] * np.exp(mass[0] - value) if mass[1] > 0.0 else 0.0) + 1.0
        mass[0] = value
    else:
        mass[1] += np.exp(value - mass[0])


@njit(cache=True, nogil=True)
def _branch(p, slot, best, k, gain, mass, complete):
    """Gives every living state but the heaviest a prefix of its own, on the heap; the slot goes on with the heaviest.

    If the assignments are `complete` now, and their bounds their masses, those go to `mass` at once.
    """
    d = p.depth[slot]
    for x in range(k):
        if complete and x != best:
            p.counts[LEAVES] += 1
            accumulate(mass, p.bound[slot] + gain[x])
        elif x != best and gain[x] > -np.inf:
            new = _slot(p)
            p.states[new, :d] = p.states[slot, :d]
            p.states[new, d] = x
            p.bound[new] = p.bound[slot] + gain[x]
            p.depth[new] = d + 1
            push(p, new)
    p.states[slot, d] = best
    p.bound[slot] += gain[best]
    p.depth[slot] = d + 1


@njit(cache=True, nogil=True)
def expand(steps, p, mass, dive_share, budget, batch, batch_bound, gain):
    """Expands the heaviest prefixes; every now and then one of them greedily down to a whole assignment.

    Whole assignments go to `batch`, (m, D), with their bounds, for a caller who can evaluate them; if m = 0 their
    bound is their mass and goes to `mass`. Dives take about `dive_share` of the expansions.

    **Returns:** (why it stopped, assignments in the batch).
    """
    depth, filled, dived, start = len(steps.states), 0, 0, p.counts[EXPANDED]
    most = steps.states.max()
    while p.counts[WAITING] > 0:
        if p.counts[EXPANDED] - start >= budget:
            return BUDGET, filled
        if filled == len(batch) and filled > 0:
            return BATCH, filled
        if p.counts[FRESH] - p.counts[FREE] + depth * most + 1 >= len(p.bound):
            return FULL, filled
        slot = pop(p)
        diving = dived <= dive_share * (p.counts[EXPANDED] - start)
        while True:
            d = p.depth[slot]
            if d == depth:
                p.counts[LEAVES] += 1
                if len(batch) == 0:
                    accumulate(mass, p.bound[slot])
                else:
                    batch[filled] = p.states[slot]
                    batch_bound[filled] = p.bound[slot]
                    filled += 1
                _drop(p, slot)
                break
            p.counts[EXPANDED] += 1
            dived += diving
            best = _children(steps, p, slot, gain)
            if best < 0:
                _drop(p, slot)
                break
            before = p.counts[WAITING]
            _branch(p, slot, best, steps.states[d], gain, mass, d == depth - 1 and len(batch) == 0)
            if not diving and (p.counts[WAITING] > before or (p.depth[slot] == depth and len(batch) > 0)):
                push(p, slot)
                break
    return DONE, filled


@njit(cache=True, nogil=True)
def keep_heaviest(p, limit):
    """Frees the prefixes with a bound below `limit`; their slots are used again."""
    n, kept = p.counts[WAITING], 0
    p.counts[WAITING] = 0
    for i in range(n):
        slot = p.heap[i]
        if p.bound[slot] >= limit:
            p.heap[kept] = slot
            kept += 1
        else:
            _drop(p, slot)
    for i in range(kept):  # ascending: each push reads only the slots up to its own
        push(p, p.heap[i])
