"""Decomposition into pairs: an upper bound for Ising models of any size, in vectorised arithmetic.

    log Z ≤ Σ_{(i,j)} Φ_w(J_ij, shares of h_i and h_j),   Σ_r w_{r,i} = 1,  Σ_r h_{r,i} = h_i      (Hölder)

one region an edge, each site's field and weight shared out over its edges. **Proves** an upper bound for any shares
and weights; they are improved by Adam with cosine decay. **Cost** O(edges) a step, and memory for a few arrays of that
size. **Fails** never, but is as loose as tree-reweighting: use it where no wider region is affordable. **Source**
Globerson & Jaakkola, *Approximate inference using conditional entropy decompositions* (2007).
"""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from calipers.core.answer import Answer, Grounds, Result, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import Bucket, Decomposition
from calipers.exact.kernels import ULP
from calipers.models.ising import Ising


class Pairs(AbstractMethod):
    """An upper bound from one region an edge.

    **Arguments:** `steps`, gradient steps; `rate`, the first step size of Adam.

    **Proves** an upper bound for `Ising` models. **Raises** `Refusal` for other models.
    """

    proves: ClassVar[Proves] = Proves.UPPER
    steps: int = 100
    rate: float = 0.1

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Nothing to lay out: the edges are the regions."""
        if not isinstance(model, Ising):
            raise Refusal("Pairs() shares out the fields of an Ising model; use MiniBucket() for other factor graphs")
        text = f"Share {model.n} fields and weights over {len(model.edges)} pairs, {self.steps} steps."
        return Plan(text, cells=4.0 * len(model.edges), bytes=400.0 * len(model.edges), limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """The bound at equal shares, then after optimising them."""
        assert isinstance(model, Ising)
        with jax.enable_x64(True):
            shares, logits = _equal(model)
            yield self._answer(model, shares, logits, plan)
            if len(model.edges) and self.steps:
                shares, logits = _descend(model, shares, logits, self.steps, self.rate)
                yield self._answer(model, shares, logits, plan)

    def _answer(self, model: Ising, shares: np.ndarray, logits: np.ndarray, plan: Plan) -> Answer:
        weights, fields = np.asarray(_weights(model, logits)), np.asarray(_fields(model, shares))
        coupling = model.beta * np.asarray(model.couplings)
        regions = np.asarray(_phi(coupling, fields, weights))
        lonely = model.beta * np.asarray(model.fields)[np.bincount(model.edges.ravel(), minlength=model.n) == 0]
        value = math.fsum(regions) + math.fsum(np.logaddexp(lonely, -lonely)) - model.beta * model.offset
        size = np.abs(coupling).sum() + np.abs(fields).sum() + np.abs(model.beta * model.fields).sum()
        # the float shares and weights miss their sums by a few units each; each costs at most its size
        error = ULP * (32.0 * size + 32.0 * model.n + abs(value))
        witness = lambda: _witness(model, fields, weights)  # noqa: E731
        upper = Side(outward(value, error, 1.0), Grounds.COMPUTED, method=repr(self), witness=witness)
        return Answer(upper=upper, result=Result.RUNNING, stats={"regions": len(model.edges)}, plan=plan)


def _equal(model: Ising) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(model.edges), 2)), np.zeros((len(model.edges), 2))


def _weights(model: Ising, logits: Any) -> jax.Array:
    """Weights w_{r,i} of each edge's two ends, shape (e, 2), summing to 1 over the edges at a site."""
    positive = jnp.exp(jnp.asarray(logits))
    return positive / jnp.zeros(model.n).at[model.edges].add(positive)[model.edges]


def _fields(model: Ising, shares: Any) -> jax.Array:
    """Shares of β h_i for each edge's two ends, shape (e, 2), summing to β h_i at a site."""
    shares = jnp.asarray(shares)
    degree = jnp.zeros(model.n).at[model.edges].add(1.0)
    missing = model.beta * jnp.asarray(model.fields) - jnp.zeros(model.n).at[model.edges].add(shares)
    return shares + (missing / degree)[model.edges]


def _phi(coupling: jax.Array, fields: jax.Array, weights: jax.Array) -> jax.Array:
    """Φ_w of every pair, first end eliminated first, shape (e,)."""

    def power(a: jax.Array, b: jax.Array, w: jax.Array) -> jax.Array:
        return w * jnp.logaddexp(a / w, b / w)

    first, second = fields[:, 0], fields[:, 1]
    up = power(coupling + first, -coupling - first, weights[:, 0]) + second
    down = power(-coupling + first, coupling - first, weights[:, 0]) - second
    return power(up, down, weights[:, 1])


def _descend(model: Ising, shares: Any, logits: Any, steps: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Shares and logits after `steps` of Adam with cosine decay on the bound per site."""
    coupling = model.beta * jnp.asarray(model.couplings)
    adam = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def loss(free: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.sum(_phi(coupling, _fields(model, free[0]), _weights(model, free[1])))

    @jax.jit
    def step(free: tuple[jax.Array, jax.Array], state: Any) -> tuple[tuple[jax.Array, jax.Array], Any]:
        updates, state = adam.update(jax.grad(loss)(free), state)
        return optax.apply_updates(free, updates), state

    free = (jnp.asarray(shares), jnp.asarray(logits))
    state = adam.init(free)
    for _ in range(steps):  # a loop, not a scan: each step gives control back for Ctrl-C and deadlines
        free, state = jax.block_until_ready(step(free, state))
    return np.asarray(free[0]), np.asarray(free[1])


def _witness(model: Ising, fields: np.ndarray, weights: np.ndarray) -> Decomposition:
    """One mini-bucket for each end of each edge, by variable; a site's own factor sits in its first."""
    e, ends = len(model.edges), model.edges
    order = np.lexsort((np.tile([0, 1], e), np.repeat(np.arange(e), 2), ends.ravel()))
    place = np.empty(2 * e, np.int64)
    place[order] = np.arange(2 * e)
    total = model.beta * np.asarray(model.fields)
    buckets, seen = [], set()
    for slot in order.tolist():
        r, end = divmod(slot, 2)
        v, h = int(ends[r, end]), float(fields[r, end])
        factors = (r,) if end == 0 else ()
        if v not in seen:
            seen.add(v)
            factors, h = (*factors, e + v), h - float(total[v])
        parent = int(place[slot + 1]) if end == 0 else -1
        buckets.append(Bucket(v, float(weights[r, end]), factors, (((v,), np.array([h, -h])),), parent))
    lonely = [Bucket(v, 1.0, (e + v,), (), -1) for v in range(model.n) if v not in seen]
    return Decomposition((np.arange(2),) * model.n, (*buckets, *lonely))
