"""Adam's ascent by noisy gradients, with a rule for when to halve its step and when to stop; resumable.

Steps are of one size until iterates stop drifting (split R̂ of the last half below 1.1), and then half as long; the
result of each size is the average of those iterates. It ends when halving no longer changes it: when two averages in a
row differ by less than `tolerance` in |Δθ|∞. **Source** Welandawe, Andersen, Vehtari & Huggins, *Robust, automated and
accurate black-box variational inference* (2022).
"""

import math

import numpy as np

from calipers.sampling.diagnostics import split_r_hat

_FIRST_STEP, _LAST_STEP = 0.1, 1e-3
_WINDOW = 100  # iterates between two looks


class Settling:
    """An ascent from `theta`; `settled` says that the rule has ended it, `over` that the steps have.

    `theta` is where to take the next gradient; `average` and `value`, the result of the last step size.
    """

    def __init__(self, theta: np.ndarray, *, tolerance: float = 0.02, most: int = 20000):
        self.theta, self.tolerance, self.most = theta, tolerance, most
        self.average, self.before = np.full(len(theta), math.nan), np.full(len(theta), math.inf)
        self.step, self.total, self.value = _FIRST_STEP, 0, math.nan
        self.settled = False
        self.first, self.second = np.zeros_like(theta), np.zeros_like(theta)
        self.path: list[np.ndarray] = []
        self.values: list[float] = []

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.settled or self.total >= self.most or self.step <= 0.5 * _LAST_STEP

    def advance(self, gradient: np.ndarray, value: float) -> bool:
        """One step by a gradient at `theta`; whether it ended a step size: then `average` is new."""
        t = len(self.path) + 1
        self.first, self.second = 0.9 * self.first + 0.1 * gradient, 0.999 * self.second + 0.001 * gradient**2
        rise = (self.first / (1 - 0.9**t)) / (np.sqrt(self.second / (1 - 0.999**t)) + 1e-8)
        self.theta = self.theta + self.step * rise
        self.path.append(self.theta)
        self.values.append(value)
        self.total += 1
        steady = t % _WINDOW == 0 and t >= 2 * _WINDOW and _steady(np.array(self.path[t // 2 :]))
        if steady or self.total >= self.most:
            self._conclude(steady)
            return True
        return False

    def _conclude(self, steady: bool) -> None:
        half = len(self.path) // 2
        self.average, self.value = np.mean(self.path[half:], axis=0), float(np.mean(self.values[half:]))
        self.settled = steady and bool(np.abs(self.average - self.before).max() < self.tolerance)
        self.theta, self.before, self.step = self.average, self.average, 0.5 * self.step
        self.first, self.second = np.zeros_like(self.theta), np.zeros_like(self.theta)
        self.path, self.values = [], []

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that a run needs to go on, bit for bit."""
        numbers = np.array([self.step, self.total, self.value, self.settled], np.float64)
        path = np.array(self.path, np.float64).reshape(len(self.path), len(self.theta))
        plain = {"theta": self.theta, "average": self.average, "before": self.before}
        moments = {"first": self.first, "second": self.second, "path": path, "values": np.array(self.values)}
        return {**plain, **moments, "numbers": numbers}

    def restore(self, held: dict[str, np.ndarray]) -> None:
        """Goes back to what `arrays` told."""
        self.theta, self.average, self.before = held["theta"], held["average"], held["before"]
        self.first, self.second = held["first"], held["second"]
        self.path, self.values = list(held["path"]), held["values"].tolist()
        step, total, value, settled = held["numbers"].tolist()
        self.step, self.total, self.value, self.settled = step, int(total), value, bool(settled)


def _steady(path: np.ndarray) -> bool:
    """Whether no parameter drifts: nine in ten have a split R̂ below 1.1."""
    return bool(np.nanquantile(split_r_hat(path[None]), 0.9) < 1.1)
