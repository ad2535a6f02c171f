"""Natural-gradient steps for autoregressive networks, by the kernel of their scores.

    δ = Jᵀ a + μ δ′,    (J Jᵀ + λ B) a = r − μ J δ′,        J_bθ = ∂ log q(x_b) / ∂θ,   r = log p̃ − log q

rows of J and r less their means over the B draws. It is the damped least-squares fit of the change in log q to what
log q lacks; as B grows, the step along the inverse Fisher matrix. The mean that is taken away is a baseline: with it,
r is constant at the optimum, and so the gradient has no noise there. J is never formed: the weights of a layer meet a
draw as an outer product of what goes in and what comes back, so that J Jᵀ = Σ_layers (in inᵀ) ∘ (back backᵀ), a sum
over variables of products of B × B matrices. δ′ is the step before, whose prediction is kept (μ), so that draws of
earlier steps still count. Steps that would change log q by more than a nat (root mean square) are shortened.
**Proves** nothing. **Cost** B² (frontier + 2 hidden) a variable and step, B³/3 for the solution. **Fails** by collapse
on a part of the support when steps are long: λ and the rate keep them short. **Source** Amari (1998); Chen & Heyl,
*Empowering deep neural quantum states through efficient optimization* (2024); Goldshlager, Abrahamsen & Lin (2024).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from calipers.variational.autoregressive import Draw, Network, Weights, draw

Array = Any
_FLOOR = 5.0  # nats below the lowest weight: what a dead end counts for
_LONGEST = 1.0  # nats of root mean square change in log q


class Signals(NamedTuple):
    """What comes back to each layer, for V variables and B draws: `inner` (v, B, h), `back` (v, B, h), `scores`."""

    inner: Array
    back: Array
    scores: Array


def signals(weights: Weights, drawn: Draw) -> Signals:
    """Hidden units, and ∂ log q / ∂ of what goes into them."""
    inner = jnp.tanh(jnp.einsum("vbp,vph->vbh", drawn.features, weights["inner"]))
    back = jnp.einsum("vbk,vhk->vbh", drawn.scores, weights["outer"]) * (1.0 - inner * inner)
    return Signals(inner, back, drawn.scores)


def gram(features: Array, signal: Signals) -> Array:
    """J Jᵀ, shape (B, B)."""
    count = features.shape[1]

    def add(total: Array, at: Any) -> tuple[Array, None]:
        x, inner, back, scores = at
        outer = scores @ scores.T
        return total + (x @ x.T) * (back @ back.T + outer) + (inner @ inner.T) * outer, None

    zero = jnp.zeros((count, count), features.dtype)
    return jax.lax.scan(add, zero, (features, *signal))[0]


def pushed(weights: Weights, features: Array, signal: Signals) -> Array:
    """J δ for a change δ of the weights, shape (B,)."""
    inner = jnp.einsum("vbp,vph,vbh->b", features, weights["inner"], signal.back)
    skip = jnp.einsum("vbp,vpk,vbk->b", features, weights["skip"], signal.scores)
    return inner + skip + jnp.einsum("vbh,vhk,vbk->b", signal.inner, weights["outer"], signal.scores)


def pulled(a: Array, features: Array, signal: Signals) -> Weights:
    """Jᵀ a, as weights."""
    scores = signal.scores * a[None, :, None]
    return {
        "skip": jnp.einsum("vbp,vbk->vpk", features, scores),
        "inner": jnp.einsum("vbp,vbh->vph", features, signal.back * a[None, :, None]),
        "outer": jnp.einsum("vbh,vbk->vhk", signal.inner, scores),
    }


def lacking(drawn: Draw) -> Array:
    """What log q lacks at each draw, less its mean; dead ends count as somewhat worse than the worst other."""
    alive = jnp.isfinite(drawn.logs)
    least = jnp.where(alive, drawn.logs, jnp.inf).min()
    logs = jnp.where(alive, drawn.logs, jnp.where(jnp.isfinite(least), least, 0.0) - _FLOOR)
    return logs - logs.mean()


@functools.partial(jax.jit, static_argnames="count")
def plain_gradient(network: Network, weights: Weights, key: Any, beta: float, count: int) -> tuple[Weights, Array]:
    """The gradient of the ELBO by the score function, each draw's baseline the mean of the others; and log weights."""
    drawn = draw(network, weights, key, beta, count)
    return pulled(lacking(drawn) / (count - 1), drawn.features, signals(weights, drawn)), drawn.logs


@functools.partial(jax.jit, static_argnames="count")
def natural_step(
    network: Network,
    weights: Weights,
    before: Weights,
    key: Any,
    beta: float,
    damping: float,
    friction: float,
    count: int,
) -> tuple[Weights, Array]:
    """The step δ from fresh draws, given the step before; and the draws' log weights."""
    drawn = draw(network, weights, key, beta, count)
    signal = signals(weights, drawn)
    kernel = gram(drawn.features, signal)
    kernel = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
    scale = jnp.trace(kernel) / count + 1e-20
    held = friction * pushed(before, drawn.features, signal)
    held = held - held.mean()
    solid = kernel + scale * (damping * jnp.eye(count) + 1.0 / count).astype(kernel.dtype)
    a = jax.scipy.linalg.solve(solid, lacking(drawn) - held, assume_a="pos")
    a = a - a.mean()
    change = jnp.sqrt(jnp.mean((kernel @ a + held) ** 2))
    shrink = jnp.minimum(1.0, _LONGEST / jnp.maximum(change, 1e-20))
    new = pulled(a, drawn.features, signal)
    return jax.tree.map(lambda old, now: shrink * (friction * old + now), before, new), drawn.logs
