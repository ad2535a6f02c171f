"""Gaussian variational inference: the best Gaussian q by the ELBO, and what it says about log Z.

    L(q) = E_q[log p̃(u)] + H(q) = log Z − KL(q ‖ p),      q = N(m, Σ) over unconstrained reals

Deterministic (fixed Sobol draws, L-BFGS), or stochastic (fresh draws, STL gradients; `stochastic.py`). **Proves**
nothing: the ELBO bounds log Z in expectation, the average over draws does not. It reports the fresh-draw ELBO, k̂, the
effective size and the importance-sampled log Z, each with its error, and a verdict. **Cost** seconds up to d = 100; d²
parameters at full rank. **Fails** for posteriors that bend, have heavy tails or several modes: k̂ says so of the first
two. **Source** Kucukelbir et al. (2017); Giordano, Ingram & Broderick (2024); Roeder, Wu & Duvenaud (2017) for STL.
"""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.core.answer import Answer
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractContinuousModel
from calipers.variational.approximation import Elliptical
from calipers.variational.assessment import assess
from calipers.variational.fitting import Fit, fit_gaussian
from calipers.variational.modes import find_modes
from calipers.variational.report import answer, continuous, randomness, until
from calipers.variational.stochastic import fit_stochastic
from calipers.variational.target import Target
from calipers.variational.verdict import judge

GRADIENTS = ("deterministic", "stl")


class GaussianVI(AbstractMethod):
    """A Gaussian by the ELBO (ADVI).

    **Arguments:** `rank`, "full", "diagonal" (mean field), or a number of directions beside the diagonal; `gradients`,
    "deterministic" or "stl"; `draws`, the normal draws of the deterministic objective, None for 256, or a power of two
    above 4d if that is more; `starts`, of ascents to a mode to start from.

    **Proves** nothing. It needs no key; one given varies the draws.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    rank: str | int = "full"
    gradients: str = "deterministic"
    draws: int | None = None
    starts: int = 8

    def __check_init__(self) -> None:
        if not (self.rank in ("full", "diagonal") or (isinstance(self.rank, int) and self.rank >= 0)):
            raise ValueError(f'rank is {self.rank!r}; "full", "diagonal" or a number of directions is needed')
        if self.gradients not in GRADIENTS:
            raise ValueError(f"gradients is {self.gradients!r}; one of {GRADIENTS} is needed")
        if self.starts < 1:
            raise ValueError(f"starts is {self.starts}; one is needed at least")

    def plan(self, model: AbstractContinuousModel, limits: Limits = Limits()) -> Plan:
        """Says how many parameters are fitted; refuses what does not fit the memory."""
        d = continuous(model).dimension
        rank = d if self.rank == "full" else 0 if self.rank == "diagonal" else int(self.rank)
        size = 8.0 * (d * (d + 1) // 2 if self.rank == "full" else d * (1 + rank)) * 40.0
        if size > limits.memory:
            raise Refusal(f"a Gaussian of rank {rank} in {d} dimensions needs {size / 1e9:.3g} GB; lower the rank")
        return Plan(f"Gaussian variational inference in {d} dimensions, rank {rank}.", bytes=size, limits=limits)

    def answers(self, model: AbstractContinuousModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One answer: the fit, assessed by fresh draws."""
        target, random = Target(model), randomness(key)
        found = self.fitted(target, random)
        plain = assess(target, found.q, random, 4096)
        best = until(target, found.q, random, plan.limits)
        stats: dict[str, Any] = {"elbo": plain.elbo, "elbo_error": plain.elbo_error, "iterations": found.iterations}
        stats |= {"elbo_trace": found.trace}
        yield answer(target, best, judge(best), stats)

    def fitted(self, target: Target, random: np.random.Generator) -> Fit:
        """The best fit from a mode and from the origin."""
        d = target.dimension
        origin = Elliptical(np.zeros(d), np.ones(d))
        modes = find_modes(target, random, starts=self.starts)
        fits = []
        for start in [origin, *(mode.laplace for mode in modes[:1])]:
            if self.gradients == "stl":
                fits.append(fit_stochastic(target, start, random, self.rank))
            else:
                fits.append(fit_gaussian(target, start, random, self.rank, self.draws))
        return max(fits, key=lambda f: f.objective if math.isfinite(f.objective) else -math.inf)
