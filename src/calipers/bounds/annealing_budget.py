"""How many steps an annealing run should have, and how many chains, for the narrowest side in a given time.

Log weights of c/t variance after t steps, about normal, are bet on: what the best bet would leave between the mean
and its lower bound is known beforehand. **Proves** nothing: it chooses, and wrong choices only widen.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

_NORMAL = ndtri((np.arange(64) + 0.5) / 64)
_BETS = np.geomspace(1e-3, 1e4, 60)[:, None]
_STEPS = np.unique(np.geomspace(10, 1e6, 60).astype(int))
_LEAST = 6  # chains


class Budget(NamedTuple):
    """Steps of the schedule; chains up and down; the nats that they are likely to leave, both sides together."""

    steps: int
    up: int
    down: int
    loss: float


def likely_weights(variance: float) -> np.ndarray:
    """Weights of mean 1 whose logs are normal: quantiles, (64,)."""
    weights = np.exp(math.sqrt(variance) * _NORMAL)
    return weights / weights.mean()


def likely_loss(variance: float, chains: int, delta: float) -> float:
    """Nats between the mean of so many such weights and the lower bound at δ that bets would find."""
    rates = np.log1p(_BETS * likely_weights(min(variance, 30.0))).mean(axis=1) - (math.log(1.0 / delta) + 1.5) / chains
    return -math.log(max(float((np.expm1(rates) / _BETS[:, 0]).max()), 1e-300))


def best_budget(
    work: float, delta: float, seconds: float, step: float, draws: tuple[float, float], gap: float
) -> Budget:
    """The best use of `seconds` on each side; of less, where less is likely to meet the gap.

    **Arguments:** `work`, c, variance of log weights times steps; `delta` of a side; `step`, seconds a step and chain;
    `draws`, seconds of a start below and above; `gap`, nats.
    """
    best = Budget(int(_STEPS[0]), _LEAST, _LEAST, math.inf)
    for share in 0.5 ** np.arange(8)[::-1]:
        for steps in _STEPS.tolist():
            up, down = (int(share * seconds / (steps * step + draw)) for draw in draws)
            if min(up, down) >= _LEAST:
                loss = likely_loss(work / steps, up, delta) + likely_loss(work / steps, down, delta)
                best = min(best, Budget(steps, up, down, loss), key=lambda b: b.loss)
        if best.loss <= gap:
            break
    return best
