"""Exact log Z of magnets that can be drawn on a plane (or a torus), without fields, by Pfaffians.

`planar_partition` has the formula and the error bar; this file is the method around it. A factor graph is recognised as
a magnet after reduction. A field is an edge to one more spin, the *ghost*: Z = ½ Z_ghost; so fields are allowed where
the ghost can be drawn, on the spins around one face of the plane, say. Extra edges that cannot be drawn on the plane
raise the genus g, and each unit of it costs a factor of four; or they are left *across* the drawing, and summed over, a
factor of two each. So is a field at a few sites anywhere: edges to the ghost that cannot be drawn.

**Proves** log Z = value ± error; refuses when the error exceeds `tolerance` (very low temperatures with frustration).
**Cost** O(4^g 2^k n^{3/2}): 0.1 s, 0.3 s, 2 s for 64², 128², 256² spins. **Fails** on other graphs, by refusing.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from calipers.core.answer import Answer, Belief, Grounds, Result, exact_sides
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.elimination import checkable, lift_belief, probe_scopes
from calipers.exact.planar_partition import ULP, PlanarError, PlanarGraph, log_partition_planar, planar_graph
from calipers.exact.planar_witness import drawing_witness
from calipers.models.ising import Ising
from calipers.models.recognition import as_ising
from calipers.models.reduction import Reduced, as_reduced

_SECONDS_PER_FLOP = 1.5e-9  # measured on one 2026 core, backward pass included; only plans depend on it
_EXACT_BELIEF = 1e-8
_CHECKED_FLOPS = 6e8  # multiplications that a checker goes through in two minutes
_NO_FIELD = 1e-11  # fields that add up to less are rounding: they join the error


class PlanarTask(NamedTuple):
    """What is computed: the magnet, K and the graph (with the ghost as last site, if there is one), and the rest."""

    magnet: Ising
    reduced: Reduced | None
    graph: PlanarGraph
    K: np.ndarray
    ghost: bool
    constant: float
    error: float


class Planar(AbstractMethod):
    """Exact log Z of planar magnets by Pfaffians.

    **Arguments:** `genus`, the most that is allowed, of all components together (a torus has 1); `tolerance`, nats:
    larger errors are refused; `across`, the most edges (fields are edges to one more spin) that may be left out of the
    drawing and summed over.

    **Proves** both sides exactly. **Raises** `Refusal` for other models, and for errors above the tolerance.
    """

    proves: ClassVar[Proves] = Proves.EQUAL
    genus: int = 1
    tolerance: float = 1e-6
    across: int = 8

    def __check_init__(self) -> None:
        if not 0 <= self.genus <= 6:
            raise ValueError(f"genus is from 0 to 6 (4^genus Pfaffians are evaluated), but {self.genus} came")
        if not 0 <= self.across <= 16:
            raise ValueError(f"across is from 0 to 16 (2^across Pfaffians are evaluated), but {self.across} came")
        if not self.tolerance > 0.0:
            raise ValueError(f"tolerance is a positive number of nats, but {self.tolerance} came")

    def plan(self, model: AbstractDiscreteModel | Reduced, limits: Limits = Limits()) -> Plan:
        """Recognises the magnet, draws it, and orders the elimination; refuses what is not planar."""
        task = planar_task(model, self.genus, self.across)
        if task is None:
            return Plan("Propagation shows that every configuration has weight zero.", task, limits=limits)
        graph = task.graph
        seconds = _SECONDS_PER_FLOP * graph.flops
        count, k = graph.pfaffians, len(graph.across)
        work = (
            f"{count} Pfaffian{'s' if count > 1 else ''} of {len(graph.surface.home)} terminals, about {seconds:.2g} s"
        )
        if graph.bytes > limits.memory:
            raise Refusal(f"{work}, would need {graph.bytes / 1e9:.3g} GB; {limits.memory / 1e9:.3g} GB allowed")
        if seconds > limits.seconds_left():
            raise Refusal(f"{work}, would not finish in time: {limits.seconds_left():.3g} s left")
        where = f"with {graph.surface.genus} handles" if graph.surface.genus else "on a plane"
        where += f", {k} edges or fields across it" if k else ""
        text = f"A magnet of {task.magnet.n} spins drawn {where}: log Z by {work}, {graph.bytes / 1e6:.3g} MB."
        return Plan(text, task, cells=graph.flops, bytes=graph.bytes, limits=limits, seconds=seconds)

    def answers(self, model: AbstractDiscreteModel | Reduced, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One exact answer."""
        task = plan.structure
        if task is None:
            lower, upper = exact_sides(-math.inf, 0.0, repr(self))
            yield Answer(lower, upper, value=-math.inf, result=Result.EXACT, plan=plan)
            return
        found = log_partition_planar(task.graph, task.K, tolerance=self.tolerance)
        value = float(found.value + task.constant)
        error = float(found.error) + task.error + ULP * (abs(found.value) + abs(task.constant))
        if not error <= self.tolerance:
            raise Refusal(f"the rounding error could be {error:.1g} nats, more than {self.tolerance:.1g}: too cold")
        belief = _belief(task, found.correlations, error) if plan.limits.beliefs else None
        lower, upper = exact_sides(value, error, repr(self), lambda: _witness(model, task, found.reference))
        surface, across = task.graph.surface, len(task.graph.across)
        stats = {"genus": surface.genus, "across": across, "terminals": len(surface.home), "error": float(error)}
        yield Answer(lower, upper, value=value, belief=belief, result=Result.EXACT, stats=stats, plan=plan)


