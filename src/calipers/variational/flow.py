"""A normalizing flow on top of a fit, for posteriors that no Gaussian follows: an inverse autoregressive flow.

    z = f_θ(ε),  ε ~ N(0, I),      u = place(z),      L(θ) = E[log p̃(u) − log q(u)]

`place` is the conditional Gaussian that was fitted before, so that the flow starts near the identity and learns what is
left. Adam on fresh draws, clipped gradients; it stops when a window of steps gains less than `tolerance` nats or its
own noise, after which the step decays to zero over one more window. **Proves** nothing. **Cost** ten seconds to
compile, then a few hundredths of a second a step. **Fails** for separate modes, and for heavy tails, which k̂ shows.
**Source** Kingma et al., *Improved variational inference with inverse autoregressive flow* (2016); Ward's flowjax.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from calipers.core.answer import Answer
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.core.model import AbstractContinuousModel
from calipers.models.foreign import extra
from calipers.variational.approximation import AbstractApproximation
from calipers.variational.assessment import assess
from calipers.variational.conditional import Conditional, bend
from calipers.variational.fitting import fit_conditional
from calipers.variational.gaussian import GaussianVI
from calipers.variational.report import answer, continuous, randomness, until
from calipers.variational.target import Target
from calipers.variational.verdict import judge

_WINDOW = 200  # steps
_BATCH = 4096  # draws at once
_ADAM = optax.chain(optax.clip_by_global_norm(10.0), optax.scale_by_adam())


class Pushed(AbstractApproximation):
    """The law of place(f(ε)). **Arguments:** `flow`, a flowjax distribution of z; `outer`, the conditional Gaussian."""

    flow: Any
    outer: Conditional

    @property
    def dimension(self) -> int:
        return self.outer.dimension

    def sample(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self.draw(random, count)[0]

    def draw(self, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        with jax.enable_x64(True):
            for _ in range(math.ceil(count / _BATCH)):
                key = jax.random.key(int(random.integers(2**31)))
                parts.append([np.asarray(a) for a in _draw(self.flow, key, _BATCH)])
        z, logs = (np.concatenate(a)[:count] for a in zip(*parts, strict=True))
        return self.outer.push(z, logs)

    def log_density(self, u: Any) -> Any:
        z, s = self.outer.unplace(u)
        with jax.enable_x64(True):
            logs = self.flow.log_prob(z)
        return (logs if isinstance(u, jax.Array) else np.asarray(logs)) - s.sum(-1) - self.outer.gaussian.log_det


@eqx.filter_jit
def _draw(flow: Any, key: Any, count: int) -> Any:
    return flow.sample_and_log_prob(key, (count,))


class Flow(AbstractMethod):
    """An inverse autoregressive flow by the ELBO.

    **Arguments:** `layers`; `width` of their networks, None for twice the dimension, 64 at most; `draws` a step;
    `rate`, Adam's step; `tolerance`, nats a window must gain; `most`, steps.

    **Proves** nothing. It needs flowjax, the extra `flows`, and no key; one given varies the draws.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    layers: int = 3
    width: int | None = None
    draws: int = 256
    rate: float = 5e-3
    tolerance: float = 0.01
    most: int = 4000

    def __check_init__(self) -> None:
        if min(self.layers, self.draws, self.most) < 1 or not self.rate > 0.0:
            raise ValueError("layers, draws, most and rate of a flow are positive")

    def plan(self, model: AbstractContinuousModel, limits: Limits = Limits()) -> Plan:
        """Says how deep the flow is."""
        d = continuous(model).dimension
        return Plan(f"An autoregressive flow of {self.layers} layers in {d} dimensions.", limits=limits)

    def answers(self, model: AbstractContinuousModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One answer: the fit, assessed by fresh draws."""
        target, random = Target(model), randomness(key)
        outer = fit_conditional(target, GaussianVI().fitted(target, random).q, random).q
        q, trace = self.fitted(target, outer, random, plan.limits)
        plain = assess(target, q, random, 4096)
        found = until(target, q, random, plan.limits)
        stats: dict[str, Any] = {"elbo": plain.elbo, "elbo_error": plain.elbo_error, "iterations": len(trace)}
        stats |= {"elbo_trace": trace}
        yield answer(target, found, judge(found), stats)

    def fitted(
        self, target: Target, outer: Conditional, random: np.random.Generator, limits: Limits = Limits()
    ) -> tuple[Pushed, tuple[float, ...]]:
        """The flow on top of `outer`, and the training ELBO of every step it took."""
        with jax.enable_x64(True):
            flow = self._initial(outer.dimension, int(random.integers(2**31)))
            parameters, static = eqx.partition(flow, eqx.is_inexact_array)
            train = _trainer(static, outer, self.draws)
            moments = _ADAM.init(parameters)
            trace: list[float] = []
            steps, best, rate, key = 0, -math.inf, self.rate, jax.random.key(int(random.integers(2**31)))
            while True:
                last = steps + _WINDOW >= self.most or limits.seconds_left() < 10.0
                key, used = jax.random.split(key)
                parameters, moments, values = train(target.model, parameters, moments, used, jnp.full(_WINDOW, rate))
                trace += np.asarray(values, float).tolist()
                steps, value = steps + _WINDOW, float(np.mean(values[_WINDOW // 2 :]))
                noise = float(np.std(values[_WINDOW // 2 :])) / math.sqrt(_WINDOW / 2)
                if last or not value > best + max(self.tolerance, noise):
                    break
                best = value
            decay = rate * np.linspace(1.0, 0.0, _WINDOW, endpoint=False) ** 2
            parameters, _, values = train(target.model, parameters, moments, key, jnp.asarray(decay))
            trace += np.asarray(values, float).tolist()
            return Pushed(eqx.combine(parameters, static), outer), tuple(trace)

    def _initial(self, d: int, seed: int) -> Any:
        distributions, flows = extra("flowjax.distributions", "flows"), extra("flowjax.flows", "flows")
        flow = flows.masked_autoregressive_flow(
            jax.random.key(seed),
            base_dist=distributions.StandardNormal((d,)),
            flow_layers=self.layers,
            nn_width=min(2 * d, 64) if self.width is None else self.width,
            invert=False,
        )
        return jax.tree.map(lambda a: a.astype(jnp.float64) if eqx.is_inexact_array(a) else a, flow)


def _trainer(static: Any, outer: Conditional, draws: int) -> Callable[..., Any]:
    """A compiled run of steps: (model, parameters, moments, key, rates) → (parameters, moments, ELBOs)."""
    mean, factor = outer.gaussian.mean, outer.gaussian.factor
    back = np.argsort(outer.order)

    def loss(parameters: Any, model: AbstractContinuousModel, key: Any) -> Any:
        z, logs = eqx.combine(parameters, static).sample_and_log_prob(key, (draws,))
        w, s = bend(z, outer.scales, outer.means)
        u = (mean + w @ factor.T)[:, back]
        logs = logs - s.sum(1) - outer.gaussian.log_det
        return (logs - jax.vmap(model.flat_log_weight)(u)).mean()

    @eqx.filter_jit
    def train(model: Any, parameters: Any, moments: Any, key: Any, rates: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            parameters, moments = carry
            value, gradient = jax.value_and_grad(loss)(parameters, model, now[0])
            parts = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient)]
            finite = jnp.isfinite(value) & jnp.stack(parts).all()
            gradient = jax.tree.map(lambda g: jnp.where(finite, g, 0.0), gradient)
            update, moments = _ADAM.update(gradient, moments)
            parameters = optax.apply_updates(parameters, jax.tree.map(lambda g: -now[1] * g, update))
            return (parameters, moments), -value

        keys = jax.random.split(key, len(rates))
        (parameters, moments), values = jax.lax.scan(step, (parameters, moments), (keys, rates))
        return parameters, moments, values

    return train
