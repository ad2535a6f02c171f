"""The method that chooses methods: it reads a model's structure, plans, and spends time where the bracket gains.

Evidence and zeros first, then an elimination order. If exact elimination fits the memory and the time, it is done at
once (or after a first bracket, if it takes more than a moment). Otherwise mini-buckets come down from above and
tangents up from below, in turn, the side that has had less time first, until the gap, the deadline or both are
exhausted. **Proves** whatever the methods it runs prove. `answer.plan` says what was chosen and why.
"""

import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.bounds.mini_bucket import MiniBucket
from calipers.bounds.pairs import Pairs
from calipers.bounds.tangent import Tangent
from calipers.core.answer import Answer
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.elimination import SECONDS_PER_CELL, Elimination, plan_order
from calipers.exact.ordering import Order, best_order
from calipers.models.ising import Ising
from calipers.models.reduction import Reduced, as_reduced
from calipers.variational.mean_field import MeanField

_AT_ONCE = 2.0  # seconds of elimination that are not worth a bracket beforehand
_LARGE = 100_000  # variables above which factor-by-factor structure work in Python takes too long


class Auto(AbstractMethod):
    """Chooses and combines methods by the model's structure and the limits.

    **Proves** both sides; which methods moved them is on the answer.
    """

    proves: ClassVar[Proves] = Proves.BOTH

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model, finds an elimination order, and decides whether log Z can be had exactly."""
        if isinstance(model, Ising) and model.n > _LARGE:
            return _plan_large(model, limits)
        reduced = as_reduced(model)
        sizes, scopes = reduced.model.domains, list(reduced.model.scopes)
        order = best_order(sizes, scopes, seconds=min(1.0, 0.05 * max(limits.seconds_left(), 0.0)))
        seconds = 2.0**order.log2_total * SECONDS_PER_CELL
        text = (
            f"{reduced.describe()} The best elimination order found ({order.heuristic}) has a largest table of "
            f"2^{order.log2_largest:.1f} entries, about {seconds:.2g} s of work. "
        )
        if _affordable(order, limits, 0.7):
            text += "So log Z is computed exactly by elimination"
            text += "." if seconds < _AT_ONCE else ", after a first bracket."
        else:
            text += "That is too much, so mini-buckets bound log Z from above and tangents from below, in turn."
        return Plan(text, (reduced, order), order.log2_largest, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Exact at once if cheap; else a first bracket, exact if affordable, else both sides in turn."""
        if isinstance(plan.structure, Ising):
            yield from _in_turn(_stream(m, plan.structure, plan.limits, key) for m in (Pairs(), MeanField(starts=3)))
            return
        reduced, order = plan.structure
        limits = plan.limits
        if 2.0**order.log2_total * SECONDS_PER_CELL < _AT_ONCE and _affordable(order, limits, 1.0):
            yield from _eliminate(reduced, order, limits)
            return
        for method in (MiniBucket(ibound=4, sweeps=3, orders=1), Tangent(width=4, starts=1, sweeps=5)):
            yield from _stream(method, reduced, limits, key)
        order = _search(reduced, order, limits)
        if _affordable(order, limits, 0.8):
            try:
                yield from _eliminate(reduced, order, limits)
                return
            except (Refusal, MemoryError) as reason:
                yield Answer(stats={"elimination": str(reason)})
        yield from _in_turn([_stream(MiniBucket(), reduced, limits, key), _stream(Tangent(), reduced, limits, key)])


def _plan_large(model: Ising, limits: Limits) -> Plan:
    text = (
        f"{model.n} spins are too many for tables of any width: independent spins bound log Z from below (mean field), "
        "pairs of spins from above (Hölder)."
    )
    return Plan(text, model, limits=limits)


def _affordable(order: Order, limits: Limits, share: float) -> bool:
    """Whether elimination along `order` fits the memory and `share` of the time left."""
    largest = 8.0 * 2.0 ** (order.log2_largest - 1)
    return largest < limits.memory and 2.0**order.log2_total * SECONDS_PER_CELL < share * limits.seconds_left()


def _eliminate(reduced: Reduced, order: Order, limits: Limits) -> Iterator[Answer]:
    return Elimination().answers(reduced, plan_order(reduced, order.order, limits))


def _search(reduced: Reduced, order: Order, limits: Limits) -> Order:
    """Looks longer for an order when a better one could make elimination affordable."""
    if order.log2_largest > 45 or _affordable(order, limits, 0.5):
        return order
    seconds = min(10.0, 0.1 * max(limits.seconds_left(), 0.0))
    found = best_order(reduced.model.domains, list(reduced.model.scopes), seconds=seconds, seed=1)
    return min(order, found, key=lambda o: o.log2_total)


def _stream(method: AbstractMethod, model: AbstractDiscreteModel, limits: Limits, key: Any) -> Iterator[Answer]:
    """A method's answers, less its plan: the plan that is shown is Auto's."""
    for answer in method.answers(model, method.plan(model, limits), key):
        yield Answer(answer.lower, answer.upper, answer.value, answer.belief, answer.result, answer.stats)


def _in_turn(streams: Any) -> Iterator[Answer]:
    """Answers from all streams, always from the one that has had the least time."""
    spent = {stream: 0.0 for stream in streams}
    while spent:
        stream = min(spent, key=spent.__getitem__)
        began = time.monotonic()
        try:
            answer = next(stream)
        except StopIteration:
            del spent[stream]
            continue
        spent[stream] += time.monotonic() - began
        yield answer
