"""Looks that decide but do not bound: pilot samples, how many more the law says are wanted, and running sums.

    n ≈ max(52 cv² / gap², 13 e^G / gap),      cv² of the estimate of Z from one sample,  G = log U − log Z

What is decided on a pilot (widths, searches, bets) costs no δ, because no side is read off it. The gap is shared
equally between the sides; docs of `proposal.py` say where the law comes from.
"""

import math
import time
from typing import Any, NamedTuple

import numpy as np

from calipers.bounds.strata import Strata

_PILOT, _PILOT_AT = 4096, 1 << 62  # pilot samples, numbered apart from those that bound
FOREVER = 10**9  # samples


class Pilot(NamedTuple):
    """Weights of samples that bound nothing; seconds a sample; G, roughly; and how many samples the gap may need."""

    strata: Strata
    weights: np.ndarray
    pace: float
    excess: float
    wanted: int

    def seconds(self, most: int | None) -> float:
        """Of sampling to come, `most` samples at most."""
        return min(self.wanted, most or FOREVER) * self.pace


def take_pilot(strata: Strata, seed: int, gap: float) -> Pilot:
    """Draws a few samples and applies the law in the header."""
    strata.weights(seed, _PILOT_AT, 16)  # compiles
    began = time.perf_counter()
    weights = strata.weights(seed, _PILOT_AT, _PILOT)
    pace = (time.perf_counter() - began) / _PILOT
    total = strata.total(float(weights.mean()))
    if total <= 0.0:
        return Pilot(strata, weights, pace, math.inf, FOREVER)
    wanted = samples_wanted(strata.open * float(weights.std()) / total, strata.open / total, gap)
    return Pilot(strata, weights, pace, -math.log(total), wanted)


def samples_wanted(variation: float, excess: float, gap: float) -> int:
    """How many samples are likely to bring both sides within `gap` nats.

    **Arguments:** `variation`, the coefficient of variation of the estimate from one sample; `excess`, e^G.
    """
    if gap <= 0.0:
        return FOREVER
    return int(min(1.2 * max(4 * 13.0 * variation**2 / gap**2, 2 * 6.5 * excess / gap, 2000.0), FOREVER))


class Tally:
    """Running sums of weights in [0, 1]."""

    def __init__(self) -> None:
        self.count, self.positive, self.total, self.squares = 0, 0, 0.0, 0.0

    def add(self, weights: np.ndarray) -> None:
        """Counts further weights."""
        self.count += len(weights)
        self.positive += int((weights > 0.0).sum())
        self.total += float(weights.sum())
        self.squares += float(weights @ weights)

    @property
    def mean(self) -> float:
        """The mean weight."""
        return self.total / self.count

    def stats(self, share: float) -> dict[str, Any]:
        """Samples, those of positive weight, effective samples, cv², and the standard error of log Z.

        **Arguments:** `share`, the part of Z that is sampled.
        """
        effective = self.total**2 / self.squares if self.squares > 0.0 else 0.0
        spread = max(self.count / effective - 1.0, 0.0) if effective else math.inf
        error = share * math.sqrt(spread / self.count)
        return {
            "samples": self.count,
            "positive": self.positive,
            "ess": effective,
            "cv2": spread,
            "standard_error": error,
        }
