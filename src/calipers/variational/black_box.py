"""Black box variational inference: independent variables by score-function gradients, for models that only evaluate.

    ∇_λ L = E_q[∇_λ log q(x) (f(x) − log q(x) − b)],    f = log weight;    b: the mean over the other draws

No derivative of the model and no sum over it is needed: only values at draws. Two ways keep the variance down: each
draw's baseline is the mean over the others (leave one out: unbiased), and, in discrete models, a variable's f keeps
the factors that it is in alone (Rao–Blackwell: the rest does not depend on it, given its neighbours). Steps are Adam's,
falling as t^{−1/2}; the parameters of the last half are averaged. **Proves**, for discrete models, a lower bound: the
ELBO of the product found is summed exactly, as for `MeanField`; over reals nothing. **Cost** samples × (one log weight)
a step. **Fails** by noise where f varies much under q; coordinate ascent (`MeanField`) and path derivatives
(`GaussianVI`) are better wherever they apply. Refuses zeros. **Source** Ranganath, Gerrish & Blei, *Black box
variational inference* (2014); Kool, van Hoof & Welling (2019) for leave-one-out baselines.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from calipers.core.answer import Answer, Grounds, Result, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractContinuousModel, AbstractDiscreteModel
from calipers.models.reduction import Reduced, as_reduced
from calipers.variational.approximation import Elliptical
from calipers.variational.assessment import assess
from calipers.variational.factor_arrays import Flat
from calipers.variational.factor_fields import FactorProduct
from calipers.variational.report import answer, randomness, until
from calipers.variational.target import Target
from calipers.variational.verdict import judge

_LOOKS = 10  # bounds that are computed on the way
_DECAY = (0.9, 0.999)  # Adam's


class BlackBoxVI(AbstractMethod):
    """Independent variables by score-function gradients.

    **Arguments:** `steps`; `samples` a step; `rate`, Adam's first step; `rao_blackwell`, whether a variable's gradient
    leaves out the factors that it is not in.

    **Proves** a lower bound for discrete models, nothing over reals. It needs a key.
    """

    proves: ClassVar[Proves] = Proves.LOWER
    steps: int = 2000
    samples: int = 64
    rate: float = 0.1
    rao_blackwell: bool = True

    def __check_init__(self) -> None:
        if self.steps < 2 or self.samples < 2:
            raise ValueError(f"steps is {self.steps} and samples {self.samples}; both must be 2 or more")
        if not self.rate > 0.0:
            raise ValueError(f"rate is {self.rate}; it must be positive")

    def plan(self, model: AbstractDiscreteModel | AbstractContinuousModel, limits: Limits = Limits()) -> Plan:
        """Reduces a discrete model; refuses zeros."""
        text = f"Score-function gradients, {self.steps} steps of {self.samples} draws"
        if isinstance(model, AbstractContinuousModel):
            return Plan(f"{text}, for independent normals over {model.dimension} reals.", limits=limits)
        reduced = as_reduced(model)
        if not all(np.isfinite(table).all() for table in reduced.model.log_tables()):
            raise Refusal("black box variational inference needs a model without zeros; MeanField takes them")
        return Plan(f"{text}, for {reduced.model.n} independent variables.", reduced, limits=limits)

    def answers(self, model: Any, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """A bound ten times on the way for discrete models; over reals, the fit assessed by fresh draws."""
        if key is None:
            raise Refusal("score-function gradients are random; give them a key, such as jax.random.key(0)")
        random = randomness(key)
        if isinstance(model, AbstractContinuousModel):
            yield self._over_reals(Target(model), random, plan)
            return
        reduced: Reduced = plan.structure
        if reduced.log_constant == -np.inf or not reduced.model.n:
            sides = exact_sides(reduced.log_constant, reduced.error, repr(self))
            yield Answer(*sides, value=reduced.log_constant, result=Result.EXACT, plan=plan)
            return
        trial = FactorProduct(reduced)
        gradient = table_gradient(trial.flat, self.rao_blackwell)
        looks = max(self.steps // _LOOKS, 1)
        for done, logits in climb(gradient, np.zeros(len(trial.q)), random, self):
            if done % looks == 0 or done == self.steps:
                trial.logs[:] = log_softmax(trial.flat, logits)
                trial.q[:] = np.exp(trial.logs)
                value, error = trial.bound()
                low = Side(outward(value, error, -1.0), Grounds.COMPUTED, method=repr(self), witness=trial.witness())
                belief = trial.belief() if plan.limits.beliefs else None
                yield Answer(low, value=value, belief=belief, stats={"steps": done}, plan=plan)

    def _over_reals(self, target: Target, random: np.random.Generator, plan: Plan) -> Answer:
        gradient = normal_gradient(target)
        *_, (_, theta) = climb(gradient, np.zeros(2 * target.dimension), random, self)
        mean, log_scale = np.split(theta, 2)
        q = Elliptical(mean, np.exp(log_scale))
        plain, best = assess(target, q, random, 4096), until(target, q, random, plan.limits)
        return answer(target, best, judge(best), {"elbo": plain.elbo, "elbo_error": plain.elbo_error})


Gradient = Callable[[np.ndarray, np.random.Generator, int], np.ndarray]  # of the ELBO at parameters, from new draws


class _Adam(NamedTuple):
    first: np.ndarray
    second: np.ndarray


def climb(
    gradient: Gradient, theta: np.ndarray, random: np.random.Generator, method: BlackBoxVI
) -> Iterator[tuple[int, np.ndarray]]:
    """Adam's ascent: yields the steps done and the parameters, averaged over the last half of the steps so far."""
    moments, mean, weight = _Adam(np.zeros_like(theta), np.zeros_like(theta)), theta.copy(), 0
    for done in range(1, method.steps + 1):
        g = gradient(theta, random, method.samples)
        moments.first[:] += (1.0 - _DECAY[0]) * (g - moments.first)
        moments.second[:] += (1.0 - _DECAY[1]) * (g * g - moments.second)
        unbiased = moments.first / (1.0 - _DECAY[0] ** done)
        scale = np.sqrt(moments.second / (1.0 - _DECAY[1] ** done)) + 1e-12
        theta = theta + method.rate / np.sqrt(1.0 + 0.02 * done) * unbiased / scale
        if done & (done - 1) == 0:  # a power of two: the average begins anew
            mean, weight = np.zeros_like(theta), 0
        weight += 1
        mean += (theta - mean) / weight
        yield done, mean


