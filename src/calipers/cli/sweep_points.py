"""One point of a sweep: the bracket at one temperature and field, and what each method says of the observables.

    U = −⟨log w⟩,  S = log Z + βU,  m = Σ⟨s_i⟩/n,  C = β² Var log w        (w the model's weight at β = 1)

Where exact elimination is refused its columns stay empty, and the bracket is `Auto`'s.
"""

import contextlib
import time
from typing import Any, NamedTuple

import numpy as np

from calipers.auto import Auto
from calipers.cli.interrupt import Interrupts
from calipers.cli.search import Found, make_limits, search
from calipers.core.answer import Belief
from calipers.core.method import Refusal
from calipers.exact.elimination import Elimination
from calipers.exact.thermodynamics import heat_capacity
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.models.tempered import tempered
from calipers.variational.bethe import Bethe
from calipers.variational.mean_field import MeanField

METHODS = {"exact": Elimination(order_seconds=0.1), "mean_field": MeanField(starts=3), "bethe": Bethe()}
_SEEN = ("log_z", "energy_per_site", "entropy_per_site", "magnetization_per_site")
_PLACE = ("T", "beta", "h", "lower", "upper", "lower_grounds", "upper_grounds")
COLUMNS = (*_PLACE, *(f"{name}_{x}" for name in METHODS for x in _SEEN), "exact_heat_capacity_per_site")
Row = dict[str, Any]


class Point(NamedTuple):
    """A model in a field, to be seen at inverse temperature `beta`; `base` is its graph at β = 1."""

    model: Any
    base: FactorGraph
    beta: float
    h: float


def evaluate(point: Point, seconds: float, memory: float | None, seed: int, interrupts: Interrupts) -> Row:
    """The row of one point.

    **Raises:** `KeyboardInterrupt` when it was interrupted before it was whole.
    """
    model = tempered(point.model, point.beta)
    row: Row = {"T": 1.0 / point.beta if point.beta else "inf", "beta": point.beta, "h": point.h}
    best = None

    def run(method: Any, at: Any, beliefs: bool = True) -> Found:
        deadline, gap = time.monotonic() + seconds, 0.0 if beliefs else 0.01
        limits = make_limits(deadline=deadline, gap=gap, memory=memory, beliefs=beliefs)
        found = search(at, method, limits, seed=seed, interrupts=interrupts)
        if interrupts.asked:
            raise KeyboardInterrupt
        return found

    for name, method in METHODS.items():
        found = run(method, model)
        best = found.answer if best is None else best & found.answer
        if found.answer.belief is not None:
            row |= {f"{name}_{key}": x for key, x in _observe(point, found.answer).items()}
        if name == "exact" and found.stopped == "exact" and found.answer.belief is not None:
            with contextlib.suppress(Refusal):  # the second derivative needs more memory than log Z
                row["exact_heat_capacity_per_site"] = heat_capacity(model, time_limit=seconds) / max(point.base.n, 1)
        elif name == "exact":
            best = best & run(Auto(), model, beliefs=False).answer
    assert best is not None
    said = best.to_dict()
    sides = ("lower", "upper")
    return row | {s: said["log_z"][s] for s in sides} | {f"{s}_grounds": said["grounds"][s] for s in sides}


def _observe(point: Point, answer: Any) -> Row:
    """Energy, entropy and magnetization of one method's beliefs."""
    n, energy = max(point.base.n, 1), _energy(point.base, answer.belief)
    row: Row = {"log_z": answer.value, "energy_per_site": energy / n}
    if answer.value is not None:
        row["entropy_per_site"] = (answer.value + point.beta * energy) / n
    if all(k == 2 for k in point.base.sizes):
        row["magnetization_per_site"] = sum(float(p[0] - p[1]) for p in answer.belief.marginals) / n
    return row


def _energy(base: FactorGraph, belief: Belief) -> float:
    """U: minus the expected log weight at β = 1; impossible states do not count."""
    total = 0.0
    for a, (scope, table) in enumerate(zip(base.scopes, base.log_tables(), strict=True)):
        if belief.factors is not None:
            p = np.asarray(belief.factors[a])
        else:
            p = np.ones(())
            for v in scope:
                p = np.multiply.outer(p, belief.marginals[v])
        total -= float(np.sum(np.where(p > 0, p, 0.0) * np.where(p > 0, table, 0.0)))
    return total


def in_field(model: Any, h: float) -> Any:
    """The magnet with `h` added to every field."""
    if h == 0.0:
        return model
    return Ising(model.edges, model.couplings, model.fields + h, model.beta, model.offset, labels=model.labels)
