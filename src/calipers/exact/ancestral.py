"""Exact, independent samples from an elimination: the buckets are walked backwards, each drawn given those after it.

    x_b ~ p(x_b | rest_b),   b = last eliminated … first eliminated

**Proves** that every configuration comes with its probability under the model, up to rounding (each conditional
probability to within 2⁻⁵³ times the size of the logs); draws are independent. **Cost** one forward pass and one visit
of each joint entry to tabulate the conditional distribution functions; then, a sample, one uniform a bucket and some
nanoseconds for each variable in its scope. **Fails** by refusing, as elimination does. **Source** Dechter 1999;
"forward filtering, backward sampling" for chains (Carter & Kohn 1994); ancestral sampling in directed models.
"""

import numpy as np
from numba import njit

from calipers.core.answer import Answer, Result, exact_sides
from calipers.core.method import Limits
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_layout import chunks
from calipers.exact.elimination import Elimination
from calipers.exact.joints import Walk, fill, normalize, walk
from calipers.exact.kernels import ULP
from calipers.exact.query import Layout, lay_out
from calipers.exact.sampler import ExactSampler, sampler, state_type

_AT_ONCE = 1 << 19  # uniforms drawn together
_BLOCK = 1024  # samples whose indices stay in the nearest cache


@sampler.register
def elimination_sampler(method: Elimination, model: AbstractDiscreteModel, limits: Limits = Limits()) -> ExactSampler:
    """The sampler of an elimination. Raises `Refusal` with the estimate, or `Impossible`.

    The order is found by a search of fixed length, not in `method.order_seconds`: with it go the samples of a seed.
    """
    layout = lay_out(model, (), limits, copies=3.0)
    run = layout.run()
    value = float(np.sum(run.shed)) + layout.log_constant
    lower, upper = exact_sides(value, run.error + layout.reduced.error + ULP * abs(value), repr(method))
    stats = {"log2_size": layout.tree.log2_size, "cells": layout.tree.cells}
    answer = Answer(lower, upper, value=value, result=Result.EXACT, stats=stats)
    steps, at, table = _tabulate(layout, run.arena)
    dtype = state_type(model)

    def draw(count: int, rng: np.random.Generator) -> np.ndarray:
        size = min(max(_BLOCK, _AT_ONCE // max(len(at), 1)), count)
        uniforms, x = np.empty((size, len(at))), np.empty((len(at), size), dtype)
        states = np.empty((count, model.n), dtype)
        for start in range(0, count, max(size, 1)):
            now = min(size, count - start)
            rng.random(out=uniforms[:now])
            _draw(steps, at, table, uniforms[:now], x[:, :now])
            states[start : start + now] = layout.lift(x[:, :now])
        return states

    return ExactSampler(draw, answer)


def _tabulate(layout: Layout, arena: np.ndarray) -> tuple[Walk, np.ndarray, np.ndarray]:
    """The walk, and the conditional distribution functions: bucket b's at `at[b]`, k − 1 numbers a state of rest."""
    tree, steps = layout.tree, walk(layout.tree)
    lengths = (tree.joint_cells / np.maximum(steps.states, 1) * (steps.states - 1)).astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    table = np.empty(ends[-1])
    block = np.empty(int(tree.program.width.max()) if len(lengths) else 1)
    for first, last in chunks(tree):
        _distributions(tree.program, arena, ends, table, first, last, block)
    return steps, ends[:-1], table


@njit(cache=True, nogil=True)
def _distributions(program, arena, at, table, first, last, block):
    """P(x_b ≤ x | rest) for x = 0 … k − 2; exactly 1 from the last possible state on."""
    for b in range(first, last):
        k, place = program.states[b], at[b]
        for h in range(program.cells[b] // program.width[b]):
            fill(program, arena, b, h, block)
            for j in range(0, program.width[b], k):
                normalize(block, j, k)
                final = k - 1
                while final > 0 and block[j + final] == 0.0:
                    final -= 1
                total = 0.0
                for x in range(k - 1):
                    total += block[j + x]
                    table[place] = 1.0 if x >= final else total
                    place += 1


@njit(cache=True, nogil=True)
def _draw(steps, at, table, uniforms, x):
    """Fills x (variables, S) from uniforms (S, buckets): the inverse of each conditional distribution function."""
    index = np.empty(_BLOCK, np.int64)
    for b in range(len(at) - 1, -1, -1):
        k, row = steps.states[b], x[steps.variable[b]]
        for start in range(0, x.shape[1], _BLOCK):
            size = min(_BLOCK, x.shape[1] - start)
            index[:size] = at[b]
            for t in range(steps.ptr[b], steps.ptr[b + 1]):
                stride, given = steps.stride[t] * (k - 1), x[steps.rest[t]]
                for s in range(size):
                    index[s] += stride * given[start + s]
            if k == 2:
                for s in range(size):
                    row[start + s] = uniforms[start + s, b] >= table[index[s]]
                continue
            for s in range(size):
                state, u = 0, uniforms[start + s, b]
                while state < k - 1 and u >= table[index[s] + state]:
                    state += 1
                row[start + s] = state
