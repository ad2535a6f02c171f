"""Pareto-smoothed importance weights, and k̂, the shape of their tail.

The M largest of S weights, M = min(S/5, 3√S), are taken to follow a generalised Pareto law above the next largest; its
shape k̂ is fitted, and the M are replaced by the law's expected order statistics. k̂ < ½: the weights have a finite
variance; above 0.7 (or 1 − 1/log₁₀ S, if less) no practical S makes them reliable. Where no weight exceeds the mean of
all by more than 5 %, weights hardly vary, and there is no tail to fit: k̂ = −∞. (A law through excesses of 1 % says how
*they* fall off, which may be as slowly as it likes: together they cannot move the mean by more than that times the
share M/S.) **Proves** nothing: k̂ is a property of the draws, and a region that none of them met does not show in it.
**Cost** O(S log S). **Source** Vehtari, Simpson, Gelman, Yao & Gabry, *Pareto smoothed importance sampling* (2024),
appendix C; the fit is Zhang & Stephens (2009).
"""

import math
from typing import NamedTuple

import numpy as np

_PRIOR = 10.0  # observations that the prior k = ½ is worth
_FEWEST = 5  # in a tail
_VARIES = 0.05  # of the mean weight, by which the largest must exceed it to have a tail


class Tail(NamedTuple):
    """The largest weights, relative to the largest of all, as a Pareto law: cut + excesses of `shape` and `scale`.

    `order` are their places among the weights, ascending. Without a law (too few, or none differ) `scale` is 0 and
    `shape` +∞ or −∞.
    """

    order: np.ndarray
    cut: float
    shape: float
    scale: float

    def quantiles(self) -> np.ndarray:
        """What order statistics of the law are expected in the places of the weights."""
        grid = (np.arange(1, len(self.order) + 1) - 0.5) / len(self.order)
        logs = np.log1p(-grid)
        with np.errstate(over="ignore"):  # of shapes beyond all use
            return self.cut + self.scale * (np.expm1(-self.shape * logs) / self.shape if self.shape else -logs)


def threshold(count: int) -> float:
    """The k̂ up to which `count` weights can be relied on."""
    return min(1.0 - 1.0 / math.log10(max(count, 11)), 0.7)


def pareto_tail(log_weights: np.ndarray) -> Tail:
    """The law of the M largest of `log_weights`."""
    logs = np.asarray(log_weights, np.float64)
    count, top = len(logs), float(logs.max())
    tail = int(min(0.2 * count, 3.0 * math.sqrt(count)))
    order = np.argsort(logs)[count - tail :]
    if not math.isfinite(top) or tail < _FEWEST or not math.isfinite(logs[order[0]]):
        return Tail(order, 0.0, math.inf, 0.0)
    cut = math.exp(float(np.partition(logs, count - tail - 1)[count - tail - 1]) - top)
    mean = float(np.exp(logs - top).mean())
    if 1.0 - mean <= _VARIES * mean:
        return Tail(order, cut, -math.inf, 0.0)
    excess = np.exp(logs[order] - top) - cut
    return Tail(order, cut, *fit_generalised_pareto(excess))


def pareto_smooth(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Smoothed log weights, on the same scale as given, and k̂.

    k̂ is −∞ when weights hardly vary (nothing has a tail), and +∞ when too few are positive to fit one.
    """
    logs, tail = np.array(log_weights, np.float64), pareto_tail(log_weights)
    if tail.scale:
        logs[tail.order] = np.minimum(np.log(np.maximum(tail.quantiles(), 1e-300)), 0.0) + logs.max()
    return logs, tail.shape


def fit_generalised_pareto(excess: np.ndarray) -> tuple[float, float]:
    """Shape k and scale σ of a generalised Pareto law from excesses over its threshold, sorted, shape (n,).

    The posterior mean over a grid of θ = −k/σ, with k drawn towards ½ as by ten observations.
    """
    n = len(excess)
    quartile = max(float(excess[int(n / 4 + 0.5) - 1]), 1e-300)
    grid = 30 + int(math.sqrt(n))
    theta = 1.0 / excess[-1] + (1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3.0 * quartile)
    shapes = np.log1p(-theta[:, None] * excess).mean(1)
    log_posterior = n * (np.log(-theta / shapes) - shapes - 1.0)
    weights = np.exp(log_posterior - np.logaddexp.reduce(log_posterior))
    best = float(theta @ weights)
    shape = float(np.log1p(-best * excess).mean())
    scale = -shape / best
    return (n * shape + 0.5 * _PRIOR) / (n + _PRIOR), scale
