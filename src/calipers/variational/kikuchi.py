"""The cluster variation method (Kikuchi): generalised belief propagation over short loops, an estimate of log Z.

    log Z_Kikuchi = Σ_α [⟨θ_α⟩ + H(Q_α)] + Σ_β c_β H(Q_β)      at beliefs Q that agree on the inner regions β

Outer regions α are short cycles and factor scopes, β their intersections, c_β what makes every set of variables count
once. A double loop: terms with c_β < 0, which are concave, are replaced by tangents, and the convex rest is improved by
messages between regions; solved to the end, each round goes downhill. **Proves** nothing, ever: the value may lie on
either side. **Cost** a sweep touches every entry of every outer region twice for each of its inner ones. **Fails** to
settle within the sweeps deep in glassy phases; with no cycle as short as `loop` it is Bethe's value. **Source** Kikuchi
1951; Yedidia, Freeman & Weiss 2005; Heskes, Albers & Kappen, *Approximate inference and constrained optimization*
(UAI 2003).
"""

import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.core.answer import Answer, Belief, Grounds, Result
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.elimination import impossible, lift_belief, probe_scopes
from calipers.models.reduction import Reduced, as_reduced
from calipers.variational.kikuchi_kernels import free_energy, relinearise, sweep
from calipers.variational.kikuchi_regions import Layout, RegionGraph, Scope, lay_out, region_graph

_BIAS = 0.01  # nats by which the first tangents are off from uniform, so that symmetric saddles are left
_PATIENCE = 500  # sweeps after which a round has one sweep more: longer rounds are slower, and surer to settle
_FIRST_LOOK = 0.5  # seconds until a run that has not converged shows its value; the wait doubles each time


