"""Decomposition into pairs: an upper bound for Ising models of any size, in vectorised arithmetic.

    log Z ≤ Σ_{(i,j)} Φ_w(J_ij, shares of h_i and h_j),   Σ_r w_{r,i} = 1,  Σ_r h_{r,i} = h_i      (Hölder)

one region an edge, each site's field and weight shared out over its edges. **Proves** an upper bound for any shares
and weights; they are improved by Adam with cosine decay. **Cost** O(edges) a step, and memory for a few arrays of that
size. **Fails** never, but is as loose as tree-reweighting: use it where no wider region is affordable. **Source**
Globerson & Jaakkola, *Approximate inference using conditional entropy decompositions* (2007).
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from calipers.core.answer import Answer, Grounds, Result, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import Bucket, Decomposition
from calipers.exact.kernels import ULP
from calipers.models.ising import Ising, require_magnet

Free = tuple[jax.Array, jax.Array]  # shares of the fields and logits of the weights, both at edge ends, (e, 2)


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
        model = require_magnet(
            model, "Pairs() shares out the fields of an Ising model; use MiniBucket() for other factor graphs"
        )
        text = f"Share {model.n} fields and weights over {len(model.edges)} pairs, {self.steps} steps."
        return Plan(text, cells=4.0 * len(model.edges), bytes=400.0 * len(model.edges), limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """The bound at equal shares, then after optimising them."""
        assert isinstance(model, Ising)
        with jax.enable_x64(True):
            problem = _Problem.of(model)
            free = (jnp.zeros((len(model.edges), 2)), jnp.zeros((len(model.edges), 2)))
            yield self._answer(model, problem, free, plan)
            if len(model.edges):
                state = _adam(self.rate, self.steps).init(free)
                for step in range(1, self.steps + 1):
                    free, state = _step(problem, free, state, self.rate, self.steps)
                    if step in (self.steps // 16, self.steps // 4, self.steps):
                        yield self._answer(model, problem, free, plan)

    def _answer(self, model: Ising, problem: "_Problem", free: Free, plan: Plan) -> Answer:
        fields, weights = (np.asarray(x) for x in _feasible(problem, free))
        regions = np.asarray(_phi(problem.coupling, fields, weights))
        lonely = np.asarray(problem.field)[np.asarray(problem.degree) == 0]
        value = math.fsum(regions) + math.fsum(np.logaddexp(lonely, -lonely)) - model.beta * model.offset
        size = float(jnp.abs(problem.coupling).sum() + jnp.abs(problem.field).sum()) + np.abs(fields).sum()
        # the float shares and weights miss their sums by a few units each; each costs at most its size
        error = ULP * (32.0 * size + 32.0 * model.n + abs(value))
        witness = lambda: _witness(model, fields, weights)  # noqa: E731
        upper = Side(outward(value, error, 1.0), Grounds.COMPUTED, method=repr(self), witness=witness)
        return Answer(upper=upper, result=Result.RUNNING, stats={"regions": len(model.edges)}, plan=plan)


class _Problem(NamedTuple):
    """β times couplings (e,) and fields (n,); the ends of the edges (e, 2); the degree of each site (n,).

    `incident` (n, max degree) are each site's places among the flat ends, 2e where there is none: sums over the edges
    at a site are gathers too, since scatters are slow.
    """

    coupling: jax.Array
    field: jax.Array
    ends: jax.Array
    degree: jax.Array
    incident: jax.Array

    @classmethod
    def of(cls, model: Ising) -> "_Problem":
        flat = model.edges.ravel()
        degree = np.bincount(flat, minlength=model.n)
        order = np.argsort(flat, kind="stable")
        incident = np.full((model.n, int(degree.max(initial=1))), len(flat), np.int32)
        incident[flat[order], np.arange(len(flat)) - np.repeat(np.cumsum(degree) - degree, degree)] = order
        return cls(
            model.beta * jnp.asarray(model.couplings), model.beta * jnp.asarray(model.fields),
            jnp.asarray(model.edges, jnp.int32), jnp.asarray(degree, jnp.float64), jnp.asarray(incident),
        )  # fmt: skip


@jax.custom_vjp
def _at_sites(values: jax.Array, ends: jax.Array, incident: jax.Array) -> jax.Array:
    """Sums of values at edge ends, (e, 2), over the edges of each site, (n,); the transpose of `_at_ends`."""
    return jnp.append(values.ravel(), 0.0)[incident].sum(1)


@jax.custom_vjp
def _at_ends(values: jax.Array, ends: jax.Array, incident: jax.Array) -> jax.Array:
    """Values at sites, (n,), at both ends of each edge, (e, 2)."""
    return values[ends]


_at_sites.defvjp(lambda v, *wiring: (_at_sites(v, *wiring), wiring), lambda w, g: (_at_ends(g, *w), None, None))
_at_ends.defvjp(lambda v, *wiring: (_at_ends(v, *wiring), wiring), lambda w, g: (_at_sites(g, *w), None, None))


def _feasible(problem: _Problem, free: Free) -> tuple[jax.Array, jax.Array]:
    """Fields and weights at edge ends, (e, 2), from free parameters: they add up to β h and to 1 at each site."""
    (shares, logits), wiring = free, (problem.ends, problem.incident)
    missing = (problem.field - _at_sites(shares, *wiring)) / jnp.maximum(problem.degree, 1.0)
    positive = jnp.exp(logits)
    total = jnp.maximum(_at_sites(positive, *wiring), 1e-300)
    return shares + _at_ends(missing, *wiring), positive / _at_ends(total, *wiring)


@jax.jit
def _phi(coupling: jax.Array, fields: jax.Array, weights: jax.Array) -> jax.Array:
    """Φ_w of every pair, first end eliminated first, shape (e,)."""

    def power(a: jax.Array, b: jax.Array, w: jax.Array) -> jax.Array:
        return w * jnp.logaddexp(a / w, b / w)

    first, second = fields[:, 0], fields[:, 1]
    up = power(coupling + first, -coupling - first, weights[:, 0]) + second
    down = power(-coupling + first, coupling - first, weights[:, 0]) - second
    return power(up, down, weights[:, 1])


@partial(jax.jit, static_argnums=(3, 4))
def _step(problem: _Problem, free: Free, state: Any, rate: float, steps: int) -> tuple[Free, Any]:
    """One step of Adam with cosine decay on the bound; arrays are arguments, so nothing is folded in or recompiled."""

    def loss(free: Free) -> jax.Array:
        return jnp.sum(_phi(problem.coupling, *_feasible(problem, free)))

    updates, state = _adam(rate, steps).update(jax.grad(loss)(free), state)
    return jax.tree.map(jnp.add, free, updates), state


def _adam(rate: float, steps: int) -> Any:
    import optax  # a seventh of a second, which other methods need not wait for

    return optax.adam(optax.cosine_decay_schedule(rate, max(steps, 1)))


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
