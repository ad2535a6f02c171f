"""The method that chooses methods: it reads a model's structure, plans, and spends time where the bracket gains.

Evidence and zeros first, then an elimination order. If exact elimination fits the memory and the time, it is done at
once (or after a first bracket, if it takes more than a moment). Otherwise mini-buckets come down from above and
tangents up from below, in turn, the side that has had less time first, until the gap, the deadline or both are
exhausted. **Proves** whatever the methods it runs prove. `answer.plan` says what was chosen and why.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from calipers.auto.schedule import Stream, alternate
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
from calipers.variational.bethe import Bethe
from calipers.variational.mean_field import MeanField

_AT_ONCE = 2.0  # seconds of elimination that are not worth a bracket beforehand, if they are a small share of the time
_SHARE = 0.15
_LARGE = 20_000  # spins from which bounds over pairs come first: building larger tables takes a while
_HUGE = 300_000  # spins from which they are all there is: structure work a factor at a time takes too long


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
            yield from _large(plan.structure, plan.limits, key)
            return
        reduced, order = plan.structure
        limits = plan.limits
        if 2.0**order.log2_total * SECONDS_PER_CELL < _AT_ONCE and _affordable(order, limits, _SHARE):
            yield from _eliminate(reduced, order, limits)
            return
        for method in (MiniBucket(ibound=4, sweeps=3, orders=1), Tangent(width=4, starts=1, sweeps=5)):
            yield from _stream(method, reduced, limits, key).answers
        order = _search(reduced, order, limits)
        if _affordable(order, limits, 0.8):
            try:
                yield from _eliminate(reduced, order, limits)
                return
            except (Refusal, MemoryError) as reason:
                yield Answer(stats={"elimination": str(reason)})
        streams = [_stream(method, reduced, limits, key) for method in (MiniBucket(), Tangent())]
        yield from alternate([*streams, Stream("Bethe", _estimates(reduced, limits))])


def _plan_large(model: Ising, limits: Limits) -> Plan:
    text = (
        f"{model.n} spins are too many for wide tables at once: independent spins bound log Z from below (mean field), "
        "pairs of spins from above (Hölder)"
    )
    text += ", and nothing wider fits." if model.n > _HUGE else "; then mini-buckets and tangents, in turn."
    return Plan(text, model, limits=limits)


def _large(model: Ising, limits: Limits, key: Any) -> Iterator[Answer]:
    """Vectorised bounds first; wider regions if the spins are few enough to lay them out."""
    yield from alternate([_stream(method, model, limits, key) for method in (Pairs(), MeanField(starts=3))])
    if model.n <= _HUGE:
        reduced = as_reduced(model)
        yield from alternate([_stream(method, reduced, limits, key) for method in (MiniBucket(), Tangent())])


def _affordable(order: Order, limits: Limits, share: float) -> bool:
    """Whether elimination along `order` fits the memory and `share` of the time left."""
    largest = 8.0 * 2.0 ** (order.log2_largest - 1)
    return largest < limits.memory and 2.0**order.log2_total * SECONDS_PER_CELL < share * limits.seconds_left()


def _eliminate(reduced: Reduced, order: Order, limits: Limits) -> Iterator[Answer]:
    return _planless(Elimination().answers(reduced, plan_order(reduced, order.order, limits)))


def _search(reduced: Reduced, order: Order, limits: Limits) -> Order:
    """Looks longer for an order when a better one could make elimination affordable."""
    if order.log2_largest > 45 or _affordable(order, limits, 0.5):
        return order
    seconds = min(10.0, 0.1 * max(limits.seconds_left(), 0.0))
    found = best_order(reduced.model.domains, list(reduced.model.scopes), seconds=seconds, seed=1)
    return min(order, found, key=lambda o: o.log2_total)


def _stream(method: AbstractMethod, model: Any, limits: Limits, key: Any) -> Stream:
    """A method's answers, less its plan: the plan that is shown is Auto's."""
    return Stream(repr(method), _planless(method.answers(model, method.plan(model, limits), key)))


def _estimates(reduced: Reduced, limits: Limits) -> Iterator[Answer]:
    """Beliefs, and a point estimate if belief propagation converges; nothing here bounds a side."""
    method = Bethe(max_sweeps=300)
    for answer in method.answers(reduced, method.plan(reduced, limits)):
        yield Answer(value=answer.value if answer.stats["converged"] else None, belief=answer.belief)


def _planless(answers: Iterator[Answer]) -> Iterator[Answer]:
    return (Answer(a.lower, a.upper, a.value, a.belief, a.result, a.stats) for a in answers)
