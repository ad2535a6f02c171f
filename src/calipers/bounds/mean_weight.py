"""A mean of weights known by their logs: a lower bound at δ by betting, and what two ways together say of log Z.

**Proves** the bound for independent weights ≥ 0, with no other assumption (docs/theorems.md, theorem S2). **Cost** a
pass. **Fails** to say much when weights vary a lot.
"""

import math

import numpy as np

from calipers.bounds.confidence import BettingSequence, log_mean

_CEILING = 30.0  # nats above the pilot's mean at which weights are cut, which only lowers their mean


class MeanWeight:
    """Log weights whose mean is to be bounded from below, and the confidence sequence that does it.

    **Arguments:** `pilot`, log weights like those to come, which are not bet on; `target`, how many are expected;
    `delta`, that the bound may fail with.
    """

    def __init__(self, pilot: np.ndarray, target: int, delta: float):
        self.scale = log_mean(pilot)
        if not math.isfinite(self.scale):
            self.scale = 0.0
        self.sequence = BettingSequence(self._cut(pilot), target, delta, 0.0)
        self.logs = np.zeros(0)

    def _cut(self, logs: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(logs - self.scale, _CEILING))

    def add(self, logs: np.ndarray) -> None:
        """Bets on further log weights, shape (c,)."""
        self.sequence.update(self._cut(logs))
        self.logs = np.concatenate([self.logs, logs])

    def log_lower(self) -> float:
        """A lower bound on the log of the mean weight, at the δ given; −inf when it says nothing."""
        low = self.sequence.bounds()[0]
        return self.scale + math.log(low) if low > 0.0 else -math.inf

    def cv2(self) -> float:
        """Squared coefficient of variation."""
        weights = np.exp(self.logs - self.logs.max())
        return max(len(weights) * float(weights @ weights) / float(weights.sum()) ** 2 - 1.0, 0.0)


def bennett(forwards: np.ndarray, backwards: np.ndarray) -> float:
    """Bennett's acceptance ratio: the log Z at which Σ 1/(1 + e^{c − w}) and its mirror image balance; by bisection.

    **Arguments:** log weights w with E[e^w] = Z, and log weights w′ with E[e^{w′}] = 1/Z.
    **Source** Bennett, *Efficient estimation of free energy differences from Monte Carlo data* (1976).
    """
    ratio = math.log(len(forwards) / len(backwards))

    def excess(z: float) -> float:
        up = np.exp(-np.logaddexp(0.0, ratio + z - forwards)).sum()
        down = np.exp(-np.logaddexp(0.0, -ratio - z - backwards)).sum()
        return float(up - down)

    ends = np.concatenate([forwards[np.isfinite(forwards)], -backwards[np.isfinite(backwards)]])
    low, high = float(ends.min()) - 10.0, float(ends.max()) + 10.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return 0.5 * (low + high)
