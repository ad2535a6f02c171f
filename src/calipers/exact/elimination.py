"""Variable elimination: log Z exactly, by summing out one variable after another.

    λ_v(rest) = Σ_{x_v} Π tables and messages that contain v

**Proves** log Z = the sum of the constants, up to rounding (stated); marginals by one reverse pass. **Cost** the sum of
the joint tables along the order, exponential in its induced width. **Fails** by refusing, with the estimate, when the
tables would not fit the memory or the time. Products of scaled numbers where their range allows, logs where it does
not (`product.py`), so that zeros and huge ranges are harmless. **Source** Dechter, *Bucket elimination* (1999); orders
by min-fill and others (`ordering.py`).
"""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import numpy as np

from calipers.core.answer import Answer, Belief, Grounds, Result, Side, exact_sides, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import Bucket, Decomposition
from calipers.exact.bucket_tree import BucketTree
from calipers.exact.elimination_jax import refuse_if_short, solve, worthwhile
from calipers.exact.feasible import has_zeros
from calipers.exact.kernels import ULP
from calipers.exact.ordering import Order, best_order, order_cost
from calipers.exact.probing import probed
from calipers.exact.product import ProductRun
from calipers.exact.slicing import Slices, Sum, choose, eliminate_slice, sampled_cells, slices
from calipers.models.reduction import Reduced, as_reduced, restrict

SECONDS_PER_CELL = 2e-9  # measured on one 2026 core, items and page faults included; only plans depend on it
SECONDS_PER_BYTE = 1e-9  # of the largest message: memory that the system has to hand over first
_DEAR = 10.0  # times the search: elimination that is worth a longer one
_CENTURY = 3e9  # seconds: nobody waits longer, even without a limit
_FAR = 1000.0  # times the time left: what no better order brings near
_WORTH_SLICING = 5e8  # joint entries from which slices are looked for that zeros make cheaper
_CACHE = 6.4e7  # bytes of such a slice
_CHECKED_LARGEST, _CHECKED_TOTAL = 22.0, 27.0  # log2 of entries that a checker goes through in some minutes
_PROBED = 1.0  # seconds for states that failed literals exclude
_HOPELESS = 2.0**50  # joint entries that no slicing makes affordable


