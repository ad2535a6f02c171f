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