def planar_task(model: AbstractDiscreteModel | Reduced, most_genus: int, most_across: int = 0) -> PlanarTask | None:
    """The magnet in the model, drawn; None when every weight is zero.

    **Raises:** `Refusal` when there is no magnet, or no drawing.
    """
    reduced = None if isinstance(model, Ising) else as_reduced(model)
    if reduced is not None and reduced.log_constant == -math.inf:
        return None
    magnet = model if isinstance(model, Ising) else as_ising(reduced.model)  # type: ignore[union-attr]
    if magnet is None:
        raise Refusal("this is no magnet: Planar takes binary variables, at most two in a factor, and no zeros")
    fields = magnet.beta * np.asarray(magnet.fields, np.float64)
    edges, K = np.asarray(magnet.edges), magnet.beta * np.asarray(magnet.couplings, np.float64)
    ghost = float(np.abs(fields).sum()) > _NO_FIELD
    constant, error, n = -magnet.beta * float(magnet.offset), 0.0, magnet.n
    if reduced is not None:
        constant, error = constant + reduced.log_constant, reduced.error + ULP * abs(reduced.log_constant)
    if ghost:
        held = np.flatnonzero(fields)
        edges, K = np.concatenate([edges, np.stack([held, np.full_like(held, n)], 1)]), np.append(K, fields[held])
        constant, n = constant - math.log(2.0), n + 1
    else:
        error += float(np.abs(fields).sum())
    try:
        graph = planar_graph(n, edges, magnet.lattice, most_genus, most_across, n - 1 if ghost else None)
    except PlanarError as reason:
        raise Refusal(str(reason) + (" (fields are edges to one more spin)" if ghost else "")) from reason
    except ImportError as reason:
        raise Refusal(f"the graph is no lattice, and to draw it {reason}") from reason
    error += ULP * (abs(constant) + 4.0 * float(np.abs(K).sum()))  # K and constants are products and sums themselves
    return PlanarTask(magnet, reduced, graph, K, ghost, constant, error)


def _witness(model: AbstractDiscreteModel | Reduced, task: PlanarTask, reference: np.ndarray) -> Any:
    """The drawing, if a checker gets through it in minutes; else elimination, if that is cheap; else the reason."""
    if task.graph.flops > _CHECKED_FLOPS:
        work = f"{task.graph.flops:.2g} multiplications, more than a checker goes through ({_CHECKED_FLOPS:.0g})"
        return checkable(model) or f"these Pfaffians take {work}"
    reduced = task.reduced
    sites = np.arange(task.magnet.n) if reduced is None else reduced.variables
    states = (np.arange(2),) * task.magnet.n if reduced is None else reduced.states
    if reduced is not None and not _of_spins(reduced):
        return checkable(model) or "a checker draws factors of one and two spins only"
    return drawing_witness(task.graph, np.append(sites, len(states)), states, reference)


def _of_spins(reduced: Reduced) -> bool:
    """Whether every variable keeps one or two states, and every factor joins at most two that keep two."""
    many = np.array([len(kept) for kept in reduced.states])
    return bool((many <= 2).all()) and all((many[list(s)] > 1).sum() <= 2 for s in reduced.original.scopes)


def _belief(task: PlanarTask, correlations: np.ndarray, error: float) -> Belief | None:
    """Marginals of sites and factors; None when some magnetization is no correlation of an edge with the ghost.

    Errors of correlations were found to be smaller than the stated error of log Z; near the tolerance, they are called
    an estimate.
    """
    magnet, grounds = task.magnet, Grounds.EXACT if error <= _EXACT_BELIEF else Grounds.NONE
    m, c = np.zeros(magnet.n), correlations[: magnet.e]
    if task.ghost:
        held = task.graph.edges[magnet.e :, 0]
        m[held] = correlations[magnet.e :]
        if not _all_held(magnet, held):
            return None
    s = np.array([1.0, -1.0])
    single = 0.5 * (1.0 + m[:, None] * s)
    i, j = magnet.edges.T
    one, two = m[i][:, None, None] * s[:, None], m[j][:, None, None] * s
    pair = np.maximum(0.25 * (1.0 + one + two + c[:, None, None] * s[:, None] * s), 0.0)
    pair /= pair.sum(axis=(1, 2), keepdims=True)
    if task.reduced is None:
        constant = [np.ones(())] if magnet.offset else []
        return Belief(tuple(single), (*pair, *single, *constant), grounds)
    found: dict[tuple[int, ...], np.ndarray] = {(v,): single[v] for v in range(magnet.n)}
    found |= {(a, b): table for (a, b), table in zip(magnet.edges.tolist(), pair, strict=True)}
    for scope in probe_scopes(task.reduced):  # scopes need not be ascending
        if len(scope) == 2 and scope not in found:
            found[scope] = found[scope[::-1]].T
    return dataclasses.replace(lift_belief(task.reduced, found), grounds=grounds)


def _all_held(magnet: Ising, held: np.ndarray) -> bool:
    """Whether every spin that a chain of edges ties to a field has a field of its own."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    i, j = magnet.edges.T
    _, label = connected_components(coo_array((np.ones(magnet.e), (i, j)), (magnet.n, magnet.n)), directed=False)
    touched = np.isin(label, label[held])
    return bool(np.isin(np.flatnonzero(touched), held).all())
