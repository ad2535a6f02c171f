"""The joint tables of a bucket tree, read entry by entry: what the kernels of exact queries share.

A bucket's joint is the sum of its items (tables and messages of its children), over (rest, variable), variable fastest;
entry j lies in block j // width at place j % width (`kernels.Program`). Joints are formed when they are needed.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from calipers.exact.bucket_tree import BucketTree


class Walk(NamedTuple):
    """The buckets in elimination order, each with the variables that its conditional looks at.

    **Fields:** over B buckets `variable`, `states`; bucket b looks at `rest[t]` with `stride[t]` in its message, for t
    in `ptr[b]:ptr[b + 1]`.
    """

    variable: np.ndarray
    states: np.ndarray
    ptr: np.ndarray
    rest: np.ndarray
    stride: np.ndarray


def walk(tree: BucketTree) -> Walk:
    """The walk over a tree of whole buckets."""
    sizes = tree.sizes.tolist()
    rest: list[int] = []
    stride: list[int] = []
    for bucket in tree.buckets:
        steps, step = [], 1
        for v in reversed(bucket.rest):
            steps.append(step)
            step *= sizes[v]
        rest += bucket.rest
        stride += reversed(steps)
    variable = np.array([b.variable for b in tree.buckets], np.int64)
    ends = np.cumsum([0, *(len(b.rest) for b in tree.buckets)])
    integers = [np.array(values, np.int64) for values in (ends, rest, stride)]
    return Walk(variable, tree.sizes[variable].astype(np.int64), *integers)


@njit(cache=True, nogil=True)
def fill(program, arena, b, h, block):
    """Block h of the joint of bucket b, into `block`."""
    width = program.width[b]
    block[:width] = 0.0
    for i in range(program.item_ptr[b], program.item_ptr[b + 1]):
        start = program.base[i] + program.offsets[program.high[i] + h]
        low = program.low[i]
        for l in range(width):
            block[l] += arena[start + program.offsets[low + l]]


@njit(cache=True, nogil=True)
def fill_columns(program, columns, b, h, block):
    """The same for R numbers an entry: `columns` (arena, R) into `block` (width, R)."""
    width = program.width[b]
    block[:width] = 0.0
    for i in range(program.item_ptr[b], program.item_ptr[b + 1]):
        start = program.base[i] + program.offsets[program.high[i] + h]
        low = program.low[i]
        for l in range(width):
            place = start + program.offsets[low + l]
            for r in range(columns.shape[1]):
                block[l, r] += columns[place, r]


@njit(cache=True, nogil=True)
def entry(program, arena, b, j):
    """One entry of the joint of bucket b."""
    h, l = j // program.width[b], j % program.width[b]
    total = 0.0
    for i in range(program.item_ptr[b], program.item_ptr[b + 1]):
        total += arena[program.base[i] + program.offsets[program.high[i] + h] + program.offsets[program.low[i] + l]]
    return total


@njit(cache=True, nogil=True)
def normalize(block, start, k):
    """Turns k log weights into probabilities in place; False, and zeros, when all weights are zero."""
    top = block[start]
    for x in range(start + 1, start + k):
        top = max(top, block[x])
    if top == -np.inf:
        block[start : start + k] = 0.0
        return False
    total = 0.0
    for x in range(start, start + k):
        block[x] = np.exp(block[x] - top)
        total += block[x]
    for x in range(start, start + k):
        block[x] /= total
    return True
