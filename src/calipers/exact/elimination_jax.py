"""log Z by elimination as a JAX function of the tables: for `Elimination(engine="jax")`, batches and derivatives.

    ∂ log Z / ∂ log f_a(x_a) = p(x_a)

The gradient is the backward pass of `contraction_jax.py`, joined by one `custom_vjp`; `jax.vmap` and, for second
derivatives, `jax.jacfwd` go through both. **Proves** log Z with the stated rounding where it is called as an engine
(docs/theorems.md, E2). **Cost** as there; the order is looked for once for each set of scopes. **Fails** by refusing,
with the estimate, what does not fit the device. **Source** Lauritzen & Spiegelhalter (1988); Darwiche (2003).
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from calipers.core.method import Refusal
from calipers.exact.bucket_tree import BucketTree
from calipers.exact.contraction_jax import eliminate, marginals
from calipers.exact.kernels import ULP
from calipers.exact.network import Array, Network, network, padded
from calipers.exact.ordering import best_order

_WORTH = 2.0**26  # joint entries from which a GPU is asked, unless told otherwise


def log_z(net: Network, raw: Array) -> Array:
    """log Z of the log tables `raw`, one after another: on numbers if their range allows, else on logs.

    The gradient needs a network whose tree keeps its messages. In float64: use it within `jax.enable_x64`.
    """
    return _log_z(net, padded(net, raw))


@jax.custom_vjp
def _log_z(net: Network, raw: Array) -> Array:
    return _forward(net, raw)[0]


def _forward(net: Network, raw: Array) -> tuple[Array, tuple]:
    out = eliminate(net, raw)
    lost = jax.lax.stop_gradient(out.lost)
    out = jax.lax.cond(lost, lambda: eliminate(net, raw, True), lambda: out)
    return out.logs.sum() + out.power * math.log(2.0), (net, out.arena, out.scale, lost)


def _backward(kept: tuple, cotangent: Array) -> tuple[None, Array]:
    net, arena, scale, lost = kept
    run = functools.partial(marginals, net, arena, scale)
    return None, cotangent * jax.lax.cond(lost, lambda: run(True), lambda: run(False))


_log_z.defvjp(_forward, _backward)


def log_partition(
    sizes: tuple[int, ...],
    scopes: tuple[tuple[int, ...], ...],
    evidence: tuple[tuple[int, int], ...],
    raw: Array,
    seconds: float = 1.0,
) -> Array:
    """log Z of a factor graph as a function of its log tables `raw`, one after another, in the order of `scopes`.

    **Arguments:** `seconds` for the elimination order, which is looked for once.
    """
    net, take, constants = _laid_out(sizes, scopes, evidence, seconds)
    return log_z(net, raw[take]) + raw[constants].sum()


@functools.lru_cache(maxsize=8)
def _laid_out(
    sizes: tuple[int, ...], scopes: tuple[tuple[int, ...], ...], evidence: tuple[tuple[int, int], ...], seconds: float
) -> tuple[Network, np.ndarray, np.ndarray]:
    """The network of what agrees with the evidence, which entries of the tables that are, and which are constants."""
    seen, left = dict(evidence), np.array(sizes, np.int64)
    left[list(seen)] = 1
    takes, constants, at = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for scope in scopes:
        entries = at + np.arange(math.prod(sizes[v] for v in scope)).reshape([sizes[v] for v in scope])
        kept = entries[tuple(slice(seen[v], seen[v] + 1) if v in seen else slice(None) for v in scope)]
        (takes if scope else constants).append(kept.ravel())
        at += entries.size
    own = [scope for scope in scopes if scope]
    tree = BucketTree.build(left, own, best_order(left, own, seconds=seconds).order, keep=True)
    return network(tree), np.concatenate(takes), np.concatenate(constants)


def solve(
    tree: BucketTree, tables: Sequence[np.ndarray], gradient: bool
) -> tuple[float, float, list[np.ndarray] | None]:
    """log Z of log tables, its rounding, and, of a tree that keeps its messages, every table's marginal."""
    with jax.enable_x64(True):
        net = network(tree)
        given = np.concatenate([np.zeros(0), *(np.asarray(t, float).ravel() for t in tables)])
        raw = padded(net, jnp.asarray(given))
        on_logs = False
        out = eliminate(net, raw)
        if bool(out.lost):
            on_logs, out = True, eliminate(net, raw, True)
        value = math.fsum([*out.logs.tolist(), int(out.power) * math.log(2.0)])
        error = 1.01 * ULP * (float(out.rounds) + 2.0 * abs(int(out.power)) + abs(value))
        if not gradient or value == -math.inf:
            return value, error, None
        found = np.asarray(marginals(net, out.arena, out.scale, on_logs))
    ends = np.cumsum([0, *(t.size for t in tables)]).tolist()
    return value, error, [found[a:b].reshape(t.shape) for a, b, t in zip(ends[:-1], ends[1:], tables, strict=True)]


def needed(tree: BucketTree, gradient: bool) -> float:
    """Bytes that a run asks of the device: the arena (three times with marginals), tables, offsets and a block."""
    length = max(int(tree.joint_cells.max(initial=1.0)), 1)
    arena = 9.0 * tree.arena_size * (3 if gradient else 1)
    return arena + 64.0 * tree.layout.shifts.start + 16.0 * len(tree.program.offsets) + 96.0 * min(length, 1 << 22)


def refuse_if_short(tree: BucketTree, gradient: bool, memory: float) -> None:
    """**Raises** `Refusal` with the estimate when a run would not fit `memory` bytes, or the device."""
    room = min(memory, _room())
    if needed(tree, gradient) > room:
        raise Refusal(
            f"elimination in JAX needs {needed(tree, gradient) / 1e9:.3g} GB on the {jax.default_backend()}: largest "
            f"table 2^{tree.log2_size:.1f} entries; {room / 1e9:.3g} GB allowed"
        )


def worthwhile(tree: BucketTree, gradient: bool) -> bool:
    """Whether there is a GPU, the tables fit it, and they are large."""
    return tree.cells >= _WORTH and jax.default_backend() == "gpu" and needed(tree, gradient) <= _room()


def _room() -> float:
    """Bytes that the device lets JAX have; infinite where it does not say, as on a CPU."""
    stats: dict[str, Any] = jax.devices()[0].memory_stats() or {}
    return float(stats.get("bytes_limit", math.inf)) - float(stats.get("bytes_in_use", 0))
