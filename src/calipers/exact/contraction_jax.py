"""Elimination in JAX: log Z as one jitted function of the log tables, for GPUs, batches and derivatives.

    λ_v(rest) = Σ_{x_v} Π items,     log Z = Σ log λ_root + ln 2 · (exponents taken off) + (tops taken off)

One small loop goes through the blocks of all messages, of equal length; it gathers what the wiring of the bucket tree
says, multiplies, adds up, and writes into one arena. The wiring is data, so compilation takes seconds whatever the
model, and other tables compile nothing. Messages are read scaled by a power of two; a run that meets a number below
1e-200 that may have lost something is done again on logs. The gradient is one pass backwards, of probabilities.

**Proves** log Z up to its rounding (Theorem E2), if XLA's exp and log are within 4 units in the last place. **Cost**
the joint entries times the items, three gathers each: on a CPU some 25 times the time of `product.py`. **Fails** by
refusing, with the estimate, what does not fit the device. **Source** Dechter, *Bucket elimination* (1999).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from calipers.exact.network import Array, Network
from calipers.exact.product_state import FLOOR, LOG_FLOOR


class Outcome(NamedTuple):
    """log Z is Σ `logs` + ln 2 · `power`, within `rounds` ulps, unless `lost`; the arena, and how it was scaled."""

    logs: Array
    power: Array
    rounds: Array
    lost: Array
    arena: Array
    scale: Array


class _State(NamedTuple):
    arena: Array
    scale: Array  # of each piece, as it is read: a factor, or a log to be taken off
    low: Array  # log of each piece's smallest positive entry against its largest
    span: Array  # of the message at work: largest entry, smallest positive one, whether there is a zero
    power: Array
    rounds: Array
    lost: Array


class _Numbers:
    """Products of numbers up to 1, as Theorem E1 has them."""

    one, zero = 1.0, 0.0
    nothing = np.array([0.0, np.inf, 0.0])

    def entries(self, logs: Array) -> Array:
        return jnp.exp(logs)

    def times(self, a: Array, b: Array) -> Array:
        return a * b

    def total(self, joint: Array) -> Array:
        return joint.sum(axis=0)

    def settle(self, most: Array, least: Array, zeros: Array, lows: Array, m: Array, k: Array) -> tuple:
        exponent = jnp.maximum((jax.lax.bitcast_convert_type(most, jnp.int64) >> 52) - 1022, -1000)
        scale = jax.lax.bitcast_convert_type((1023 - exponent) << 52, jnp.float64)
        lost = (least < FLOOR) | (zeros & (lows < LOG_FLOOR))
        low = jnp.where(most > 0.0, jnp.log(least / most), 0.0)
        return exponent, scale, low, (m + k).astype(jnp.float64), lost

    def log(self, entry: Array) -> Array:
        return jnp.log(entry)

    def taken(self, scale: Array) -> Array:
        return jnp.zeros_like(scale)

    def shares(self, joint: Array, message: Array) -> Array:
        return jnp.where(message > 0.0, joint / jnp.where(message > 0.0, message, 1.0), 0.0)


class _Logs:
    """Sums of logs up to 0."""

    one, zero = 0.0, -np.inf
    nothing = np.array([-np.inf, np.inf, 0.0])

    def entries(self, logs: Array) -> Array:
        return logs

    def times(self, a: Array, b: Array) -> Array:
        return a + b

    def total(self, joint: Array) -> Array:
        top = jax.lax.stop_gradient(joint.max(axis=0))
        top = jnp.where(jnp.isfinite(top), top, 0.0)
        total = jnp.exp(joint - top).sum(axis=0)
        return jnp.where(total > 0.0, top + jnp.log(jnp.where(total > 0.0, total, 1.0)), -jnp.inf)

    def settle(self, most: Array, least: Array, zeros: Array, lows: Array, m: Array, k: Array) -> tuple:
        peak = jnp.where(jnp.isfinite(most), most, 0.0)
        low = jnp.where(jnp.isfinite(least), least - peak, 0.0)
        rounds = (m + 9.0) * (1.0 - lows) + k + 16.0 + 9.0 * jnp.log(k) + 2.0 * jnp.abs(peak) - low
        return 0, -peak, low, rounds, False

    def log(self, entry: Array) -> Array:
        return entry

    def taken(self, scale: Array) -> Array:
        return -scale

    def shares(self, joint: Array, message: Array) -> Array:
        return jnp.where(jnp.isfinite(message), jnp.exp(joint - jnp.where(jnp.isfinite(message), message, 0.0)), 0.0)


NUMBERS, LOGS = _Numbers(), _Logs()
Kind = _Numbers | _Logs


@functools.partial(jax.jit, static_argnums=2)
def eliminate(net: Network, raw: Array, on_logs: bool = False) -> Outcome:
    """One elimination of the log tables `raw`, padded, float64, on numbers or on logs."""
    kind = LOGS if on_logs else NUMBERS
    top = jax.lax.stop_gradient(jax.ops.segment_max(raw, net.owner, net.tables))
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    logs = raw - top[net.owner]
    fixed = jax.lax.stop_gradient(logs)
    low = jnp.minimum(-jax.ops.segment_max(jnp.where(jnp.isfinite(fixed), -fixed, 0.0), net.owner, net.tables), 0.0)
    known = jax.ops.segment_max(jnp.ones_like(raw), net.owner, net.tables) > 0.0
    entries = kind.entries(logs)
    room = jnp.full(net.size + net.block - len(entries), kind.one)
    buckets = len(net.count)
    state = _State(
        jnp.concatenate([entries, room]), jnp.full(net.tables + buckets, kind.one),
        jnp.concatenate([low, jnp.zeros(buckets)]), kind.nothing, jnp.zeros((), jnp.int64),
        jnp.where(known, 4.0 * jnp.abs(top) - 2.0 * low + 8.0, 0.0).sum(), jnp.zeros((), bool),
    )  # fmt: skip
    state = jax.lax.fori_loop(0, len(net.bucket), lambda t, s: _block(net, kind, t, s), state)
    scale = state.scale[net.tables :]
    ends = jnp.where(net.root, kind.log(kind.times(state.arena[net.message[:, 0]], scale)), 0.0)
    taken = kind.taken(scale)
    rounds = state.rounds + 10.0 * net.root.sum() + 2.0 * jnp.abs(taken).sum()
    every = jnp.concatenate([top, ends, taken])
    return Outcome(every, state.power, rounds, state.lost, state.arena, state.scale)


def _joint(net: Network, kind: Kind, t: Array, arena: Array, scale: Array) -> tuple[Array, Array, Array]:
    """The block's joint, (states, block), which of it there is, and which message entries."""
    b = net.bucket[t]
    _, length, k, _ = net.message[b]
    entry = net.start[t] + jnp.arange(net.block)
    x = jnp.arange(net.states)[:, None]

    def with_item(i: Array, joint: Array) -> Array:
        piece = net.item[b, i, 0]
        found = kind.times(arena[_places(net, t, i)], scale[piece])
        return jnp.where(i < net.count[b], kind.times(joint, found), joint)

    start = jnp.full((net.states, net.block), kind.one)
    joint = jax.lax.fori_loop(0, net.item.shape[1], with_item, start)
    there = entry < length
    return jnp.where((x < k) & there, joint, kind.zero), (x < k) & there, there


