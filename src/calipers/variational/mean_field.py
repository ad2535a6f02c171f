"""Mean field: the best independent variables, and the lower bound on log Z that they give.

    log Z ≥ F(q) = Σ_a ⟨θ_a⟩_q + Σ_v H(q_v),   q(x) = Π_v q_v(x_v)        (Gibbs–Bogoliubov–Feynman; the ELBO)

**Proves** a lower bound, at every sweep: coordinate ascent needs no convergence, and never goes down. **Cost** a sweep
touches every table entry a few times; a magnet of 10⁶ spins takes 0.04 s a sweep. **Fails** to be tight wherever
variables are strongly correlated; in models with zeros q must fit inside the support, and little may be left of it.
Several starts, because F has many maxima. **Source** Peierls 1938; Bogoliubov 1958; Feynman 1972; Saul & Jordan 1996.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol

import numpy as np

from calipers.core.answer import Answer, Belief, Grounds, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import Tangent
from calipers.exact.elimination import impossible
from calipers.models.ising import Ising
from calipers.models.reduction import Reduced, as_reduced
from calipers.variational.factor_fields import FactorProduct
from calipers.variational.ising_fields import IsingProduct

_FIRST_LOOK = 0.25  # seconds until a start that still climbs shows its bound; the wait doubles each time


class Trial(Protocol):
    """Independent variables that can be improved; two engines are behind it, magnets and factor graphs."""

    def begin(self, start: int, random: np.random.Generator) -> bool: ...
    def sweep(self) -> float: ...
    def bound(self) -> tuple[float, float]: ...
    def belief(self) -> Belief: ...
    def witness(self) -> Callable[[], Tangent]: ...


class MeanField(AbstractMethod):
    """Independent variables, by coordinate ascent from several starts.

    **Arguments:** `starts`, how many (free, all in the first state, all in the last, then random); `tolerance`, nats
    that a sweep must still gain; `max_sweeps` of one start.

    **Proves** a lower bound. It needs no key; one given varies the random starts.
    """

    proves: ClassVar[Proves] = Proves.LOWER
    starts: int = 10
    tolerance: float = 1e-6
    max_sweeps: int = 2000

    def __check_init__(self) -> None:
        if self.starts < 1 or self.max_sweeps < 1:
            raise ValueError(f"starts is {self.starts} and max_sweeps {self.max_sweeps}; both must be 1 or more")
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance is {self.tolerance} nats; it cannot be negative")

    def plan(self, model: AbstractDiscreteModel | Reduced, limits: Limits = Limits()) -> Plan:
        """A magnet is taken as it is; any other model is reduced first. Refuses what does not fit the memory."""
        if isinstance(model, Ising):
            size, what = 100.0 * model.e + 100.0 * model.n, f"{model.n} spins"
            cells = 2.0 * model.e
        else:
            model = as_reduced(model)
            cells, what = float(sum(t.size for t in model.model.tables)), model.describe()
            size = 32.0 * cells
        if size > limits.memory:
            raise Refusal(f"mean field needs {size / 1e9:.3g} GB; {limits.memory / 1e9:.3g} GB are allowed")
        text = f"Mean field by coordinate ascent on {what}: {self.starts} starts of at most {self.max_sweeps} sweeps."
        return Plan(text, model, cells=cells, bytes=size, limits=limits)

    def answers(self, model: Any, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """An answer whenever a start improves the bound, and while it climbs."""
        structure = plan.structure
        if isinstance(structure, Reduced) and structure.log_constant == -math.inf:
            yield impossible(model, repr(self), plan)
            return
        trial: Trial = IsingProduct(structure) if isinstance(structure, Ising) else FactorProduct(structure)
        random = np.random.default_rng(_seed(key))
        best = -math.inf
        for start in range(self.starts):
            if not trial.begin(start, random):
                if start == 0:  # no configuration at all: the SAT solver has proved it
                    yield impossible(model, repr(self), plan)
                    return
                continue
            for sweeps in self._looks(trial):
                value, error = trial.bound()
                if value > best + 1e-9:
                    best = value
                    yield self._answer(trial, value, error, {"start": start, "sweeps": sweeps}, plan)

    def _looks(self, trial: Trial) -> Iterator[int]:
        """Climbs from where the trial stands; yields the sweeps done whenever the bound is worth a look."""
        wait, last = _FIRST_LOOK, time.monotonic()
        for sweeps in range(1, self.max_sweeps + 1):
            if trial.sweep() <= self.tolerance:
                break
            if time.monotonic() - last > wait:
                yield sweeps
                wait, last = 2.0 * wait, time.monotonic()
        yield sweeps

    def _answer(self, trial: Trial, value: float, error: float, stats: dict[str, Any], plan: Plan) -> Answer:
        witness = trial.witness()
        lower = Side(outward(value, error, -1.0), Grounds.COMPUTED, method=repr(self), witness=witness)
        belief = trial.belief() if plan.limits.beliefs else None
        return Answer(lower=lower, value=value, belief=belief, stats=stats, plan=plan)


def _seed(key: Any) -> Any:
    """Words for NumPy's generator: 0, or those of a typed JAX key."""
    if key is None:
        return 0
    import jax

    return np.asarray(jax.random.key_data(key))
