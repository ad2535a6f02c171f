"""Autoregressive networks: each variable drawn given its Markov frontier, by log-linear tables and a small network.

    q(x) = Π_v q(x_v | x_F(v)),   q(x_v | x_F) ∝ exp(β Σ_r c_r(x_v, x_F) + n_v(x_v, x_F)),   n = W_0 f + W_2 tanh(W_1 f)

F(v) are the later neighbours of v in the graph filled in by an elimination order: given them, x_v is independent of all
else that was drawn before it (docs/theorems.md, theorem N1), so that the exact conditional has this form. The fixed
tables c_r are a starting point (here those of mini-buckets); the network, f the features of the frontier, begins at
nothing and learns what is missing. Every variable has weights of its own. Where all tables are the same after a flip of
every spin, networks get no bias: they are odd, and q has the symmetry exactly. **Proves** nothing by itself. **Cost** a
draw Σ_v |F(v)| · hidden. **Fails** where frontiers are too wide for the hidden units. **Source** Wu, Wang & Zhang,
*Solving statistical mechanics using variational autoregressive networks* (2019), with frontiers from elimination.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = Any
Weights = dict[str, Array]  # skip (v, p, k − 1), inner (v, p, h), outer (v, h, k − 1); state 0 has logit 0
GRID = 2.0**52  # of the uniform numbers, and of the probabilities that weights are computed with


class Network(NamedTuple):
    """What is fixed: V variables of at most k states in the order in which they are drawn, r tables each.

    **Fields:** `rest`, `stride` (v, r, a), the variables that a table looks at (V: none), and their strides; `base`
    (v, r), its first row in `tables`; `tables` (rows, k), log values, −inf for a state of weight zero; `frontier`
    (v, p), rows of the features, the bias first; `fan_in` (v,), −1 for a variable that fills up; `codes` (v, k, f),
    features of each state; `bias`, its value, 0 under the flip symmetry.
    """

    rest: np.ndarray
    stride: np.ndarray
    base: np.ndarray
    tables: np.ndarray
    frontier: np.ndarray
    fan_in: np.ndarray
    codes: np.ndarray
    bias: np.ndarray

    @property
    def size(self) -> int:
        """Variables that are drawn."""
        return int((self.fan_in >= 0).sum())


class Draw(NamedTuple):
    """B draws: `states` (v, B); log weights `logs` (B,), −inf for a dead end; `features` (v, B, p), that were seen, and
    `scores` (v, B, k − 1), ∂ log q / ∂ logits; `size`, the largest sum of absolute values behind a log weight.
    """

    states: Array
    logs: Array
    features: Array
    scores: Array
    size: Array


def first_weights(network: Network, hidden: int, key: Any) -> Weights:
    """A network that is zero: inner weights are drawn, the rest is zero."""
    v, p = network.frontier.shape
    k = network.codes.shape[1]
    real = np.arange(p) <= network.fan_in[:, None]
    scale = np.where(real, 1.0 / np.sqrt(np.maximum(network.fan_in, 1.0))[:, None], 0.0)
    inner = np.asarray(jax.random.normal(key, (v, p, hidden), jnp.float32)) * scale[..., None]
    return {
        "skip": jnp.zeros((v, p, k - 1), jnp.float32),
        "inner": jnp.asarray(inner, jnp.float32),
        "outer": jnp.zeros((v, hidden, k - 1), jnp.float32),
    }


def logits(weights: Weights, features: Array) -> tuple[Array, Array]:
    """Of one variable: hidden units (B, h) and logits (B, k − 1) of the states beside the first."""
    inner = jnp.tanh(features @ weights["inner"])
    return inner, features @ weights["skip"] + inner @ weights["outer"]


@functools.partial(jax.jit, static_argnames=("count", "exact"))
def draw(network: Network, weights: Weights, key: Any, beta: float, count: int, exact: bool = False) -> Draw:
    """Draws by one scan over the variables, and their log weights β log p̃ − log q, less the log of the bound.

    **Arguments:** `exact`, whether probabilities are rounded to the grid of the uniform numbers, so that log q is that
    of what is drawn; in the precision of `weights`.
    """
    dtype = weights["skip"].dtype
    (v, k, f), tables = network.codes.shape, jnp.asarray(network.tables, dtype)
    uniforms = jax.random.uniform(key, (v, count), dtype)
    features = jnp.zeros((v * f + 2, count), dtype).at[-1].set(jnp.asarray(network.bias, dtype))

    def step(carry: Any, at: Any) -> Any:
        x, seen, logs, size = carry
        i, own, u, rest, stride, base, frontier, codes = at
        rows = base[:, None] + jnp.einsum("ra,rab->rb", stride, x[rest])
        fixed = jnp.asarray(beta, dtype) * tables[rows].sum(0)
        given = seen[frontier].T
        moved = jnp.pad(logits(own, given)[1], ((0, 0), (1, 0)))
        state, logq, chance = _drawn(fixed + moved, u, exact)
        drawn = (jnp.arange(k) == state[:, None]).astype(dtype)
        pick = (drawn * jnp.where(jnp.isfinite(fixed), fixed, 0.0)).sum(1)
        alive = (jnp.isfinite(fixed) & (drawn > 0)).any(1)
        if exact:
            logs = logs + jnp.where(alive, pick - logq, -jnp.inf)
        else:  # the same with less cancellation
            total = jax.nn.logsumexp(fixed + moved, axis=1)
            logs = logs + jnp.where(alive, total - (drawn * moved).sum(1), -jnp.inf)
        size = size + jnp.where(alive, jnp.abs(pick) + jnp.abs(logq), 0.0)
        x = x.at[i].set(state)
        seen = jax.lax.dynamic_update_slice(seen, jnp.asarray(codes, dtype)[state].T, (i * f, 0))
        return (x, seen, logs, size), (given, (drawn - chance)[:, 1:])

    fixed_of = (network.rest, network.stride, network.base, network.frontier, network.codes)
    start = (jnp.zeros((v + 1, count), jnp.int32), features, jnp.zeros(count, dtype), jnp.zeros(count, dtype))
    scanned = (jnp.arange(v), weights, uniforms, *map(jnp.asarray, fixed_of))
    (x, _, logs, size), (given, scores) = jax.lax.scan(step, start, scanned)
    return Draw(x[:v], logs, given, scores, size.max())


def _drawn(logs: Array, uniform: Array, exact: bool) -> tuple[Array, Array, Array]:
    """States (B,), their log q (B,), and all probabilities (B, k); state 0 for sure where nothing is possible."""
    possible = jnp.isfinite(logs).any(1)
    first = jnp.where(jnp.arange(logs.shape[1]) == 0, 0.0, -jnp.inf)
    chance = jax.nn.softmax(jnp.where(possible[:, None], logs, first), axis=1)
    ends = jnp.cumsum(chance, axis=1)
    if exact:
        ends = jnp.round(ends * GRID) / GRID
    ends = jnp.minimum(ends, 1.0).at[:, -1].set(1.0)
    state = (uniform[:, None] >= ends[:, :-1]).sum(1).astype(jnp.int32)
    if exact:
        chance = jnp.diff(ends, axis=1, prepend=0.0)
    mine = jnp.take_along_axis(chance, state[:, None], 1)[:, 0]
    return state, jnp.log(jnp.maximum(mine, jnp.finfo(logs.dtype).tiny)), chance


def log_probability(network: Network, weights: Weights, states: np.ndarray) -> np.ndarray:
    """log q of given states, shape (v, B), in NumPy and float64: what `draw` draws from, up to rounding."""
    (v, k, f), count = network.codes.shape, states.shape[1]
    x = np.concatenate([states, np.zeros((1, count), np.int64)])
    seen = np.zeros((v * f + 2, count))
    seen[-1] = network.bias
    total = np.zeros(count)
    for i in range(v):
        rows = network.base[i][:, None] + np.einsum("ra,rab->rb", network.stride[i], x[network.rest[i]])
        given = seen[network.frontier[i]].T
        own = {name: np.asarray(w[i], np.float64) for name, w in weights.items()}
        moved = given @ own["skip"] + np.tanh(given @ own["inner"]) @ own["outer"]
        scores = network.tables[rows].sum(0) + np.pad(moved, ((0, 0), (1, 0)))
        dead = ~np.isfinite(scores).any(1)
        scores[dead] = np.where(np.arange(k) == 0, 0.0, -math.inf)
        total += scores[np.arange(count), x[i]] - np.logaddexp.reduce(scores, axis=1)
        seen[i * f : (i + 1) * f] = network.codes[i][x[i]].T
    return total