def _places(net: Network, t: Array, i: Array) -> Array:
    """Where in the arena item i lies, for every joint entry of the block, (states, block)."""
    b = net.bucket[t]
    _, length, k, width = net.message[b]
    entry = jnp.clip(net.start[t] + jnp.arange(net.block), 0, jnp.maximum(length - 1, 0)) * k
    row = entry // width
    _, base, high, low, stride = net.item[b, i]
    within = base + net.offsets[high + row] + net.offsets[low + entry - row * width]
    return within + jnp.minimum(jnp.arange(net.states), k - 1)[:, None] * stride


def _block(net: Network, kind: Kind, t: Array, state: _State) -> _State:
    """One block of a message, and the books of its bucket if it is the last one."""
    b = net.bucket[t]
    joint, _, there = _joint(net, kind, t, state.arena, state.scale)
    sums = kind.total(joint)
    place = net.message[b, 0] + net.start[t]
    before = jax.lax.dynamic_slice(state.arena, (place,), (net.block,))
    arena = jax.lax.dynamic_update_slice(state.arena, jnp.where(there, sums, before), (place,))
    fixed = jax.lax.stop_gradient(sums)
    positive = there & (fixed > kind.zero)
    most = jnp.maximum(state.span[0], jnp.where(positive, fixed, kind.zero).max())
    least = jnp.minimum(state.span[1], jnp.where(positive, fixed, jnp.inf).min())
    zeros = jnp.maximum(state.span[2], (there & ~positive).any())
    mine = jnp.arange(net.item.shape[1]) < net.count[b]
    lows = jnp.where(mine, state.low[net.item[b, :, 0]], 0.0).sum()
    power, scale, low, own, lost = kind.settle(most, least, zeros > 0.0, lows, net.count[b], net.message[b, 2])
    done, piece = net.last[t], net.tables + b
    return _State(
        arena,
        state.scale.at[piece].set(jnp.where(done, scale, state.scale[piece])),
        state.low.at[piece].set(jnp.where(done, low, 0.0)),
        jnp.where(done, kind.nothing, jnp.stack([most, least, zeros])),
        state.power + jnp.where(done, power, 0),
        state.rounds + jnp.where(done, own, 0.0),
        state.lost | (done & lost),
    )


@functools.partial(jax.jit, static_argnums=3)
def marginals(net: Network, arena: Array, scale: Array, on_logs: bool) -> Array:
    """The probability of every entry of every table: each block hands its messages' on to its items."""
    kind = LOGS if on_logs else NUMBERS
    dual = jnp.zeros_like(arena).at[net.message[:, 0]].add(net.root.astype(arena.dtype))

    def back(n: Array, dual: Array) -> Array:
        t = len(net.bucket) - 1 - n
        b = net.bucket[t]
        joint, there, _ = _joint(net, kind, t, arena, scale)
        place = net.message[b, 0] + net.start[t]
        message, weight = (jax.lax.dynamic_slice(a, (place,), (net.block,)) for a in (arena, dual))
        shares = jnp.where(there, weight * kind.shares(joint, message), 0.0)

        def to_item(i: Array, dual: Array) -> Array:
            return dual.at[_places(net, t, i)].add(jnp.where(i < net.count[b], shares, 0.0))

        return jax.lax.fori_loop(0, net.item.shape[1], to_item, dual)

    return jax.lax.fori_loop(0, len(net.bucket), back, dual)[: len(net.owner)]
