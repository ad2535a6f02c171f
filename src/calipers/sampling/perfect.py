"""Perfect sampling of ferromagnets: draws from p(x) itself, by monotone coupling from the past.

    blocks of sweeps that end at time 0, each as long as all later ones together; the largest and the smallest state are
    run from the start of the earliest block; when they have met, what they met in is a draw from p(x)

"bonds" couples the random-cluster model (q = 2) bond by bond, and colours its clusters: quick on both sides of a
transition and at it. "spins" couples heat bath: quick at high temperature, and in fields that point both ways, which
clusters cannot see. "auto" takes spins where Dobrushin's condition promises that they meet soon (`mixing.py`), else
bonds where fields allow them.

**Proves** nothing about log Z; draws are independent and exact, but for the 2⁻⁵³ of random numbers, however slowly the
dynamics mixes: slow mixing costs time, never truth. **Cost** a few times the sweeps until they meet, about log n times
the mixing time; 16², 32², 64² at T_c: see docs/perfect.md. **Fails** by taking long: for spins below T_c exponentially.
Then the time-out is said so. *Impatience biases*: how long a draw takes and what comes of it depend on each other, so
what is finished at a deadline leans towards what is quick. Given that all draws that were asked for are finished, which
has probability 1 − ε, their law is within ε of the right one in total variation, and no less is promised; confidence
sequences, which hold at every number of draws at once, do not mind (docs/theorems.md, theorem S5). **Source** Propp &
Wilson, *Exact sampling with coupled Markov chains* (1996); Fill (1998) on impatience; Häggström & Nelander (1998).
"""

import math
import time

import equinox as eqx
import numpy as np

from calipers.core.answer import Answer, Result
from calipers.core.method import Limits, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.sampler import ExactSampler, sampler
from calipers.sampling import random_cluster_kernels as kernels
from calipers.sampling.ferromagnet import Ferromagnet, ferromagnet
from calipers.sampling.streams import streams

COUPLINGS = ("auto", "bonds", "spins")
_FIRST = 16  # sweeps of the first block, before anything is known
_PIECE = 50_000  # updates between two looks at the clock


class Unfinished(Exception):
    """The time was up before the bounding states had met: `sweeps` were run for this draw, `differ` bonds or spins."""

    def __init__(self, sweeps: int, differ: int):
        super().__init__(f"time-out: after {sweeps} sweeps the bounding states still differ in {differ} places")
        self.sweeps, self.differ = sweeps, differ


class PerfectSampling(eqx.Module):
    """Exact, independent draws from a ferromagnet, or from what flips of spins make of one.

    **Arguments:** `coupling`, "bonds", "spins", or "auto".

        cal.sample(cal.Ising.square(32, beta=0.44), 10, method=cal.PerfectSampling(), seed=0)
    """

    coupling: str = "auto"

    def __check_init__(self) -> None:
        if self.coupling not in COUPLINGS:
            raise ValueError(f"coupling is {self.coupling!r}; it must be one of {', '.join(COUPLINGS)}")

    def coupler(self, model: AbstractDiscreteModel | Ferromagnet, deadline: float = math.inf) -> "Coupler":
        """What draws, at any temperature.

        **Raises:** `Refusal` for what is no ferromagnet, and for bonds in fields that point both ways.
        """
        magnet = model if isinstance(model, Ferromagnet) else ferromagnet(model)
        if self.coupling == "bonds" and not magnet.aligned:
            raise Refusal("fields point both ways, which the random-cluster coupling cannot take; use coupling='spins'")
        return Coupler(magnet, self.coupling, deadline)


