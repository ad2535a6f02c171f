"""log Z by multistate reweighting over a ladder of temperatures, down from infinite temperature where it is known.

    log Z = log Z(0) + f_0 − f_K,    f by `multistate.py`, with the asymptotic error of f_K − f_0

**Proves** nothing. **Cost** points · chains · sweeps of the kernel; solving takes a small part of it. **Fails** where
chains do not mix, and where neighbours do not overlap. `kernel=ParallelTempering(…)` uses the ladder that exchanges
replicas. **Source** Shirts & Chodera, *Statistically optimal analysis of samples from multiple equilibrium states*
(2008); Ferrenberg & Swendsen (1989).
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from calipers.core.answer import Answer, Result
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.core.model import AbstractDiscreteModel
from calipers.sampling.integration import check_numbers, ladder_plan, rounds, trivial
from calipers.sampling.kernel import AbstractKernel
from calipers.sampling.ladder import Ladder, inefficiency, reliable
from calipers.sampling.multistate import multistate
from calipers.sampling.tempered_path import TemperedPath


class MultistateReweighting(AbstractMethod):
    """An estimate of log Z with an error bar, from overlapping runs at several temperatures.

    **Arguments:** as `ThermodynamicIntegration`.

    **Proves** nothing. **Raises** `Refusal` for models with zeros, and without a `key`.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    points: int | None = None
    sweeps: int = 400
    chains: int = 4
    kernel: AbstractKernel | None = None

    def __check_init__(self) -> None:
        check_numbers(self.points, self.sweeps, self.chains)

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Chooses the kernel; refuses models with zeros."""
        return ladder_plan("Multistate reweighting", model, self.kernel, limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """An estimate after an eighth, a quarter, half, and all of the sweeps."""
        path = plan.structure
        for ladder in rounds(path, self.kernel, self.points, self.sweeps, self.chains, key):
            if ladder is None:
                yield trivial(path, plan)
                return
            yield _answer(path, ladder, plan)


def _answer(path: TemperedPath, ladder: Ladder, plan: Plan) -> Answer:
    series = ladder.series
    taus, lengths = inefficiency(series)
    found = multistate(ladder.lambdas, list(series), taus)
    last = len(ladder.lambdas) - 1
    stats: dict[str, Any] = {"standard_error": found.error(0, last), "points": last + 1, "tau": float(taus.max())}
    stats |= {"reliable": reliable(lengths), "kernel": repr(ladder.kernel)}
    result = Result.RUNNING if reliable(lengths) else Result.UNCONVERGED
    return Answer(value=path.log_base - float(found.f[last]), stats=stats, plan=plan, result=result)
