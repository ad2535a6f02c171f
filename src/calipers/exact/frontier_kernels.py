"""Numba kernels of the frontier sweep: groups of steps on a vector over the states of at most 2^bits frontier spins.

A step changes one bit of the index in place. With old spin o, new spin s and frontier neighbours in state `key`,

    v(s, key, …) ← f_s(key) Σ_o t[s, o] v(o, key, …).

It replaces a spin (t from the coupling), adds one (t = 1), sums one out (t = [[1, 1], [0, 0]]) or multiplies (t = 1 on
the diagonal). Steps come in groups that touch few bits. A group works on blocks of the vector, copied into a buffer
that fits the cache: the long vector is read and written once a group, and not once a step.
Untouched bits lie lowest in the buffer, so that the inner loops are long enough for the vector units.
"""

from typing import NamedTuple

import numpy as np
from numba import njit


class Steps(NamedTuple):
    """The steps in order; arrays over s steps."""

    spot: np.ndarray  # (s,) place of the step's bit in its group's buffer
    t: np.ndarray  # (s, 4) t[s, o], flat
    near_ptr: np.ndarray  # (s+1,) neighbours
    near: np.ndarray  # places of the neighbours' bits in the buffer
    factor_ptr: np.ndarray  # (s+1,) start of the step's factors
    factor: np.ndarray  # (…, 2) f_s(key)


class Blocks(NamedTuple):
    """How one group cuts the vector into blocks."""

    first: int  # its steps are first … last − 1
    last: int
    offsets: np.ndarray  # buffer entry (in runs) → offset from the base of the block
    run: int  # entries of one contiguous run
    spare: np.ndarray  # bits of the vector's index that number the blocks


@njit(cache=True, nogil=True, inline="always")
def _base(block, spare):
    """The vector index whose `spare` bits are those of `block`."""
    at = 0
    for j in range(spare.size):
        at |= ((block >> j) & 1) << spare[j]
    return at


@njit(cache=True, nogil=True)
def _read(vector, base, offsets, run, scale, buffer):
    for i in range(offsets.size):
        start = base + offsets[i]
        for j in range(run):
            buffer[i * run + j] = vector[start + j] * scale


@njit(cache=True, nogil=True)
def _write(vector, base, offsets, run, buffer):
    """Copies back; the largest entry."""
    top = 0.0
    for i in range(offsets.size):
        start = base + offsets[i]
        for j in range(run):
            x = buffer[i * run + j]
            vector[start + j] = x
            top = max(top, x)
    return top


@njit(cache=True, nogil=True, inline="always")
def _run_bits(steps, s):
    """log2 of the length over which a step's factors are constant."""
    low = steps.spot[s]
    for j in range(steps.near_ptr[s], steps.near_ptr[s + 1]):
        low = min(low, steps.near[j])
    return low


@njit(cache=True, nogil=True, inline="always")
def _key(steps, s, at):
    """The state of the step's neighbours at buffer entry `at`."""
    key = 0
    start = steps.near_ptr[s]
    for j in range(start, steps.near_ptr[s + 1]):
        key |= ((at >> steps.near[j]) & 1) << (j - start)
    return key


@njit(cache=True, nogil=True, inline="always")
def _lower(x, spot):
    """x with a zero put in at bit `spot`."""
    return ((x >> spot) << (spot + 1)) | (x & ((1 << spot) - 1))


@njit(cache=True, nogil=True, fastmath={"contract"})
def _mix(low, high, m00, m01, m10, m11):
    for j in range(low.size):
        a, b = low[j], high[j]
        low[j] = m00 * a + m01 * b
        high[j] = m10 * a + m11 * b


@njit(cache=True, nogil=True, fastmath={"contract"})
def _step(steps, s, buffer):
    spot, q = steps.spot[s], _run_bits(steps, s)
    stride, run, first = 1 << spot, 1 << q, steps.factor_ptr[s]
    t00, t01, t10, t11 = steps.t[s, 0], steps.t[s, 1], steps.t[s, 2], steps.t[s, 3]
    for c in range(buffer.size >> (q + 1)):
        at = _lower(c << q, spot)
        key = first + _key(steps, s, at)
        up, down = steps.factor[key, 0], steps.factor[key, 1]
        m00, m01, m10, m11 = up * t00, up * t01, down * t10, down * t11
        if run >= 8:
            _mix(buffer[at : at + run], buffer[at + stride : at + stride + run], m00, m01, m10, m11)
        else:
            for i in range(at, at + run):
                a, b = buffer[i], buffer[i + stride]
                buffer[i] = m00 * a + m01 * b
                buffer[i + stride] = m10 * a + m11 * b


