"""One point of a sweep: the bracket at one temperature and field, and what each method says of the observables.

    U = −⟨log w⟩,  S = log Z + βU,  m = Σ⟨s_i⟩/n,  C = β² Var log w        (w the model's weight at β = 1)

Where exact elimination is refused its columns stay empty, the bracket is `Auto`'s, and a Markov chain estimates the
observables, with error bars.
"""

import contextlib
import time
import warnings
from typing import Any, NamedTuple

from calipers.auto import Auto
from calipers.cli.interrupt import Interrupts
from calipers.cli.search import Found, make_limits, search
from calipers.core.answer import number
from calipers.core.method import Refusal
from calipers.exact.belief_averages import belief_averages
from calipers.exact.elimination import Elimination
from calipers.exact.thermodynamics import heat_capacity
from calipers.models.factor_graph import FactorGraph
from calipers.models.tempered import tempered
from calipers.sampling.chain import run_chain
from calipers.sampling.kernel_choice import suitable_kernel
from calipers.sampling.observables import usual_measures
from calipers.variational.bethe import Bethe
from calipers.variational.mean_field import MeanField

METHODS = {"exact": Elimination(order_seconds=0.1), "mean_field": MeanField(starts=3), "bethe": Bethe()}
_SEEN = ("log_z", "energy_per_site", "entropy_per_site", "magnetization_per_site")
_PLACE = ("T", "beta", "h", "lower", "upper", "lower_grounds", "upper_grounds")
CHAIN = {  # columns of the Markov chain, and whether they are divided by the number of sites
    "energy_per_site": ("energy", True),
    "heat_capacity_per_site": ("heat_capacity", True),
    "magnetization_per_site": ("magnetization", False),
    "abs_magnetization_per_site": ("abs_magnetization", False),
    "susceptibility_per_site": ("susceptibility", True),
    "binder": ("binder", False),
    "structure_factor": ("structure_factor", False),
    "correlation_length": ("correlation_length", False),
}
COLUMNS = (
    *_PLACE,
    *(f"{name}_{x}" for name in METHODS for x in _SEEN),
    "exact_heat_capacity_per_site",
    *(f"monte_carlo_{x}{end}" for x in CHAIN for end in ("", "_error")),
    "monte_carlo_reliable",
)
Row = dict[str, Any]


class Point(NamedTuple):
    """A model in a field, to be seen at inverse temperature `beta`; `base` is its graph at β = 1."""

    model: Any
    base: FactorGraph
    beta: float
    h: float


class Settings(NamedTuple):
    """Seconds for each method at each point; memory; the seed; the Markov kernel and its sweeps.

    `kernel` is "auto" (what suits the model, where exact values are out of reach), "none", or a kernel for all points.
    """

    seconds: float
    memory: float | None
    seed: int
    kernel: Any = "auto"
    sweeps: int = 2000


def evaluate(point: Point, settings: Settings, interrupts: Interrupts) -> Row:
    """The row of one point.

    **Raises:** `KeyboardInterrupt` when it was interrupted before it was whole.
    """
    model, seconds = tempered(point.model, point.beta), settings.seconds
    row: Row = {"T": 1.0 / point.beta if point.beta else "inf", "beta": point.beta, "h": point.h}
    best = None

    def run(method: Any, at: Any, beliefs: bool = True) -> Found:
        deadline, gap = time.monotonic() + seconds, 0.0 if beliefs else 0.01
        limits = make_limits(deadline=deadline, gap=gap, memory=settings.memory, beliefs=beliefs)
        found = search(at, method, limits, seed=settings.seed, interrupts=interrupts)
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
    known = "exact_energy_per_site" in row
    if settings.kernel != "none" and not (known and settings.kernel == "auto"):
        row |= _walk(model, settings)
        if interrupts.asked:
            raise KeyboardInterrupt
    assert best is not None
    said = best.to_dict()
    sides = ("lower", "upper")
    return row | {s: said["log_z"][s] for s in sides} | {f"{s}_grounds": said["grounds"][s] for s in sides}


def _observe(point: Point, answer: Any) -> Row:
    """Energy, entropy and magnetization of one method's beliefs, per site."""
    n, found = max(point.base.n, 1), belief_averages(point.base, point.beta, answer)
    row: Row = {"log_z": answer.value} | {f"{k}_per_site": found[k] / n for k in ("energy", "entropy") if k in found}
    return row | ({"magnetization_per_site": found["magnetization"]} if "magnetization" in found else {})


def _walk(model: Any, settings: Settings) -> Row:
    """What a Markov chain says, with error bars; nothing where the kernel will not take the model."""
    usual, n = usual_measures(model), max(model.n, 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of clusters that may span a frustrated magnet: τ tells
            run = run_chain(
                model, suitable_kernel(model) if settings.kernel == "auto" else settings.kernel,
                sweeps=settings.sweeps, seed=settings.seed, time_limit=settings.seconds,
                observables=usual.observables, functions=usual.functions,
            )  # fmt: skip
    except Refusal:
        return {}
    row: Row = {"monte_carlo_reliable": run.reliable}
    for column, (name, extensive) in CHAIN.items():
        if name in run.estimates:
            value, error = (x / n if extensive else x for x in run.estimates[name])
            row |= {f"monte_carlo_{column}": number(value), f"monte_carlo_{column}_error": number(error)}
    return row