def leave_one_out(values: np.ndarray) -> np.ndarray:
    """Each row less the mean of the others, shape (s, …)."""
    return (values - values.mean(0)) * (len(values) / (len(values) - 1.0))


def log_softmax(flat: Flat, logits: np.ndarray) -> np.ndarray:
    """log q of every state of every variable, one after another."""
    ptr = flat.state_ptr[:-1]
    centred = logits - np.repeat(np.maximum.reduceat(logits, ptr), flat.sizes)
    return centred - np.repeat(np.log(np.add.reduceat(np.exp(centred), ptr)), flat.sizes)


def table_gradient(flat: Flat, rao_blackwell: bool) -> Gradient:
    """The gradient with respect to the logits of a product over a factor graph's variables."""
    n, factors = len(flat.sizes), len(flat.table_ptr) - 1
    strides = _strides(flat)
    locate = csr_matrix((strides, (flat.port_factor, flat.port_var)), shape=(factors, n))
    member = csr_matrix((np.ones(len(strides)), (flat.port_factor, flat.port_var)), shape=(factors, n))
    ptr = flat.state_ptr[:-1]

    def gradient(logits: np.ndarray, random: np.random.Generator, samples: int) -> np.ndarray:
        logs = log_softmax(flat, logits)
        x = draw(flat, np.exp(logs), random, samples)
        terms = flat.tables[(flat.table_ptr[:-1] + (locate @ x.T).T).astype(np.int64)]  # (s, factors)
        value = (member.T @ terms.T).T if rao_blackwell else np.repeat(terms.sum(1, keepdims=True), n, 1)
        own = logs[ptr + x]
        entropy = own if rao_blackwell else np.repeat(own.sum(1, keepdims=True), n, 1)
        centred = leave_one_out(value - entropy)
        total = np.bincount((ptr + x).ravel(), centred.ravel(), minlength=len(logits)) / samples
        return total - np.exp(logs) * np.repeat(centred.mean(0), flat.sizes)

    return gradient


def draw(flat: Flat, q: np.ndarray, random: np.random.Generator, samples: int) -> np.ndarray:
    """States of independent variables, shape (samples, n)."""
    ends = np.cumsum(q)
    begins = np.concatenate([[0.0], ends])[flat.state_ptr[:-1]]
    spot = begins + random.random((samples, len(flat.sizes))) * np.add.reduceat(q, flat.state_ptr[:-1])
    found = np.searchsorted(ends, spot, side="right") - flat.state_ptr[:-1]
    return np.clip(found, 0, flat.sizes - 1)


def _strides(flat: Flat) -> np.ndarray:
    """Of each port in its factor's table, last variable fastest, shape (p,)."""
    sizes, strides = flat.sizes[flat.port_var], np.ones(len(flat.port_var), np.int64)
    for first, last in zip(flat.port_ptr[:-1].tolist(), flat.port_ptr[1:].tolist(), strict=True):
        strides[first:last] = np.append(np.cumprod(sizes[first + 1 : last][::-1])[::-1], [1])[: last - first]
    return strides


def normal_gradient(target: Target) -> Gradient:
    """The gradient with respect to means and log scales of independent normals."""

    def gradient(theta: np.ndarray, random: np.random.Generator, samples: int) -> np.ndarray:
        mean, log_scale = np.split(theta, 2)
        z = random.standard_normal((samples, len(mean)))
        values = target.values(mean + np.exp(log_scale) * z) + 0.5 * (z**2).sum(1)
        least = values[np.isfinite(values)].min(initial=0.0) - 100.0
        centred = leave_one_out(np.maximum(values, least))[:, None]  # −log q's constant drops out
        score = np.concatenate([z * np.exp(-log_scale), z**2 - 1.0], axis=1)
        return (centred * score).mean(0)

    return gradient