class Elimination(AbstractMethod):
    """Exact log Z by bucket elimination; where memory is short, in slices (marginals: never in slices).

    **Arguments:** `order_seconds`, how long to look for a good elimination order; ten times as long, but at most a
    tenth of the time, where elimination itself would take longer still; `engine`, `"numba"` on the CPU, `"jax"` on
    JAX's default device (never in slices), None for JAX where that is a GPU and the tables are large.

    **Proves** both sides exactly. **Raises** `Refusal` with the estimate when too large for the limits.
    """

    proves: ClassVar[Proves] = Proves.EQUAL
    order_seconds: float = 1.0
    engine: str | None = None

    def __check_init__(self) -> None:
        if self.engine not in (None, "numba", "jax"):
            raise ValueError(f'engine is "numba", "jax" or None, but {self.engine!r} came')

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Finds an order and lays out the tables; refuses what does not fit."""
        reduced = as_reduced(model)
        sizes, scopes = reduced.model.domains, list(reduced.model.scopes)
        found = best_order(sizes, scopes, seconds=min(self.order_seconds, 0.3 * limits.seconds_left()))
        work = 2.0 ** min(found.log2_total, 1000.0) * SECONDS_PER_CELL
        if _DEAR * self.order_seconds < work < _FAR * min(limits.seconds_left(), _CENTURY):
            seconds = min(_DEAR * self.order_seconds, 0.1 * limits.seconds_left())
            again = best_order(sizes, scopes, seconds=seconds, seed=1)
            found = min(found, again, key=lambda order: order.log2_total)
        plan = plan_order(reduced, found, limits)
        _, tree, _, sliced = plan.structure
        if self.engine == "jax" and tree is not None:
            refuse_if_short(tree, limits.beliefs, limits.memory)
            if sliced is not None:
                raise Refusal(f"slices are done on the CPU, by Elimination(): {plan}")
        return plan

    def answers(self, model: AbstractDiscreteModel | Reduced, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One exact answer; in slices, the lower bound so far after each of them, then the exact one."""
        reduced, tree, probes, sliced = plan.structure
        if reduced.log_constant == -math.inf:
            yield impossible(reduced, repr(self), plan)
        elif sliced is not None:
            yield from self._sliced(reduced, tree, sliced, plan)
        else:
            yield self._whole(reduced, tree, probes, plan)

    def _whole(self, reduced: Reduced, tree: BucketTree, probes: list[tuple[int, ...]], plan: Plan) -> Answer:
        tables = [*reduced.model.log_tables(), *(np.zeros([tree.sizes[v] for v in s]) for s in probes)]
        beliefs, belief = plan.limits.beliefs, None
        on_device = self.engine == "jax" or (self.engine is None and worthwhile(tree, beliefs))
        value, error, marginals = solve(tree, tables, beliefs) if on_device else _products(tree, tables, beliefs)
        if marginals is not None:
            belief = lift_belief(reduced, dict(zip(probes, marginals[len(reduced.model.scopes) :], strict=True)))
        stats: dict[str, Any] = {"log2_size": tree.log2_size, "cells": tree.cells, "bytes": tree.bytes}
        if on_device:
            stats["device"] = jax.default_backend()
        return self._exact(reduced, tree, value, error, stats, plan, belief)

    def _sliced(self, reduced: Reduced, tree: BucketTree, sliced: Slices, plan: Plan) -> Iterator[Answer]:
        """Slice by slice."""
        total, dead, so_far = Sum(), 0, -math.inf
        for done, part in enumerate(slices(reduced, sliced.fixed), 1):
            if part is None:
                dead += 1
                continue
            total = total.plus(*eliminate_slice(part, sliced.order, plan.limits.memory))
            error = total.error + reduced.error + ULP * abs(total.value + reduced.log_constant)
            so_far = max(so_far, outward(total.value + reduced.log_constant, error, -1.0))
            side = Side(so_far, Grounds.COMPUTED, method=repr(self))
            yield Answer(lower=side, stats={"slice": done, "slices": sliced.number}, plan=plan)
        stats = {
            "log2_size": sliced.tree.log2_size, "cells": sliced.cells, "bytes": sliced.tree.bytes,
            "slices": sliced.number, "dead_slices": dead,
        }  # fmt: skip
        yield self._exact(reduced, tree, total.value, total.error, stats, plan, floor=so_far)

    def _exact(
        self, reduced: Reduced, tree: BucketTree, value: float, error: float, stats: dict, plan: Plan,
        belief: Belief | None = None, floor: float = -math.inf,
    ) -> Answer:  # fmt: skip
        """The final answer, the constants added in; `floor` is a lower bound that is known already."""
        if value == -math.inf:
            return impossible(reduced, repr(self), plan)
        value += reduced.log_constant
        error += reduced.error + ULP * abs(value)
        lower, upper = exact_sides(value, error, repr(self), lambda: elimination_witness(reduced, tree))
        if floor > lower.value:
            lower = Side(floor, lower.grounds, method=lower.method, witness=lower.witness)
        return Answer(lower, upper, value=value, belief=belief, result=Result.EXACT, stats=stats, plan=plan)


def _products(
    tree: BucketTree, tables: list[np.ndarray], beliefs: bool
) -> tuple[float, float, list[np.ndarray] | None]:
    """log Z, its rounding, and every table's marginal if they are wanted and there are any."""
    run = ProductRun(tree, tables)
    value, error, wide = run.forward(), run.error, run.wide
    if not beliefs or value == -math.inf:
        return value, error, None
    if not wide:
        return value, error, run.marginals()
    del run  # its arena, before log space asks for one of its own
    return value, error, tree.moments(tables)[2]