class Kikuchi(AbstractMethod):
    """The cluster variation method over cycles of at most `loop` variables.

    **Arguments:** `loop`, variables of the longest cycle that may be a region: 4 for plaquettes of a square lattice, 6
    for honeycombs, 2 for no cycle; `tolerance`, largest step of a probability in the last round; `max_sweeps`.

    **Proves** nothing: `value` and `belief` are estimates.
    """

    proves: ClassVar[Proves] = Proves.NOTHING
    loop: int = 4
    tolerance: float = 1e-8
    max_sweeps: int = 5000

    def __check_init__(self) -> None:
        if self.loop < 2:
            raise ValueError(f"loop is {self.loop}; it is the length of the longest cycle, 2 for none")
        if not self.tolerance >= 0 or self.max_sweeps < 1:
            raise ValueError(f"tolerance is {self.tolerance}, max_sweeps {self.max_sweeps}; give ≥ 0 and ≥ 1")

    def plan(self, model: AbstractDiscreteModel | Reduced, limits: Limits = Limits()) -> Plan:
        """Reduces the model and finds the regions."""
        reduced = as_reduced(model)
        sizes = [int(k) for k in reduced.model.sizes]
        graph = region_graph(sizes, reduced.model.scopes, self.loop)
        cells = float(sum(math.prod(sizes[v] for v in s) for s in graph.outer))
        links = sum(map(len, graph.parents))
        size = 100.0 * (cells + links) + 50.0 * len(graph.inner)
        if size > limits.memory:
            raise Refusal(f"the regions need {size / 1e9:.3g} GB; {limits.memory / 1e9:.3g} GB are allowed")
        text = (
            f"The cluster variation method on {reduced.describe()} {len(graph.outer)} outer regions, "
            f"{len(graph.inner)} inner ones."
        )
        return Plan(text, (reduced, graph, lay_out(graph, sizes)), cells=cells, bytes=size, limits=limits)

    def answers(self, model: Any, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """The value now and then while it iterates, and at the end."""
        reduced, graph, layout = plan.structure
        if reduced.log_constant == -math.inf:
            yield impossible(reduced, repr(self), plan)
            return
        run = _Run(reduced, graph, layout)
        wait, last, sweeps, change = _FIRST_LOOK, time.monotonic(), 0, math.inf
        while sweeps < self.max_sweeps:
            done, change = run.round(min(1 + sweeps // _PATIENCE, self.max_sweeps - sweeps), self.tolerance)
            sweeps += done
            if change <= self.tolerance or change == math.inf:
                break
            if time.monotonic() - last > wait:
                yield self._answer(run, sweeps, change, plan, Result.RUNNING)
                wait, last = 2.0 * wait, time.monotonic()
        ended = Result.RUNNING if change <= self.tolerance else Result.UNCONVERGED
        yield self._answer(run, sweeps, change, plan, ended)

    def _answer(self, run: "_Run", sweeps: int, change: float, plan: Plan, result: Result) -> Answer:
        value = run.value()
        stats = {"sweeps": sweeps, "change": change, "converged": change <= self.tolerance}
        belief = run.belief() if plan.limits.beliefs and math.isfinite(value) else None
        return Answer(
            value=value if math.isfinite(value) else None, belief=belief, result=result, stats=stats, plan=plan
        )


class _Run:
    """Beliefs in motion."""

    def __init__(self, reduced: Reduced, graph: RegionGraph, layout: Layout):
        self.reduced, self.graph, self.layout = reduced, graph, layout
        self.tables = _tables(reduced, graph, layout)
        self.logs = self.tables.copy()
        self.message = np.zeros(layout.link_at[-1])
        self.old = np.zeros(layout.inner_ptr[-1])
        self.tangents = -_BIAS * np.random.default_rng(0).random(len(self.old))
        self.inner = self.tangents.copy()
        relinearise(layout, self.logs, self.inner, self.old)

    def round(self, most: int, tolerance: float) -> tuple[int, float]:
        """Up to `most` sweeps, then new tangents; the sweeps done and the largest step, inf if nothing is possible."""
        step = 0.0
        for done in range(1, most + 1):
            step = float(sweep(self.layout, self.logs, self.inner, self.message, done % 2 == 0))
            if step <= tolerance or step == math.inf:
                break
        if step == math.inf:
            return done, step
        return done, max(step, float(relinearise(self.layout, self.logs, self.inner, self.old)))

    def value(self) -> float:
        """log Z_Kikuchi of the original model, where the beliefs stand."""
        inner = float(free_energy(self.layout, self.logs, self.tables, self.inner))
        return inner + self.reduced.log_constant

    def belief(self) -> Belief:
        """Marginals of the original variables and factors, after `value`; products where no region holds a factor."""
        known: dict[Scope, np.ndarray] = {}
        at = _holders(self.graph)
        for scope in probe_scopes(self.reduced):
            above = set.intersection(*(at[v] for v in scope))
            if above:
                known[scope] = self._marginal(min(above), scope)
            else:
                known[scope] = np.ones(())
                for v in scope:
                    known[scope] = np.multiply.outer(known[scope], known[v,])
        lifted = lift_belief(self.reduced, known)
        return Belief(lifted.marginals, lifted.factors, Grounds.NONE)

    def _marginal(self, outer: int, scope: Scope) -> np.ndarray:
        held = self.graph.outer[outer]
        part = slice(self.layout.outer_ptr[outer], self.layout.outer_ptr[outer + 1])
        table = np.exp(self.logs[part]).reshape([int(self.reduced.model.sizes[v]) for v in held])
        rest = table.sum(axis=tuple(i for i, v in enumerate(held) if v not in scope))
        left = [v for v in held if v in scope]
        return np.transpose(rest, [left.index(v) for v in scope])


def _holders(graph: RegionGraph) -> dict[int, set[int]]:
    """Of each variable, the outer regions that hold it."""
    at: dict[int, set[int]] = {}
    for a, scope in enumerate(graph.outer):
        for v in scope:
            at.setdefault(v, set()).add(a)
    return at


def _tables(reduced: Reduced, graph: RegionGraph, layout: Layout) -> np.ndarray:
    """The log tables of the outer regions: each factor in the first that holds it."""
    flat, at = np.zeros(layout.outer_ptr[-1]), _holders(graph)
    sizes = reduced.model.sizes
    for scope, table in zip(reduced.model.scopes, reduced.model.log_tables(), strict=True):
        a = min(set.intersection(*(at[v] for v in scope)))
        held = graph.outer[a]
        own = flat[layout.outer_ptr[a] : layout.outer_ptr[a + 1]].reshape([int(sizes[v]) for v in held])
        own += np.asarray(table).reshape([int(sizes[v]) if v in scope else 1 for v in held])
    return flat
