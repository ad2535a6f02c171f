"""Sides of log Z by thermodynamic integration of exact samples.

    Σ_k h_k ⟨w⟩_k  ≤  log Z − log Z(0)  ≤  Σ_k h_k ⟨w⟩_{k+1},    λ_0 = 0 … λ_K = 1, h_k = λ_{k+1} − λ_k

⟨w⟩ grows with λ, so that left and right Riemann sums bracket the integral, whatever the ladder. With m independent
exact samples at every λ, the i-th sums Σ_k h_k w(x_{k,i}) are m independent values in a known range, and an empirical
Bernstein bound makes a side of their mean: δ/2 each (docs/theorems.md, theorem S11). **Proves** both sides
statistically, if the samples are exact: those of a Markov chain prove nothing. **Cost** K m energies. **Fails** by wide
sides: the sums differ by about Σ h_k² Var w, and the range of w enters over m. **Source** Kirkwood (1935); Maurer &
Pontil, *Empirical Bernstein bounds* (2009).
"""

import math
from collections.abc import Sequence

import numpy as np

from calipers.bounds.confidence import empirical_bernstein
from calipers.core.answer import Grounds, Side, outward
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.thermodynamics import energy_statistic
from calipers.sampling.measure import inverse_temperature, meter


def integrated_sides(
    model: AbstractDiscreteModel, lambdas: Sequence[float], states: np.ndarray, *, delta: float
) -> tuple[Side, Side]:
    """Both sides of log Z from exact samples along a ladder; together they fail with probability at most δ.

    **Arguments:** `model`, without zeros or evidence; `lambdas`, 0 = λ_0 < … < λ_K = 1, chosen before the samples;
    `states`, shape (K, m, n): m ≥ 2 independent samples of `tempered(model, λ)` for λ_1 … λ_K, all independent of one
    another and exact: the sides are worth what they are; `delta`.

    **Returns:** the lower and the upper side, statistical.

    **Raises:** `ValueError` for a ladder that is none, shapes that do not fit, and models with zeros or evidence.
    """
    lam, x = np.asarray(lambdas, np.float64), np.asarray(states)
    h = np.diff(lam)
    if len(lam) < 2 or lam[0] != 0.0 or lam[-1] != 1.0 or (h <= 0.0).any():
        raise ValueError(f"the ladder {lam.tolist()} does not rise from 0 to 1")
    if x.ndim != 3 or x.shape[0] != len(h) or x.shape[1] < 2 or x.shape[2] != model.n:
        raise ValueError(f"states have shape {x.shape}; ({len(h)}, m, {model.n}) with m ≥ 2 is needed")
    graph = model.factor_graph()
    if graph.evidence or not all(np.isfinite(t).all() for t in graph.log_tables()):
        raise ValueError("integration from infinite temperature needs a model without zeros and evidence")
    beta, measure, terms = inverse_temperature(model), meter(model), [t for _, t in energy_statistic(model)]
    low, high = (-beta * math.fsum(float(f(t)) for t in terms) for f in (np.max, np.min))
    w = -beta * np.stack([measure(rows).energy for rows in x])  # (K, m)
    at_zero = -beta * math.fsum(float(np.mean(t)) for t in terms)
    left = h[0] * at_zero + h[1:] @ w[:-1]
    right = h @ w
    count = math.fsum(math.log(k) for k in graph.sizes)
    size = abs(low) + abs(high) + count
    error = 2.0**-50 * (size * (len(terms) + len(h)) + 1.0)
    name = f"integrated_sides(points={len(lam)}, samples={x.shape[1]})"
    below, above = (_mean_bound(values, low - error, high + error, delta)[i] for i, values in enumerate((left, right)))
    return (
        Side(outward(count + below, error, -1.0), Grounds.STATISTICAL, 0.5 * delta, name),
        Side(outward(count + above, error, 1.0), Grounds.STATISTICAL, 0.5 * delta, name),
    )


def _mean_bound(values: np.ndarray, low: float, high: float, delta: float) -> tuple[float, float]:
    """An interval for the mean of independent values in [low, high]; each side fails with probability ≤ δ/2."""
    width = max(high - low, 1e-300)
    below, above = empirical_bernstein(np.clip((values - low) / width, 0.0, 1.0), delta)
    return low + width * below, low + width * above
