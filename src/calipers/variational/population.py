"""Population Monte Carlo: a mixture fitted to its own importance-weighted draws, over and over.

    q' = argmax Σ_s w_s log q'(u_s),   w_s ∝ p̃(u_s)/q(u_s):   one step of EM, towards the least KL(p ‖ q)

Mass that q misses gets large weights, so that q grows there: the opposite of the ELBO's preference, and what importance
weights need. Weights are tempered, w^β, with the largest β ≤ 1 at which the draws are still worth enough; a tenth of q
is always one wide component. It adapts the first h coordinates of z alone, those that govern (`Conditional`), so that
it needs no more draws in many dimensions. **Proves** nothing. **Cost** draws × (h² K + one log weight) a round.
**Fails** where h is large and q far off. **Source** Cappé, Douc, Guillin, Marin & Robert, *Adaptive importance
sampling in general mixture classes* (2008).
"""

from typing import Protocol

import numpy as np

from calipers.variational.approximation import AbstractApproximation, Elliptical, Mixture
from calipers.variational.conditional import Conditional, Headed

_FREEDOM = 8.0
_WIDE = 0.1  # the share of the wide component
_DEAD = 1e-3  # the share below which a component is put where a heavy draw is
_GAIN = 0.01  # of perplexity that a round must still bring


class Scored(Protocol):
    """What has log weights at rows of u: a `Target`, or a marginal of one."""

    def values(self, u: np.ndarray) -> np.ndarray: ...


def adapt(
    target: Scored,
    start: Conditional,
    random: np.random.Generator,
    *,
    head: int = 6,
    components: int = 8,
    draws: int = 8192,
    rounds: int = 12,
    patience: int = 2,
) -> tuple[Conditional, float]:
    """`start` with an adapted law of its first `head` coordinates, and the perplexity of its weights as a share.

    Ends when a round no longer raises the perplexity, the best is kept; the rule of Cappé et al.
    """
    h = min(head, start.dimension)
    tail = start.dimension - h
    wide = Elliptical(np.zeros(h), np.full(h, 1.5), 4.0)
    law, best, score, idle = Mixture(np.ones(1), (wide,)), start, -1.0, 0
    for _ in range(rounds):
        trial = start.with_base(Headed(law, tail))
        z, base = trial.base.draw(random, draws)
        u, q = trial.push(z, base)
        logs = target.values(u) - q
        reached = perplexity(logs)
        idle = 0 if reached > score + _GAIN else idle + 1
        if reached > score:
            best, score = trial, reached
        if idle >= patience or not np.isfinite(logs.max()):
            break
        law = _moved(law, z[:, :h], tempered(logs, max(200.0, 8.0 * h)), components, random)
    return best, score


def perplexity(log_weights: np.ndarray) -> float:
    """exp of the entropy of the normalised weights, as a share of their number."""
    logs = log_weights - np.logaddexp.reduce(log_weights)
    return float(np.exp(-(np.exp(logs) * np.where(np.isfinite(logs), logs, 0.0)).sum()) / len(logs))


def tempered(log_weights: np.ndarray, least: float) -> np.ndarray:
    """Normalised weights w^β with the largest β ≤ 1 whose effective size is `least` or more."""
    logs = log_weights - log_weights.max()

    def weights(beta: float) -> np.ndarray:
        w = np.exp(beta * logs) if beta else np.ones(len(logs)) * np.isfinite(logs)
        return w / w.sum()

    low, high = 0.0, 1.0
    if _effective(weights(1.0)) < least:
        for _ in range(30):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if _effective(weights(middle)) >= least else (low, middle)
        return weights(low)
    return weights(1.0)


def _effective(weights: np.ndarray) -> float:
    return float(1.0 / (weights @ weights))


def _moved(law: Mixture, z: np.ndarray, w: np.ndarray, count: int, random: np.random.Generator) -> Mixture:
    """One EM step of the components but the wide one, which takes the moments of all draws."""
    mean = w @ z
    everything = _shape(z - mean, w, np.eye(z.shape[1]), 1.0)
    wide = Elliptical(mean, np.linalg.cholesky(everything) * 1.5, 4.0)
    if len(law.components) == 1:
        shapes: list[Elliptical] = []
        shares: list[float] = []
    else:
        shapes, shares = _em(law, z, w)
    for i in random.choice(len(z), count - len(shapes), p=w):
        near = min(shapes, key=lambda c: float(((z[i] - c.mean) ** 2).sum()), default=None)
        factor = np.linalg.cholesky(everything) * 0.6 if near is None else near.factor
        shapes.append(Elliptical(z[i], factor, _FREEDOM))
        shares.append(1.0 / count)
    total = (1.0 - _WIDE) * np.array(shares) / sum(shares)
    return Mixture(np.concatenate([[_WIDE], total]), (wide, *shapes))


