"""Gaussian variational inference by another objective than the ELBO, judged by the same fresh draws."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.core.answer import Answer
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractContinuousModel
from calipers.variational.approximation import Elliptical
from calipers.variational.assessment import assess
from calipers.variational.divergences import OBJECTIVES, fit_divergence
from calipers.variational.modes import find_modes
from calipers.variational.report import answer, continuous, randomness, until
from calipers.variational.target import Target
from calipers.variational.verdict import judge


class DivergenceVI(AbstractMethod):
    """The best Gaussian by an objective of `calipers.variational.divergences`, which has formulas, costs and sources.

    **Arguments:** `objective`, "kl", "renyi", "perturbative", "forward" or "stein"; `alpha`, the order of "renyi";
    `rank`, "full" or "diagonal"; `starts`, of ascents to a mode to start from.

    **Proves** nothing: log Z is importance-sampled from the fit, with the verdict that `GaussianVI` gives.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    objective: str = "renyi"
    alpha: float = 0.5
    rank: str = "full"
    starts: int = 8

    def __check_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective is {self.objective!r}; one of {', '.join(OBJECTIVES)} is needed")
        if self.rank not in ("full", "diagonal"):
            raise ValueError(f'rank is {self.rank!r}; "full" or "diagonal" is needed')
        if self.objective == "renyi" and self.alpha == 1.0:
            raise ValueError('the Rényi bound of order alpha = 1 is the ELBO; ask for objective="kl"')
        if self.starts < 1:
            raise ValueError(f"starts is {self.starts}; one is needed at least")

    def plan(self, model: AbstractContinuousModel, limits: Limits = Limits()) -> Plan:
        """Says what is fitted."""
        d = continuous(model).dimension
        return Plan(f"A Gaussian in {d} dimensions by the objective {self.objective!r}.", limits=limits)

    def answers(self, model: AbstractContinuousModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One answer: the fit, assessed by fresh draws."""
        target, random = Target(model), randomness(key)
        modes = find_modes(target, random, starts=self.starts)
        start = modes[0].laplace if modes else Elliptical(np.zeros(target.dimension), np.ones(target.dimension))
        found = fit_divergence(target, start, random, self.objective, rank=self.rank, alpha=self.alpha)
        plain = assess(target, found.q, random, 4096)
        if not np.isfinite(plain.log_z):
            raise Refusal(f"the objective {self.objective!r} led to a Gaussian outside the density")
        best = until(target, found.q, random, plan.limits)
        stats = {"elbo": plain.elbo, "elbo_error": plain.elbo_error, "iterations": found.iterations}
        yield answer(target, best, judge(best), stats)
