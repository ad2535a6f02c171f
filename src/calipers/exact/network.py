"""The wiring of a tree of whole buckets as arrays of rounded lengths: what `contraction_jax.py` is driven by.

Blocks of equal length, each with its bucket; buckets with their place, length, states; items with theirs and with where
their offsets begin, as `bucket_layout.py` lists them. The arena holds the tables, then the messages. Proves nothing;
costs microseconds a bucket; fails on trees whose buckets are split.
"""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from calipers.core.record import record
from calipers.exact.bucket_tree import BucketTree

Array = Any
_LEAST, _MOST = 10, 20  # log2 of the message entries of a block


@record
class Network:
    """The wiring of a tree of whole buckets, as arrays over t blocks, b buckets, at most m items in one.

    **Arguments:** `block` entries of a message a block, `states` the most of a variable, `tables` their number, `size`
    of the arena; the rest says where things lie.
    """

    bucket: Array  # (t,)
    start: Array  # (t,) first message entry of the block
    last: Array  # (t,) whether its bucket is done with it
    message: Array  # (b, 4) place in the arena, length, states, joint entries whose offsets `low` lists
    count: Array  # (b,) items
    item: Array  # (b, m, 5) piece, place, where its `high` and `low` offsets begin, stride of the variable
    offsets: Array
    owner: Array  # (entries,) the table of each
    root: Array  # (b,) whether the message is a constant
    block: int = eqx.field(static=True)
    states: int = eqx.field(static=True)
    tables: int = eqx.field(static=True)
    size: int = eqx.field(static=True)


def network(tree: BucketTree) -> Network:
    """The wiring of a tree of whole buckets; tables come as one vector, one after another, each flat.

    Every length is rounded up, so that trees of about the same size share what is compiled: there are tables, messages
    and blocks that nobody reads.
    """
    pieces, program = tree.layout.pieces, tree.program
    if pieces is None:
        raise ValueError("products need whole buckets: build the tree without max_cells")
    buckets, first, entries = len(tree.parents), pieces.first, tree.layout.shifts.start
    tables, room, rows = _up(first), _up(entries), _up(buckets + 1)
    length, count = pieces.length[first:], np.diff(pieces.item_ptr)
    block = 1 << min(_MOST, max(_LEAST, math.ceil(math.log2(max(length.max(initial=1), 1))) - 3))
    blocks = -(-length // block)
    bucket = np.repeat(np.arange(buckets), blocks)
    number = np.arange(len(bucket)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    step = program.offsets[np.minimum(program.low + 1, len(program.offsets) - 1)] - program.offsets[program.low]
    piece = np.where(pieces.item < first, pieces.item, pieces.item + tables - first)
    base = np.where(pieces.item < first, program.base, program.base + room - entries)
    stride = np.where(np.repeat(program.states, count) > 1, step, 0)
    item = np.zeros((rows, 1 << max(2, int(count.max(initial=1) - 1).bit_length()), 5), np.int64)
    item[:buckets][np.arange(item.shape[1]) < count[:, None]] = np.stack(
        (piece, base, program.high, program.low, stride), axis=1
    )
    message = np.zeros((rows, 4), np.int64)
    message[:, 2:] = 1
    message[:buckets] = np.stack([pieces.at[first:] + room - entries, length, program.states, program.width], axis=1)
    turns = _up(len(bucket))
    return Network(
        _padded(bucket, turns, buckets), _padded(number * block, turns, 0),
        _padded(number == blocks[bucket] - 1, turns, False), message, _padded(count, rows, 0), item,
        _padded(program.offsets, _up(len(program.offsets)), 0),
        _padded(np.repeat(np.arange(first), pieces.length[:first]), room, first),
        _padded(tree.parents < 0, rows, False), block,
        1 << max(1, int(program.states.max(initial=1) - 1).bit_length()), tables, _up(tree.arena_size + room - entries),
    )  # fmt: skip


def padded(net: Network, raw: Array) -> Array:
    """The tables, with ones that nobody reads behind them, as `eliminate` takes them."""
    return jnp.pad(raw, (0, len(net.owner) - len(raw)))


def _up(count: int) -> int:
    """A little more than `count`, by an eighth at most, and at least 64."""
    step = 1 << max(count.bit_length() - 4, 4)
    return max(64, (count // step + 1) * step)


def _padded(values: np.ndarray, count: int, filling: Any) -> np.ndarray:
    return np.concatenate([values, np.full(count - len(values), filling, values.dtype)])