def _em(law: Mixture, z: np.ndarray, w: np.ndarray) -> tuple[list[Elliptical], list[float]]:
    logs = law.log_terms(z)
    share = np.exp(logs - np.logaddexp.reduce(logs, axis=-1)[:, None])
    shapes, shares = [], []
    for k, component in enumerate(law.components):
        weight = w * share[:, k]
        if k == 0 or weight.sum() < _DEAD:
            continue
        assert isinstance(component, Elliptical)
        v = (z - component.mean) @ component.inverse.T
        pulled = weight * (_FREEDOM + z.shape[1]) / (_FREEDOM + (v * v).sum(1))
        mean = pulled @ z / pulled.sum()
        covariance = _shape(z - mean, pulled, component.covariance, float(weight.sum()))
        shapes.append(Elliptical(mean, np.linalg.cholesky(covariance), _FREEDOM))
        shares.append(float(weight.sum()))
    return shapes, shares


def _shape(centred: np.ndarray, w: np.ndarray, before: np.ndarray, total: float) -> np.ndarray:
    """A weighted covariance, drawn towards the one before by a few observations."""
    effective = float(w.sum() ** 2 / max(w @ w, 1e-300))
    prior = before.shape[0] + 2.0
    return (effective * ((centred * w[:, None]).T @ centred) / total + prior * before) / (effective + prior)


def adapt_weights(target: Scored, start: Mixture, random: np.random.Generator, draws: int, rounds: int = 4) -> Mixture:
    """A mixture whose weights alone are fitted, as of modes that lie apart."""
    for _ in range(rounds):
        u = start.sample(random, draws)
        terms = start.log_terms(u)
        total = np.logaddexp.reduce(terms, axis=-1)
        w = tempered(target.values(u) - total, 200.0)
        shares = w @ np.exp(terms - total[:, None])
        start = Mixture(np.maximum(shares, 0.02 / len(shares)), start.components)
    return start


def polish(target: Scored, start: Mixture, random: np.random.Generator, draws: int, rounds: int = 6) -> Mixture:
    """A mixture of Gaussians, as of modes that lie apart, as one of t distributions, each fitted to the draws near it.

    A tenth of it is always the start, widened. The round of the highest perplexity is kept.
    """
    shapes = [_dense(c) for c in start.components if isinstance(c, Elliptical)]
    wide = Mixture(start.weights, tuple(c.widened(1.5, 4.0) for c in shapes))
    shares = (1.0 - _WIDE) * start.weights
    law = Mixture(np.concatenate([[_WIDE], shares]), (wide, *(c.widened(1.0, _FREEDOM) for c in shapes)))
    best, score = law, -1.0
    for _ in range(rounds):
        u = law.sample(random, draws)
        logs = target.values(u) - law.log_density(u)
        reached = perplexity(logs)
        if not reached > score + (_GAIN if score > 0.0 else 0.0):
            break
        best, score = law, reached
        moved, total = _em(law, u, tempered(logs, 200.0))
        law = Mixture(np.concatenate([[_WIDE], (1.0 - _WIDE) * np.array(total) / sum(total)]), (wide, *moved))
    return best


def reinforced(
    target: Scored, law: AbstractApproximation, random: np.random.Generator, draws: int
) -> AbstractApproximation:
    """`law` with a t where its weights are above 1.5 times their mean, if more than a few draws are.

    A tail that holds a hundredth of the mass hardly moves the perplexity, but k̂ and the error hang on it.
    """
    u, logs = law.draw(random, draws)
    logs = target.values(u) - logs
    total = float(np.logaddexp.reduce(logs))
    if not np.isfinite(total):
        return law
    w = np.exp(logs - total)
    excess = np.maximum(w - 1.5 / draws, 0.0)
    share = float(excess.sum())
    if share == 0.0 or 1.0 / _effective(excess / share) > 0.1:
        return law
    excess /= share
    mean = excess @ u
    factor = np.linalg.cholesky(_shape(u - mean, excess, np.cov(u.T).reshape(2 * u.shape[1:]), 1.0))
    added = Elliptical(mean, 1.2 * factor, _FREEDOM)
    part = min(max(2.0 * share, 0.02), 0.3)
    return Mixture(np.array([1.0 - part, part]), (law, added))


def _dense(c: Elliptical) -> Elliptical:
    return c if c.factor.ndim == 2 else Elliptical(c.mean, np.diag(c.factor), c.freedom)
