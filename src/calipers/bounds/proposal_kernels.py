"""Numba kernels of the mini-bucket proposal: its conditional tables, and blocked ancestral sampling.

For mini-bucket r of variable v, q_r(x_v | rest) ∝ exp(joint / w_r). A binary one is kept as one number a context: the
probability of the less likely state, with sign + if that is state 0 and − if it is state 1 (zeros have signs too), so
that both probabilities keep their relative precision; NaN where both states are impossible. Others keep one number a
state, all zero where none is possible.

Variables are drawn last eliminated first, from Σ_r w_r q_r, a block of samples at a time: contexts of a chunk of
samples are added up column by column, then looked up. Uniform numbers are counted, not carried: SplitMix64's finaliser
on (stream of the sample, variable). **Source** Steele, Lea & Flood, *Fast splittable pseudorandom number generators*
(2014).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.exact.kernels import _fill

CHUNK = 1024
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Draws(NamedTuple):
    """What to draw, in order: G variables, the mini-buckets of each, and where their contexts and tables lie."""

    variable: np.ndarray  # (G,)
    states: np.ndarray  # (G,)
    bucket_ptr: np.ndarray  # (G+1,)
    weight: np.ndarray  # (B,)
    table: np.ndarray  # (B,) where the bucket's table starts
    rest_ptr: np.ndarray  # (B+1,)
    rest: np.ndarray  # variables of the contexts
    stride: np.ndarray


@njit(cache=True, nogil=True)
def conditionals(program, arena, b, w, block, out):
    """Writes q of bucket b, in the form the header describes."""
    k, width, place = program.states[b], program.width[b], 0
    for h in range(program.cells[b] // width):
        _fill(program, arena, b, h, block)
        for j in range(0, width, k):
            if k == 2:
                out[place] = _minor((block[j + 1] - block[j]) / w) if block[j] != block[j + 1] else _even(block[j])
                place += 1
            else:
                _normalised(block, j, k, w, out, place)
                place += k


@njit(cache=True, nogil=True)
def _even(log):
    return np.nan if log == -np.inf else 0.5


@njit(cache=True, nogil=True)
def _minor(odds):
    """The signed probability of the less likely state, from the log odds of state 1."""
    likely = math.exp(-abs(odds))
    return math.copysign(likely / (1.0 + likely), odds)


@njit(cache=True, nogil=True)
def _normalised(block, start, k, w, out, place):
    top, total = -np.inf, 0.0
    for x in range(k):
        top = max(top, block[start + x])
    for x in range(k):
        block[start + x] = 0.0 if top == -np.inf else math.exp((block[start + x] - top) / w)
        total += block[start + x]
    for x in range(k):
        out[place + x] = block[start + x] / total if total > 0.0 else 0.0


@njit(cache=True, nogil=True, inline="always")
def _mixed(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def streams(seed, start, out):
    """The random stream of samples number start, start + 1, …"""
    for s in range(len(out)):
        out[s] = _mixed(seed + _mixed(np.uint64(start + s) * _GOLDEN + np.uint64(1)))


@njit(cache=True, nogil=True, inline="always")
def _uniform(stream, salt):
    return np.float64(_mixed(stream + salt) >> np.uint64(11)) * 1.1102230246251565e-16


@njit(cache=True, nogil=True)
def draw(draws, tables, stream, depth, x, log_weight, context, mixture):
    """Draws x (variables, n) and the log weights (n,) ≤ 0; the first depth[s] variables of x[:, s] are given."""
    n = len(stream)
    for g in range(len(draws.variable)):
        first, parts = draws.bucket_ptr[g], draws.bucket_ptr[g + 1] - draws.bucket_ptr[g]
        v, k = draws.variable[g], draws.states[g]
        salt = np.uint64(v + 1) * _GOLDEN
        for start in range(0, n, CHUNK):
            count = min(CHUNK, n - start)
            for r in range(parts):
                _contexts(draws, first + r, x, start, count, context[r])
            own, logs, random, given = x[v, start:], log_weight[start:], stream[start:], depth[start:]
            if k == 2 and parts == 1:
                _bits(tables[draws.table[first] :], context[0], random, salt, g, given, count, own, logs)
            elif k == 2:
                _split_bits(draws, tables, first, parts, context, random, salt, g, given, count, own, logs)
            else:
                _states(draws, tables, first, parts, k, context, random, salt, g, given, count, own, logs, mixture)


@njit(cache=True, nogil=True)
def _contexts(draws, b, x, start, count, context):
    context[:count] = 0
    for j in range(draws.rest_ptr[b], draws.rest_ptr[b + 1]):
        column, stride = x[draws.rest[j], start:], np.int32(draws.stride[j])
        for s in range(count):
            context[s] += np.int32(column[s]) * stride


@njit(cache=True, nogil=True)
def _bits(table, context, stream, salt, g, given, count, x, log_weight):
    """One whole bucket of a binary variable: the weight does not change."""
    for s in range(count):
        if g < given[s]:
            continue
        q = np.float64(table[context[s]])
        minor = _uniform(stream[s], salt) < abs(q)
        x[s] = minor != (math.copysign(1.0, q) > 0.0)
        if q != q:
            log_weight[s] = -np.inf


@njit(cache=True, nogil=True)
def _split_bits(draws, tables, first, parts, context, stream, salt, g, given, count, x, log_weight):
    """The weight gains Π_r q_r^{w_r} / Σ_r w_r q_r ≤ 1 at the state drawn."""
    for s in range(count):
        if g < given[s]:
            continue
        one, zero = 0.0, 0.0
        for r in range(parts):
            q, w = np.float64(tables[draws.table[first + r] + context[r, s]]), draws.weight[first + r]
            if math.copysign(1.0, q) > 0.0:
                zero += w * q
                one += w * (1.0 - q)
            else:
                one -= w * q
                zero += w * (1.0 + q)
        minor = _uniform(stream[s], salt) * (one + zero) < min(one, zero)
        state = minor != (zero <= one)
        x[s] = state
        log = -math.log(one if state else zero) if (one if state else zero) > 0.0 else np.nan
        for r in range(parts):
            q = np.float64(tables[draws.table[first + r] + context[r, s]])
            own = abs(q) if state != (math.copysign(1.0, q) > 0.0) else 1.0 - abs(q)
            log += draws.weight[first + r] * math.log(own) if own > 0.0 else -np.inf
        log_weight[s] = log_weight[s] + min(log, 0.0) if log == log else -np.inf


@njit(cache=True, nogil=True)
def _states(draws, tables, first, parts, k, context, stream, salt, g, given, count, x, log_weight, mixture):
    """Any number of states, any number of mini-buckets."""
    for s in range(count):
        if g < given[s]:
            continue
        mixture[:k] = 0.0
        total, alive = 0.0, True
        for r in range(parts):
            w, at, mass = draws.weight[first + r], draws.table[first + r] + np.int64(context[r, s]) * k, 0.0
            for i in range(k):
                mixture[i] += w * tables[at + i]
                mass += tables[at + i]
            alive = alive and mass > 0.0
            total += w * mass
        if not alive:
            x[s], log_weight[s] = 0, -np.inf
            continue
        left, state = _uniform(stream[s], salt) * total, 0
        for i in range(k):
            if mixture[i] > 0.0:
                state = i
                left -= mixture[i]
                if left < 0.0:
                    break
        x[s] = state
        if parts > 1:
            log = -math.log(mixture[state])
            for r in range(parts):
                q = np.float64(tables[draws.table[first + r] + np.int64(context[r, s]) * k + state])
                log += draws.weight[first + r] * math.log(q) if q > 0.0 else -np.inf
            log_weight[s] += min(log, 0.0)