def plan_order(reduced: Reduced, found: Order, limits: Limits) -> Plan:
    """The plan of an elimination along an order, in slices if memory is short or zeros make slices cheaper.

    **Raises:** `Refusal` when time or memory would not do.
    """
    if reduced.log_constant == -math.inf:
        return Plan("Nothing to eliminate: every weight is zero.", (reduced, None, [], None), limits=limits)
    sizes, scopes = reduced.model.domains, list(reduced.model.scopes)
    probes = probe_scopes(reduced) if limits.beliefs else []
    order, cost = found.order, order_cost(sizes, scopes + probes, found.order) if probes else found
    cells, left = 2.0 ** min(cost.log2_total, 1000.0), min(limits.seconds_left(), _CENTURY)
    seconds = (4.0 if limits.beliefs else 1.0) * SECONDS_PER_CELL * cells
    seconds += SECONDS_PER_BYTE * min(8.0 * 2.0 ** min(cost.log2_largest, 1000.0), limits.memory)
    largest = f"largest table 2^{cost.log2_largest:.1f} entries, about {seconds:.2g} s"
    if not limits.beliefs and (cheaper := _cheaper(reduced, order, cells, limits)):
        return _plan_slices(reduced, cheaper[0], limits, largest, "because of zeros", cheaper[1])
    if seconds > left:
        raise Refusal(f"elimination would not finish in time: {largest}, {left:.3g} s left")
    if 8.0 * 2.0 ** (cost.log2_largest - 1) <= limits.memory:
        tree = BucketTree.build(sizes, scopes + probes, order, keep=limits.beliefs)
        if tree.bytes <= limits.memory:
            text = f"Eliminate {len(sizes)} variables exactly: {largest}, {tree.bytes / 1e6:.3g} MB."
            return Plan(text, (reduced, tree, probes, None), tree.log2_size, tree.cells, tree.bytes, limits, seconds)
    allowed = f"{limits.memory / 1e9:.3g} GB"
    if limits.beliefs:
        raise Refusal(f"marginals need too much memory: {largest}, {allowed} allowed")
    sliced = choose(sizes, scopes, order, limits.memory, left / SECONDS_PER_CELL)
    if sliced is None:
        raise Refusal(f"elimination needs too much memory: {largest}, {allowed} allowed, and slices too much time")
    return _plan_slices(reduced, sliced, limits, largest, f"to fit {allowed}", sliced.cells)


def _cheaper(reduced: Reduced, order: np.ndarray, cells: float, limits: Limits) -> tuple[Slices, float] | None:
    """Slices that fit the cache and, as a sample says, take half the work or less thanks to zeros; and that work."""
    if not _WORTH_SLICING < cells < _HOPELESS or not has_zeros(reduced.model):
        return None
    sizes, scopes = reduced.model.domains, list(reduced.model.scopes)
    cut = choose(sizes, scopes, order, min(limits.memory, _CACHE), 8.0 * cells)
    expected = math.inf if cut is None else sampled_cells(reduced, cut)
    affordable = expected < 0.5 * min(cells, limits.seconds_left() / SECONDS_PER_CELL)
    return (cut, expected) if cut is not None and affordable else None


def _plan_slices(
    reduced: Reduced, sliced: Slices, limits: Limits, largest: str, why: str, cells: float
) -> Plan:  # fmt: skip
    """The plan of an elimination in slices, of so many joint entries in all."""
    sizes, scopes, each = reduced.model.domains, list(reduced.model.scopes), sliced.tree
    tree = BucketTree.build(sizes, scopes, np.concatenate([sliced.order, sliced.fixed]).astype(np.int64), keep=False)
    text = (
        f"Eliminate {len(sizes)} variables exactly, in {sliced.number} slices {why} (in one piece: {largest}): at most "
        f"2^{each.log2_size:.1f} entries and {each.bytes / 1e6:.3g} MB a slice, about {cells * SECONDS_PER_CELL:.2g} s "
        + ("in all." if cells == sliced.cells else "in all, by a sample of the slices.")
    )
    seconds = cells * SECONDS_PER_CELL
    return Plan(text, (reduced, tree, [], sliced), each.log2_size, cells, each.bytes, limits, seconds)


