"""Bounded weights, plain or over the frontier of a search: what a confidence sequence for their mean says about Z.

    Z = U (found + open · E[Y]),    found + open ≤ 1,    Y ∈ [0, 1]

Plainly, found = 0 and open = 1. After a best-first search (frontier.py) `found` is the mass of the whole assignments
found, `open` the sum of the bounds u_p on the open prefixes: a sample draws a prefix with probability u_p / open,
then the other variables from the proposal, so that its weight is again at most 1. Both are relative to the
mini-bucket bound U. Searching first and sampling what is left is dynamic importance sampling. **Source** Lou, Dechter
& Ihler, *Dynamic importance sampling for anytime bounds of the partition function* (2017).
"""

import math

import numpy as np

from calipers.bounds import proposal_kernels as kernels
from calipers.bounds.frontier import Frontier
from calipers.bounds.proposal_tables import Proposal
from calipers.core.answer import outward

_SALT = np.uint64(0x5851F42D4C957F2D)  # the random numbers that choose prefixes are not those that extend them


class Strata:
    """Weights in [0, 1] of numbered samples, and what their mean means.

    **Arguments:** `proposal`; `frontier` of a search on the same run over the same variables, None for none; it is read
    once, and may grow afterwards.
    """

    def __init__(self, proposal: Proposal, frontier: Frontier | None = None):
        self.proposal = proposal
        self.found, self.open, self.lost = 0.0, 1.0, 0.0
        self.error, self.leak = proposal.error, proposal.leak
        self.leaves = 0
        if frontier is not None:
            self._read(frontier)

    def _read(self, frontier: Frontier) -> None:
        """Copies the open prefixes and adds up their bounds."""
        p = frontier.prefixes
        slots = p.heap[: frontier.open].copy()
        bounds = np.exp(p.bound[slots])
        self.depth, self.states = p.depth[slots].copy(), p.states[slots].copy()
        self.edges = np.cumsum(bounds)
        self.open = float(self.edges[-1]) if len(slots) else 0.0
        self.found = float(frontier.mass[1] * math.exp(frontier.mass[0])) if frontier.mass[1] > 0.0 else 0.0
        self.lost = math.exp(frontier.lost)
        self.leaves = frontier.leaves
        self.error += frontier.error + 2.0**-52 * (frontier.leaves + len(slots))
        self.leak += 2.0**-50 * len(slots)

    def weights(self, seed: int, start: int, count: int) -> np.ndarray:
        """Y of samples number start … start + count − 1, shape (count,)."""
        prefixes = None
        if self.leaves or self.open < 1.0:
            stream = np.empty(count, np.uint64)
            kernels.streams(np.uint64(seed) ^ _SALT, start, stream)
            chosen = np.searchsorted(self.edges, (stream >> np.uint64(11)) * 2.0**-53 * self.open, side="right")
            chosen = np.minimum(chosen, len(self.edges) - 1)
            prefixes = self.depth[chosen], self.states[chosen]
        return np.exp(self.proposal.draw(seed, start, count, prefixes)[0])

    def total(self, mean: float) -> float:
        """Z / U if E[Y] is `mean`, but for what the search gave up."""
        return self.found + self.open * mean

    def sides(self, low: float, high: float) -> tuple[float, float]:
        """Bounds on log Z of the reduced model, less its constants, if low ≤ E[Y] ≤ high; rounded outward."""
        least = self.total(max(low - self.leak, 0.0))
        most = min(self.total(min(high + self.leak, 1.0)) + self.lost, 1.0 + 1e-12)
        base = self.proposal.log_bound
        error = self.error + 2.0**-50 * (abs(base) + 50.0)
        below = base + math.log(least) if least > 0.0 else -math.inf
        above = base + math.log(most) if most > 0.0 else -math.inf
        return outward(below, error, -1.0), outward(above, error, 1.0)
