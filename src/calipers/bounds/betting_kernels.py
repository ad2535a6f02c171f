"""Numba kernel of the betting confidence sequence: log capital of many constant bets, one pass over the data."""

import math

import numpy as np
from numba import njit

_FOLD = 8  # factors multiplied before a logarithm is taken: (1 + by)^8 fits float64 for by ≤ 1e38


@njit(cache=True, nogil=True)
def log_capital(bets, values, total):
    """total[j] += Σ_i log(1 + bets[j] · values[i]); −inf once a bet has lost everything."""
    product = np.ones(len(bets))
    for i in range(len(values)):
        y = values[i]
        for j in range(len(bets)):
            product[j] *= 1.0 + bets[j] * y
        if i % _FOLD == _FOLD - 1:
            for j in range(len(bets)):
                total[j] += math.log(product[j]) if product[j] > 0.0 else -np.inf
                product[j] = 1.0
    for j in range(len(bets)):
        total[j] += math.log(product[j]) if product[j] > 0.0 else -np.inf


@njit(cache=True, nogil=True)
def enough(bets, log_capital, n, mean):
    """Whether Σ_j exp(log_capital[j]) / (1 + bets[j] · mean)^n ≥ 1: the mixture of all bets excludes this mean."""
    top, total = -np.inf, 0.0
    for j in range(len(bets)):
        top = max(top, _left(log_capital[j], n, bets[j] * mean))
    if not top > -np.inf or top >= 0.0:
        return top >= 0.0
    for j in range(len(bets)):
        total += math.exp(_left(log_capital[j], n, bets[j] * mean) - top)
    return top + math.log(total) >= 0.0


@njit(cache=True, nogil=True)
def _left(log_capital, n, odds):
    """log capital at a mean: infinite where that mean would lose everything on the bet, and the data did not."""
    if log_capital == -np.inf:
        return -np.inf
    return np.inf if odds <= -1.0 else log_capital - n * math.log1p(odds)


@njit(cache=True, nogil=True)
def last_excluded(bets, log_capital, n, outside, inside):
    """By bisection from `outside`, which is excluded, to `inside`, which need not be; ends on the safe side."""
    for _ in range(60):
        middle = 0.5 * (outside + inside)
        if enough(bets, log_capital, n, middle):
            outside = middle
        else:
            inside = middle
    return outside