def impossible(model: AbstractDiscreteModel | Reduced, method: str, plan: Plan) -> Answer:
    """log Z = −∞: some method has shown that every configuration has weight zero."""
    sides = exact_sides(-math.inf, 0.0, method, lambda: checkable(model))
    return Answer(*sides, value=-math.inf, result=Result.EXACT, plan=plan)


def probe_scopes(reduced: Reduced) -> list[tuple[int, ...]]:
    """The scopes whose marginals make a belief: every variable, and every original factor's free variables."""
    place = {int(v): i for i, v in enumerate(reduced.variables)}
    wanted: list[tuple[int, ...]] = [(i,) for i in range(len(reduced.variables))]
    wanted += [tuple(place[v] for v in scope if v in place) for scope in reduced.original.scopes]
    return list(dict.fromkeys(s for s in wanted if s))


def lift_belief(reduced: Reduced, marginals: dict[tuple[int, ...], np.ndarray]) -> Belief:
    """Marginals of the original variables and factors, from those of the reduced model's free variables."""
    place = {int(v): i for i, v in enumerate(reduced.variables)}
    sizes = reduced.original.sizes

    def lifted(scope: tuple[int, ...]) -> np.ndarray:
        """The marginal of original variables `scope`, zeros where a state was ruled out."""
        table = np.zeros([sizes[v] for v in scope])
        kept = [reduced.states[v] for v in scope]
        free = tuple(place[v] for v in scope if v in place)
        inner = marginals[free] if free else np.ones(())
        loose = [len(k) for k in kept]
        whole = [len(k) if v in place else 1 for v, k in zip(scope, kept, strict=True)]
        # a variable in no factor keeps all its states with equal probability
        table[np.ix_(*kept)] = np.broadcast_to(inner.reshape(whole), loose) / math.prod(
            k for k, w in zip(loose, whole, strict=True) if w == 1
        )
        return table

    single = tuple(lifted((v,)) for v in range(len(sizes)))
    return Belief(single, tuple(lifted(s) for s in reduced.original.scopes), Grounds.EXACT)


def elimination_witness(reduced: Reduced, tree: BucketTree) -> Decomposition:
    """Whole buckets along the order, in the original model's variables and factor numbers."""
    members = (*reduced.members, *(() for _ in range(len(tree.scopes) - len(reduced.members))))
    return Decomposition(reduced.states, tuple(_buckets(reduced, tree, members, tree.weights())))


def checkable(model: AbstractDiscreteModel | Reduced) -> Decomposition | None:
    """The witness of an exact value that another engine has computed, if a checker can repeat it by elimination.

    A checker drops states by propagation and failed literals; a SAT solver's word it does not take, so the model is
    reduced anew. Where propagation leaves nothing, that is the proof.
    """
    original = as_reduced(model).original
    plain = restrict(original, None)
    if plain.log_constant == -math.inf:
        return Decomposition(tuple(np.arange(size) for size in original.sizes), ())
    reduced = probed(plain, _PROBED, backbone=False)
    reduced = plain if reduced.log_constant == -math.inf else reduced
    sizes, scopes = reduced.model.domains, list(reduced.model.scopes)
    order = best_order(sizes, scopes, seconds=1.0)
    if order.log2_largest > _CHECKED_LARGEST or order.log2_total > _CHECKED_TOTAL:
        return None
    return elimination_witness(reduced, BucketTree.build(sizes, scopes, order.order, keep=False))


def _buckets(reduced: Reduced, tree: BucketTree, members: tuple, weights: np.ndarray) -> Iterator[Bucket]:
    for place, bucket in enumerate(tree.buckets):
        factors = tuple(f for a in bucket.tables for f in members[a])
        yield Bucket(
            int(reduced.variables[bucket.variable]), float(weights[place]), factors, (), int(tree.parents[place])
        )
