"""Population Monte Carlo as a method of its own: an adapted mixture on top of a Gaussian, or from a wide start.

See `population.py` for the algorithm. **Proves** nothing: log Z is an importance-sampled estimate. **Cost** rounds ×
draws log weights. **Fails** where all coordinates of many have to be adapted. **Source** Cappé et al. (2008).
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from calipers.core.answer import Answer
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.core.model import AbstractContinuousModel
from calipers.variational.assessment import assess
from calipers.variational.conditional import straight
from calipers.variational.fitting import fit_conditional
from calipers.variational.gaussian import GaussianVI
from calipers.variational.modes import wide_start
from calipers.variational.population import adapt
from calipers.variational.report import answer, continuous, randomness, until
from calipers.variational.target import Target
from calipers.variational.verdict import judge


class PopulationMonteCarlo(AbstractMethod):
    """A mixture of t distributions, adapted to its own importance weights.

    **Arguments:** `components`; `head`, how many coordinates are adapted, those that govern first, or None for all of
    them, from a wide start with tempered weights; `draws` a round; `rounds` at most.

    **Proves** nothing. It needs no key; one given varies the draws.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    components: int = 8
    head: int | None = 6
    draws: int = 8192
    rounds: int = 20

    def __check_init__(self) -> None:
        if min(self.components, self.rounds, 1 if self.head is None else self.head) < 1 or self.draws < 1000:
            raise ValueError("components, rounds and head are 1 or more, draws 1000 or more")

    def plan(self, model: AbstractContinuousModel, limits: Limits = Limits()) -> Plan:
        """Says how much is adapted."""
        d = continuous(model).dimension
        h = d if self.head is None else min(self.head, d)
        text = f"Population Monte Carlo: {self.components} components over {h} of {d} coordinates, {self.draws} draws."
        return Plan(text, limits=limits)

    def answers(self, model: AbstractContinuousModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One answer: the adapted mixture, assessed by fresh draws."""
        target, random = Target(model), randomness(key)
        if self.head is None:
            start, h = straight(wide_start(model, random)), target.dimension
        else:
            start = fit_conditional(target, GaussianVI().fitted(target, random).q, random).q
            h = min(self.head, target.dimension)
        plain = assess(target, start, random, 4096)
        adapted, reached = adapt(
            target,
            start,
            random,
            head=h,
            components=self.components,
            draws=self.draws,
            rounds=self.rounds,
            patience=5 if self.head is None else 2,
        )
        found = until(target, adapted, random, plan.limits)
        stats = {"elbo": plain.elbo, "elbo_error": plain.elbo_error, "perplexity": reached}
        yield answer(target, found, judge(found), stats)
