"""From random numbers to sides: bounds on a mean that fail with probability at most δ, and the arithmetic of δ.

    betting    Π_i (1 + bY_i) / (1 + bm) is a test martingale if E[Y_i | past] = m;   lower side: b > 0, Y ≥ 0
               it exceeds 1/α with probability ≤ α, at any time (Ville);              upper side: −1 ≤ b < 0, 0 ≤ Y ≤ 1
    Bernstein  mean ± (√(2V L/n) + 7L / 3(n − 1)),   L = log(4/δ),   for n fixed beforehand
    Markov     P[Ẑ ≥ tZ] ≤ 1/t for an unbiased Ẑ ≥ 0; sharper for the r-th smallest of K independent ones
    Poisson    ∫ Π_i P_a(N_i) / P_A(N_i) dΓ(a) is a test martingale if N_i ~ Poisson(A)

**Proves** what it says for independent values, with no other assumption (docs/theorems.md, theorems S2, S3 and S7).
**Cost** one pass, a few ns a bet and value; a confidence sequence may be read at any time and as often as one likes,
for one δ. **Fails** to say much when the values' squared coefficient of variation is above n/13. **Source** Maurer &
Pontil, *Empirical Bernstein bounds* (2009); Waudby-Smith & Ramdas, *Estimating means of bounded random variables by
betting* (2023); Gomes, Hoffmann, Sabharwal & Selman, *From sampling to model counting* (2007) for minima over groups.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import betaincinv, gammaln

from calipers.bounds.betting_kernels import enough, last_excluded, log_capital
from calipers.exact.kernels import ULP

MENU = ((1, 1), (8, 1), (16, 1), (32, 1), (64, 2), (128, 4), (128, 16), (256, 32), (512, 128))
_WIDE = 20  # bets of the wide grid, a factor _STEP apart
_STEP = 4.0
_NEAR = 2  # bets on each side of the tuned one, a factor 2 apart
_NEAR_PRIOR = np.array([0.1, 0.2, 0.4, 0.2, 0.1])


def check_delta(delta: float) -> float:
    """`delta`, if it is a probability that can be spent.

    **Raises:** `ValueError` when it is not in (0, 1).
    """
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta is {delta}; a failure probability in (0, 1) is needed")
    return delta


def geometric_share(delta: float, look: int) -> float:
    """What look number 0, 1, 2, … may spend, so that any number of them spends at most `delta`: δ/2, δ/4, …"""
    return check_delta(delta) * 0.5 ** (look + 1)


def empirical_bernstein(values: np.ndarray, delta: float) -> tuple[float, float]:
    """An interval for the mean of independent values in [0, 1]; each side fails with probability at most δ/2.

    **Arguments:** `values`, shape (n,), n ≥ 2 fixed before looking.

    **Raises:** `ValueError` when values lie outside [0, 1], or are fewer than two.
    """
    y = np.asarray(values, np.float64)
    if len(y) < 2 or not (y.min() >= 0.0 and y.max() <= 1.0):
        raise ValueError("empirical Bernstein bounds need two values or more, all in [0, 1]")
    log, mean = math.log(4.0 / check_delta(delta)), float(y.mean())
    reach = math.sqrt(2.0 * float(y.var(ddof=1)) * log / len(y)) + 7.0 * log / (3.0 * (len(y) - 1))
    return max(mean - reach, 0.0), min(mean + reach, 1.0)


def markov_lower(log_value: float, delta: float) -> float:
    """A lower bound on log Z from one unbiased estimate of Z: log Ẑ + log δ."""
    return log_value + math.log(check_delta(delta))


def order_statistic_lower(
    log_values: np.ndarray, delta: float, menu: Sequence[tuple[int, int]] = MENU
) -> tuple[float, tuple[int, int]]:
    """A lower bound on log Z from independent unbiased estimates of Z ≥ 0, failing with probability at most δ.

    For each (K, r) of the menu: the r-th smallest of K group means, less log t with P[Bin(K, 1/t) ≥ K − r + 1] = δ′;
    the best of them, where δ′ is δ shared equally over the menu.

    **Arguments:** `log_values`, shape (n,), in the order they were drawn; `menu`, chosen before looking at them.

    **Returns:** the bound in nats (−inf if it says nothing), and the (K, r) it came from.
    """
    logs = np.asarray(log_values, np.float64)
    share = check_delta(delta) / len(menu)
    best = (-math.inf, menu[0])
    for groups, rank in menu:
        if groups > len(logs):
            continue
        means = np.sort([log_mean(part) for part in np.array_split(logs, groups)])
        chance = float(betaincinv(groups - rank + 1, rank, share)) * (1.0 - 1e-9)
        best = max(best, (float(means[rank - 1]) + math.log(chance), (groups, rank)))
    return best


def log_mean(logs: np.ndarray) -> float:
    """log of the mean of exp(logs); −inf for an empty array."""
    return float(np.logaddexp.reduce(logs, initial=-math.inf)) - math.log(max(len(logs), 1))


class BettingSequence:
    """An anytime-valid interval for the mean of independent values: bounds may be read after every batch, for one δ.

    Constant bets b_j with prior weights π_j fixed beforehand: the capital Σ_j π_j Π_i (1 + b_j Y_i)/(1 + b_j m) is
    monotone in m, and Σ_i log(1 + b_j Y_i) does not depend on m, so that values need not be kept. Half the prior lies
    around the bet that would have bounded best on a pilot; the rest spans all scales.

    **Arguments:** `pilot`, values like those to come, not to be bet on again; `target`, how many are expected;
    `below`, `above`, the failure probability of either side (0: that side is not bounded). Values are ≥ 0, and ≤ 1 if
    `above` > 0.
    """

    def __init__(self, pilot: np.ndarray, target: int, below: float, above: float):
        self.count = 0
        self.needed = [math.log(1.0 / check_delta(d)) if d else math.inf for d in (below, above)]
        self.best = [0.0, 1.0 if above else math.inf]
        scale = max(float(pilot.mean()), 1e-25) if len(pilot) and pilot.max() > 0.0 else 1e-4
        spans = _STEP ** np.arange(_WIDE)
        wide = (1e-5 / scale * spans, -1.0 / spans)
        tuned = [_tuned(b, pilot, target, log) for b, log in zip(wide, self.needed, strict=True)]
        self.bets = [np.concatenate([w, t]) for w, t in zip(wide, tuned, strict=True)]
        self.log_prior = np.log(np.concatenate([np.full(_WIDE, 0.5 / _WIDE), 0.5 * _NEAR_PRIOR]))
        self.totals = [np.zeros(len(b)) for b in self.bets]

    def update(self, values: np.ndarray) -> None:
        """Bets on further values, shape (k,)."""
        y = np.ascontiguousarray(values, np.float64)
        for needed, bets, total in zip(self.needed, self.bets, self.totals, strict=True):
            if math.isfinite(needed):
                log_capital(bets, y, total)
        self.count += len(y)

    def bounds(self) -> tuple[float, float]:
        """The interval so far, (lower, upper): the intersection of all that was read."""
        if self.count and math.isfinite(self.needed[0]):
            self.best[0] = max(self.best[0], self._edge(0))
        if self.count and math.isfinite(self.needed[1]):
            self.best[1] = min(self.best[1], self._edge(1))
        return self.best[0], self.best[1]

    def _edge(self, side: int) -> float:
        """The last mean that the capital excludes, coming from outside; by bisection, which ends on the safe side."""
        bets, total, n = self.bets[side], self.totals[side], self.count
        rounding = 16.0 * n * ULP + 1e-12 * float(np.abs(total[np.isfinite(total)]).max(initial=0.0))
        capital = total - (self.needed[side] + rounding)
        alone = np.expm1((capital + self.log_prior) / n) / bets  # the edge if this bet had to pay for its share itself
        together = np.expm1(capital / n) / bets  # and if it had all the prior: no mixture goes further
        if side == 0:
            outside, inside = max(float(alone.max()), 0.0), float(together.max())
        else:
            outside, inside = min(float(alone.min()), 1.0), float(together.min())
        if not enough(bets, capital + self.log_prior, n, outside):
            return (0.0, 1.0)[side]
        return last_excluded(bets, capital + self.log_prior, n, outside, inside)


def _tuned(grid: np.ndarray, pilot: np.ndarray, target: int, needed: float) -> np.ndarray:
    """Bets a factor 2 apart around the one, in the range of `grid`, that would bound best on data like the pilot."""
    fine = grid[0] * (grid[-1] / grid[0]) ** np.linspace(0.0, 1.0, 8 * len(grid))
    best = 1.0 / math.sqrt(max(target, 1)) / abs(grid).max()
    if len(pilot) and pilot.max() > 0.0 and math.isfinite(needed):
        with np.errstate(divide="ignore"):
            rates = np.array([np.log1p(b * pilot).mean() for b in fine])
        edges = np.expm1(rates - (needed + 1.5) / max(target, 1)) / fine
        best = float(abs(fine[np.argmax(edges) if grid[0] > 0 else np.argmin(edges)]))
    bets = np.copysign(best * 2.0 ** np.arange(-_NEAR, _NEAR + 1), grid[0])
    return np.maximum(bets, -1.0) if grid[0] < 0 else bets


class PoissonSequence:
    """An anytime-valid interval for the mean A of Poisson counts: both sides together fail with probability `delta`.

    {A : rA − S log A ≤ c},   c = log 1/δ + log Γ(k) − k log b − log Γ(k + S) + (k + S) log(b + r)

    after r counts that add up to S: the capital of a Gamma(k, b) mixture has not reached 1/δ.

    **Arguments:** `guess`, where A may be, by counts that are not used again; `target`, how many counts are expected;
    `trust`, how many counts the guess is worth.
    """

    def __init__(self, guess: float, target: float, trust: float, delta: float):
        self.needed = math.log(1.0 / check_delta(delta))
        self.rate = max(min(target / 12.0, trust), 1e-3)
        self.shape = max(guess, 0.5) * self.rate
        self.count, self.total = 0, 0
        self.best = (0.0, math.inf)

    def update(self, count: int, total: int) -> None:
        """`count` further counts, which add up to `total`."""
        self.count, self.total = self.count + count, self.total + total

    def bounds(self) -> tuple[float, float]:
        """The interval so far: the intersection of all that was read."""
        if not self.count:
            return self.best
        r, s, k, b = self.count, self.total, self.shape, self.rate
        terms = [self.needed, float(gammaln(k)), -k * math.log(b), -float(gammaln(k + s)), (k + s) * math.log(b + r)]
        c = math.fsum(terms) + 1e-13 * math.fsum(map(abs, terms))

        def outside(mean: float) -> bool:
            return r * mean - (s * math.log(mean) if s else 0.0) > c

        low, high = 0.0, max(2.0 * s / r, 1.0 / r)
        while not outside(high):
            high *= 2.0
        if s:
            low = _edge(outside, 0.0, s / r)
        self.best = (max(self.best[0], low), min(self.best[1], _edge(outside, high, s / r)))
        return self.best


def _edge(outside: Callable[[float], bool], out: float, inside: float) -> float:
    """Where `outside` ends between two points, by bisection, from outside."""
    for _ in range(64):
        middle = 0.5 * (out + inside)
        out, inside = (middle, inside) if middle <= 0.0 or outside(middle) else (out, middle)
    return out
