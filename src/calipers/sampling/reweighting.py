"""log Z by multistate reweighting over a ladder of temperatures, down from infinite temperature where it is known.

    log Z = log Z(0) + f_0 − f_K,    f by `multistate.py`, with the asymptotic error of f_K − f_0

**Proves** nothing. **Cost** points · chains · sweeps of the kernel; solving takes a small part of it. **Fails** where
chains do not mix, and where neighbours do not overlap. `kernel=ParallelTempering(…)` uses the ladder that exchanges
replicas. **Source** Shirts & Chodera, *Statistically optimal analysis of samples from multiple equilibrium states*
(2008); Ferrenberg & Swendsen (1989).
"""

from typing import Any

from calipers.core.answer import Answer, Result
from calipers.core.method import Plan
from calipers.sampling.integration import AbstractLadderEstimate
from calipers.sampling.ladder import Ladder, inefficiency, reliable
from calipers.sampling.multistate import multistate
from calipers.sampling.tempered_path import TemperedPath


class MultistateReweighting(AbstractLadderEstimate):
    """Combines overlapping runs at several temperatures; arguments as `AbstractLadderEstimate`."""

    def estimate(self, path: TemperedPath, ladder: Ladder, plan: Plan) -> Answer:
        return _answer(path, ladder, plan)


def _answer(path: TemperedPath, ladder: Ladder, plan: Plan) -> Answer:
    series = ladder.series
    taus, lengths = inefficiency(series)
    found = multistate(ladder.lambdas, list(series), taus)
    last = len(ladder.lambdas) - 1
    stats: dict[str, Any] = {"standard_error": found.error(0, last), "points": last + 1, "tau": float(taus.max())}
    stats |= {"reliable": reliable(lengths), "kernel": repr(ladder.kernel)}
    result = Result.RUNNING if reliable(lengths) else Result.UNCONVERGED
    return Answer(value=path.log_base - float(found.f[last]), stats=stats, plan=plan, result=result)