class Coupler:
    """Coupling from the past for one magnet. It learns from draws that are done how long the next may take.

    **Arguments:** `magnet`; `coupling`; `deadline`, on `time.monotonic`'s clock, after which draws raise `Unfinished`.
    """

    def __init__(self, magnet: Ferromagnet, coupling: str = "auto", deadline: float = math.inf):
        self.magnet, self.coupling, self.deadline = magnet, coupling, deadline
        self.draws, self.sweeps = 0, 0
        self._met: dict[tuple[bool, int], list[int]] = {}  # sweeps until the states met, by coupling and scale
        self._last = [_FIRST]
        n = magnet.n
        self._mark, self._queue = np.zeros(n, np.int64), np.zeros((2, n), np.int64)
        self._at = np.zeros(2, np.int64)  # places that differ; the last mark, which the kernel itself moves on

    def draw(self, scale: float, rng: np.random.Generator) -> np.ndarray:
        """One draw of the spins of the gauge, int8 (n,), from exp(−G − scale·H).

        **Raises:** `Unfinished` at the deadline.
        """
        by_bonds = self._by_bonds(scale)
        known = self._met.setdefault((by_bonds, round(8.0 * math.log(min(max(scale, 1e-9), 1e9)))), [])
        first = max(known or self._last)  # of draws past: independent of this one's random numbers
        lengths, seeds, spent = [max(first + first // 4, 1)], [streams(rng)], 0
        final = streams(rng)
        while True:
            top, bottom, differ, met = self._run(by_bonds, scale, lengths, seeds, spent)
            spent += sum(lengths)
            if differ == 0:
                break
            lengths.append(sum(lengths))
            seeds.append(streams(rng))
        known[:] = [*known[-3:], met]
        self._last = [met]
        self.draws, self.sweeps = self.draws + 1, self.sweeps + spent
        if not by_bonds:
            return top
        spins = np.empty(self.magnet.n, np.int8)
        kernels.colour(self.magnet.bonds, bottom, final, spins)
        return spins

    def _by_bonds(self, scale: float) -> bool:
        if self.coupling != "auto":
            return self.coupling == "bonds"
        return self.magnet.aligned and not _meets_soon(self.magnet, scale)

    def _run(
        self, by_bonds: bool, scale: float, lengths: list[int], seeds: list[np.ndarray], before: int
    ) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Both states from the earliest block to time 0; how much they differ there, and the sweeps until they met."""
        size = self.magnet.m if by_bonds else self.magnet.n
        kind = np.bool_ if by_bonds else np.int8
        top: np.ndarray = np.ones(size, kind)
        bottom: np.ndarray = np.full(size, 0 if by_bonds else -1, kind)
        at, done, met = self._at, 0, 0
        at[0] = size
        cost = self.magnet.bonds.at(scale)
        piece = max(1, _PIECE // max(size, 1))
        for length, seed in zip(reversed(lengths), reversed(seeds), strict=True):
            stream, left = seed.copy(), length
            while left > 0:
                if time.monotonic() > self.deadline:
                    raise Unfinished(before + done, int(at[0]))
                sweeps = min(piece, left)
                apart = at[0] != 0
                if by_bonds:
                    last = kernels.bond_sweeps(
                        self.magnet.bonds, cost, top, bottom, stream, sweeps, self._mark, self._queue, at
                    )
                else:
                    last = kernels.spin_sweeps(self.magnet.bonds, cost, top, bottom, stream, sweeps, at)
                met = done + last if apart else met
                done, left = done + sweeps, left - sweeps
        return top, bottom, int(at[0]), met


def _meets_soon(magnet: Ferromagnet, scale: float) -> bool:
    """Dobrushin's condition at this scale: max_i Σ_j tanh(λβJ_ij) < 1."""
    bonds = magnet.bonds
    pull = np.tanh(0.5 * bonds.at(scale))[bonds.level][bonds.bond]
    total = np.concatenate([[0.0], np.cumsum(pull)])[bonds.ptr]
    return bool(np.diff(total).max(initial=0.0) < 1.0 - 1e-9)


@sampler.register
def _perfect_sampler(
    method: PerfectSampling, model: AbstractDiscreteModel, limits: Limits = Limits()
) -> ExactSampler:  # fmt: skip
    """Draws until the deadline; fewer than were asked for when it comes first."""
    coupler = method.coupler(model, limits.deadline)

    def draw(count: int, rng: np.random.Generator) -> np.ndarray:
        found = []
        for _ in range(count):
            try:
                found.append(coupler.draw(1.0, rng))
            except Unfinished:
                break
        return coupler.magnet.states(np.array(found, np.int8).reshape(len(found), coupler.magnet.n))

    return ExactSampler(draw, Answer(result=Result.EXHAUSTED), 1)
