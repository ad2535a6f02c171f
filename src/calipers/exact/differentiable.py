"""log Z as a differentiable function: the one boundary between host engines and JAX.

∇_θ log Z = E[t(x)]: an engine that returns log Z and its marginals is a function with a known reverse pass. It runs on
the host behind `pure_callback`, so that `jax.grad` and `jax.jit` see an ordinary function; what stands before it (from
couplings, fields and β to tables) is plain JAX. At a variational optimum the same holds by the envelope theorem. First
derivatives only: the callback is not differentiated again. **Source** Wainwright & Jordan (2008), §3.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from calipers.core.answer import Answer, Belief
from calipers.core.iterate import log_z
from calipers.core.method import AbstractMethod, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact import elimination_jax
from calipers.exact.elimination import Elimination
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising


class Moments(eqx.Module):
    """Expectations under a model, by one method.

    **Arguments:** `mean`, ⟨s_i⟩ of a magnet, shape (n,), else None; `correlation`, ⟨s_i s_j⟩ per edge, shape (e,), else
    None; `marginals`, p(x_i), shapes (domains[i],); `factors`, p(x_a) per factor of `model.factor_graph()`; `answer`,
    the bracket on log Z that came with them.
    """

    mean: np.ndarray | None
    correlation: np.ndarray | None
    marginals: tuple[np.ndarray, ...]
    factors: tuple[np.ndarray, ...]
    answer: Answer


def moments(model: AbstractDiscreteModel, method: AbstractMethod = Elimination(), **limits: Any) -> Moments:
    """The gradient of log Z in the natural parameters, as `method` sees it: ⟨s_i⟩, ⟨s_i s_j⟩, marginals.

    **Arguments:** `model`; `method`, one that forms beliefs; `limits`, as in `log_z`.

    **Raises:** `Refusal` when the method has no beliefs about this model.
    """
    answer = log_z(model, method, beliefs=True, **limits)
    belief = answer.belief
    if belief is None:
        raise Refusal(f"{method!r} formed no beliefs about this model; use Elimination(), Bethe() or MeanField()")
    factors = belief.factors if belief.factors is not None else _products(model, belief)
    mean = correlation = None
    if isinstance(model, Ising):
        mean = np.array([p[0] - p[1] for p in belief.marginals])
        pairs = np.array(factors[: len(model.edges)]).reshape(-1, 4)
        correlation = pairs @ np.array([1.0, -1.0, -1.0, 1.0])
    return Moments(mean, correlation, belief.marginals, factors, answer)


def _products(model: AbstractDiscreteModel, belief: Belief) -> tuple[np.ndarray, ...]:
    """Factor beliefs of independent variables."""
    tables = []
    for scope in model.factor_graph().scopes:
        table = np.ones(())
        for v in scope:
            table = np.multiply.outer(table, belief.marginals[v])
        tables.append(table)
    return tuple(tables)


def log_partition(model: AbstractDiscreteModel, method: AbstractMethod = Elimination()) -> jax.Array:
    """log Z as a JAX scalar, differentiable in the parameters of the model: log tables, or couplings, fields and β.

    **Arguments:** `model`, an `Ising` or a `FactorGraph`, its parameters traced or not; `method`, one that forms
    beliefs. The gradient in β of a magnet is −⟨E⟩, in the couplings β⟨s_i s_j⟩. `Elimination(engine="jax")` stays on
    JAX's device: batches by `jax.vmap` and second derivatives by `jax.jacfwd(jax.grad(…))` go through it as well.
    """
    theta: tuple[jax.Array, ...]
    with jax.enable_x64(True):
        if isinstance(model, Ising):
            sign = jnp.array([1.0, -1.0])
            edge = jnp.asarray(model.beta * model.couplings)[:, None, None] * sign[:, None] * sign
            site = jnp.asarray(model.beta * model.fields)[:, None] * sign
            theta = (edge, site, jnp.reshape(-model.beta * model.offset, (1,)))
            scopes = [*map(tuple, np.asarray(model.edges).tolist()), *((i,) for i in range(model.n)), ()]
            return _engine(method, model.n * (2,), tuple(scopes), (), theta)
        if isinstance(model, FactorGraph):
            theta = tuple(jnp.where(jnp.isneginf(t), t, model.beta * t)[None] for t in model.tables)
            return _engine(method, model.sizes, model.scopes, model.evidence, theta)
    raise TypeError(f"log_partition differentiates Ising and FactorGraph models, not {type(model).__name__}")


def _engine(
    method: AbstractMethod,
    sizes: tuple[int, ...],
    scopes: tuple[tuple[int, ...], ...],
    evidence: tuple[tuple[int, int], ...],
    theta: Sequence[jax.Array],
) -> jax.Array:
    """log Z of stacked tables; `theta[g][k]` are the log tables, in the order of `scopes`."""
    if isinstance(method, Elimination) and method.engine == "jax":
        raw = jnp.concatenate([jnp.ravel(stack) for stack in theta])
        return elimination_jax.log_partition(sizes, scopes, evidence, raw, method.order_seconds)

    def host(stacks: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        tables = tuple(np.asarray(t, np.float64) for stack in stacks for t in stack)
        answer = log_z(FactorGraph(sizes, scopes, tables, evidence), method, beliefs=True)
        if answer.value is None or answer.belief is None or answer.belief.factors is None:
            raise Refusal(f"{method!r} gives no value with beliefs; it cannot be differentiated")
        found = iter(answer.belief.factors)
        return np.asarray(answer.value), tuple(
            np.stack([next(found) for _ in stack]) if len(stack) else np.zeros(stack.shape) for stack in stacks
        )

    def call(stacks: Sequence[jax.Array]) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        shapes = (
            jax.ShapeDtypeStruct((), jnp.float64),
            tuple(jax.ShapeDtypeStruct(s.shape, jnp.float64) for s in stacks),
        )
        return jax.pure_callback(host, shapes, tuple(stacks))

    @jax.custom_vjp
    def evaluate(stacks: Sequence[jax.Array]) -> jax.Array:
        return call(stacks)[0]

    def pull(marginals: Sequence[jax.Array], cotangent: jax.Array) -> tuple[tuple[jax.Array, ...]]:
        return (tuple(cotangent * m for m in marginals),)

    evaluate.defvjp(call, pull)
    return evaluate(tuple(theta))
