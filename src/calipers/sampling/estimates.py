"""From the series of a run to physical quantities with error bars, by a jackknife over blocks of the chains.

    U = ⟨E⟩     C = β² Var E     χ = β Var M     χ' = β(⟨M²⟩ − ⟨|M|⟩²)     Binder's 1 − ⟨M⁴⟩/(3⟨M²⟩²)

Blocks are ten autocorrelation times of the slower of E and |M| long, where there is room for it; totals, never per site
but for m = ⟨M⟩/n and |m|. Standard errors are one σ. **Fails** when chains are shorter than 50 τ: `reliable` is False
then, and error bars are too small. **Source** Efron (1982); Flyvbjerg & Petersen (1989).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from calipers.sampling.diagnostics import autocorrelation_time

MOST_BLOCKS, FEWEST_BLOCKS = 64, 4


class Estimate(NamedTuple):
    """A mean over a run and its standard error, one σ; an estimate, not a bound."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.6g} ± {self.error:.2g}"


def slowest(series: Mapping[Any, np.ndarray]) -> float:
    """The largest autocorrelation time of the series, (chains, t) each, in measurements; 1 if nothing changes."""
    taus = [float(autocorrelation_time(x, check=False)) for x in series.values()]
    return max((t for t in taus if np.isfinite(t)), default=1.0)


Series = Mapping[str, np.ndarray]
Function = tuple[Callable[..., Any], Sequence[str | Callable[[Series], np.ndarray]]]


class Recipe(NamedTuple):
    """A quantity: `function` of the means of `parts`, arrays of one shape."""

    parts: list[np.ndarray]
    function: Callable[..., np.ndarray]


def estimates(
    series: Series, beta: float, n: int, tau: float, functions: Mapping[str, Function] | None = None
) -> dict[str, Estimate]:
    """All quantities of a run.

    **Arguments:** `series`, "energy" and others, shape (chains, t) each; "magnetization" where there are spins; `beta`,
    `n` sites, `tau` in measurements; `functions`, as in `recipes`.
    """
    return {k: jackknife(r.parts, r.function, tau) for k, r in recipes(series, beta, n, functions).items()}


def recipes(
    series: Series, beta: float, n: int, functions: Mapping[str, Function] | None = None, shift: float | None = None
) -> dict[str, Recipe]:
    """What each quantity is made of.

    **Arguments:** as in `estimates`; `functions`, {name: (function, parts)}: a function of means, elementwise, and what
    to take the means of: names of series, or functions of all series; `shift`, an energy near the mean, so that
    variances do not cancel.
    """
    E = series["energy"]
    shift = float(E.mean()) if shift is None else shift
    found = {
        "energy": Recipe([E - shift], lambda e: shift + e),
        "heat_capacity": Recipe([E - shift, (E - shift) ** 2], lambda e, e2: beta**2 * (e2 - e * e)),
    }
    if "magnetization" in series:
        found |= magnetic(series["magnetization"], beta, n)
    for name, x in series.items():
        if name not in ("energy", "magnetization"):
            found[name] = Recipe([x], lambda x: x)
    for name, (function, parts) in (functions or {}).items():
        found[name] = Recipe([series[p] if isinstance(p, str) else p(series) for p in parts], function)
    return found


def magnetic(M: np.ndarray, beta: float, n: int) -> dict[str, Recipe]:
    """What is made of moments of M = Σ s, series (chains, t)."""
    m = M / n
    size = np.abs(m)
    return {
        "magnetization": Recipe([m], lambda a: a),
        "abs_magnetization": Recipe([size], lambda a: a),
        "susceptibility": Recipe([m, m**2], lambda a, b: beta * n * n * (b - a * a)),
        "abs_susceptibility": Recipe([size, m**2], lambda a, b: beta * n * n * (b - a * a)),
        "binder": Recipe([m**2, m**4], lambda a, b: 1.0 - b / (3.0 * a * a)),
    }


def jackknife(parts: list[np.ndarray], function: Callable[..., np.ndarray], tau: float = 1.0) -> Estimate:
    """`function` of the means of series, with its standard error.

    **Arguments:** `parts`, series (chains, t); `function` of as many means, elementwise; `tau` in measurements.
    """
    chains, t = parts[0].shape
    blocks = int(np.clip(t / (10.0 * tau), min(FEWEST_BLOCKS, t), min(MOST_BLOCKS, t)))
    length = t // blocks
    used = [x[:, t - blocks * length :] for x in parts]  # what does not fill a block is left out at the beginning
    sums = np.array([x.reshape(chains * blocks, length).mean(1) for x in used])
    k = chains * blocks
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(function(*sums.mean(1)))
        left_out = function(*((sums.sum(1, keepdims=True) - sums) / max(k - 1, 1)))
    error = float(np.sqrt((k - 1) * np.mean((left_out - left_out.mean()) ** 2))) if k > 1 else float("nan")
    return Estimate(value, error)