@njit(cache=True, nogil=True)
def forward(vector, scale, steps, blocks, start, stop):
    """The group's steps on blocks `start` … `stop` − 1 of scale × vector, in place; the largest entry."""
    buffer = np.empty(blocks.offsets.size * blocks.run)
    top = 0.0
    for block in range(start, stop):
        base = _base(block, blocks.spare)
        _read(vector, base, blocks.offsets, blocks.run, scale, buffer)
        for s in range(blocks.first, blocks.last):
            _step(steps, s, buffer)
        top = max(top, _write(vector, base, blocks.offsets, blocks.run, buffer))
    return top


@njit(cache=True, nogil=True)
def _trace(vector, base, steps, blocks, trace):
    """trace[k] is the block before step first + k."""
    _read(vector, base, blocks.offsets, blocks.run, 1.0, trace[0])
    for s in range(blocks.first, blocks.last):
        k = s - blocks.first
        trace[k + 1] = trace[k]
        _step(steps, s, trace[k + 1])


@njit(cache=True, nogil=True)
def _pull(steps, s, before, dual, joint):
    """dual ← its pull-back through step s; joint[key, 2 new + old] += the weight of each state of (key, new, old)."""
    spot, q = steps.spot[s], _run_bits(steps, s)
    stride, first = 1 << spot, steps.factor_ptr[s]
    t00, t01, t10, t11 = steps.t[s, 0], steps.t[s, 1], steps.t[s, 2], steps.t[s, 3]
    for c in range(before.size >> (q + 1)):
        at = _lower(c << q, spot)
        key = first + _key(steps, s, at)
        up, down = steps.factor[key, 0], steps.factor[key, 1]
        aa = ab = ba = bb = 0.0
        for i in range(at, at + (1 << q)):
            x, y = up * dual[i], down * dual[i + stride]
            a, b = before[i], before[i + stride]
            aa += x * a
            ab += x * b
            ba += y * a
            bb += y * b
            dual[i] = t00 * x + t10 * y
            dual[i + stride] = t01 * x + t11 * y
        joint[key, 0] += t00 * aa
        joint[key, 1] += t01 * ab
        joint[key, 2] += t10 * ba
        joint[key, 3] += t11 * bb


@njit(cache=True, nogil=True)
def backward(vector, dual, scale, steps, blocks, start, stop, joint):
    """Pulls scale × dual back through the group, in place; `vector` is what the group started from; the largest entry.

    `joint` (like `steps.factor`, 4 columns) gathers the unnormalised joint weights of each step's spins.
    """
    size = blocks.offsets.size * blocks.run
    trace, buffer = np.empty((blocks.last - blocks.first + 1, size)), np.empty(size)
    top = 0.0
    for block in range(start, stop):
        base = _base(block, blocks.spare)
        _trace(vector, base, steps, blocks, trace)
        _read(dual, base, blocks.offsets, blocks.run, scale, buffer)
        for s in range(blocks.last - 1, blocks.first - 1, -1):
            _pull(steps, s, trace[s - blocks.first], buffer, joint)
        top = max(top, _write(dual, base, blocks.offsets, blocks.run, buffer))
    return top


@njit(cache=True, nogil=True)
def draw(vector, steps, blocks, block, inside, rank, uniform, spins):
    """Samples the group's steps backwards, given the states after it.

    **Arguments:** `block`, `inside` (r,), where each sample's state lies: its block and its entry in the buffer, which
    is changed to the entry before the group; `rank`, samples sorted by block; `uniform` (r, steps); `spins` (r, steps),
    filled with the bit that each step left behind.
    """
    size = blocks.offsets.size * blocks.run
    trace = np.empty((blocks.last - blocks.first + 1, size))
    known = -1
    for r in rank:
        if block[r] != known:
            known = block[r]
            _trace(vector, _base(known, blocks.spare), steps, blocks, trace)
        at = inside[r]
        for s in range(blocks.last - 1, blocks.first - 1, -1):
            k, spot = s - blocks.first, steps.spot[s]
            new = (at >> spot) & 1
            spins[r, k] = new
            low = at & ~(1 << spot)
            a = steps.t[s, 2 * new] * trace[k, low]
            b = steps.t[s, 2 * new + 1] * trace[k, low | (1 << spot)]
            at = low | ((1 << spot) if uniform[r, k] * (a + b) >= a else 0)
        inside[r] = at
