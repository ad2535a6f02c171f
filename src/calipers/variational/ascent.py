"""Limited-memory BFGS, several starts in lockstep, so that a batch of function values costs one call.

Two-loop recursion over the last pairs of steps and gradient changes, with backtracking to Armijo's condition; a pair
with no positive curvature is skipped. Steps that end where the function is −∞ are shortened like any other. A start
rests when its gradient is small against its scale, when a step gains nothing, or when no step does. **Cost** one batch
an iteration, rarely two, and O(memory · d) a start. **Source** Nocedal & Wright, *Numerical optimization*, §7.2.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_ARMIJO = 1e-4
_HALVINGS = 30


class Ascent(NamedTuple):
    """Where each start ended: shapes (s, d), (s,), (s, d); `iterations` of the longest; `trace`, the best value after
    each of them, shape (iterations + 1,).
    """

    points: np.ndarray
    values: np.ndarray
    gradients: np.ndarray
    iterations: int
    trace: np.ndarray


Function = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def maximise(
    function: Function, starts: np.ndarray, *, tolerance: float = 1e-8, most: int = 300, memory: int = 10
) -> Ascent:
    """Local maxima of `function`, from points (s, d) to values (s,) and gradients (s, d).

    **Arguments:** `starts`, shape (s, d), where the function is finite; others rest where they are; `tolerance`, on the
    gain that a step still predicts, relative to 1 + |value|; `most`, iterations; `memory`, pairs that are kept.
    """
    x = np.array(starts, np.float64)
    value, gradient = function(x)
    climbers = [_Climber(memory) for _ in x]
    live, steps = np.isfinite(value), 0
    trace = [float(value.max(initial=-np.inf))]
    while live.any() and steps < most:
        steps += 1
        directions = np.array([c.direction(g) if on else 0.0 * g for c, g, on in zip(climbers, gradient, live)])  # noqa: B905
        slope = np.einsum("sd,sd->s", directions, gradient)
        live &= slope > tolerance * (1.0 + np.abs(value))
        moved = _line_search(function, x, value, directions, slope, live)
        for i in np.flatnonzero(live):
            if moved.found[i]:
                climbers[i].learn(moved.points[i] - x[i], gradient[i] - moved.gradients[i])
                live[i] = moved.values[i] - value[i] > 1e-3 * tolerance * (1.0 + abs(value[i]))
                x[i], value[i], gradient[i] = moved.points[i], moved.values[i], moved.gradients[i]
            else:
                live[i] = climbers[i].forget()
        trace.append(float(value.max()))
    return Ascent(x, value, gradient, steps, np.array(trace))


class _Moved(NamedTuple):
    points: np.ndarray
    values: np.ndarray
    gradients: np.ndarray
    found: np.ndarray


def _line_search(
    function: Function, x: np.ndarray, value: np.ndarray, directions: np.ndarray, slope: np.ndarray, live: np.ndarray
) -> _Moved:
    """Halves each step until it gains what the slope promises."""
    best = _Moved(x.copy(), value.copy(), np.zeros_like(x), np.zeros(len(x), bool))
    step, searching = 1.0, live.copy()
    for _ in range(_HALVINGS):
        if not searching.any():
            break
        trial = x[searching] + step * directions[searching]
        values, gradients = function(trial)
        good = values >= value[searching] + _ARMIJO * step * slope[searching]
        done = np.flatnonzero(searching)[good]
        best.points[done], best.values[done], best.gradients[done] = trial[good], values[good], gradients[good]
        best.found[done], searching[done] = True, False
        step *= 0.5
    return best


class _Climber:
    """The pairs of one start, as an approximation of the inverse of minus the Hessian."""

    def __init__(self, memory: int):
        self.memory = memory
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def learn(self, s: np.ndarray, y: np.ndarray) -> None:
        if s @ y > 1e-10 * (np.linalg.norm(s) * np.linalg.norm(y) + 1e-300):
            self.pairs = [*self.pairs[1 - self.memory :], (s, y)]

    def forget(self) -> bool:
        """Falls back on the gradient; False when that had been tried."""
        had, self.pairs = bool(self.pairs), []
        return had

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        if not self.pairs:
            return gradient / max(float(np.linalg.norm(gradient)), 1.0)
        q, weights = gradient.copy(), []
        for s, y in reversed(self.pairs):
            weights.append((s @ q) / (s @ y))
            q -= weights[-1] * y
        s, y = self.pairs[-1]
        q *= (s @ y) / (y @ y)
        for (s, y), w in zip(self.pairs, reversed(weights), strict=True):
            q += (w - (y @ q) / (s @ y)) * s
        return q
