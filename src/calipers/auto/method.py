"""The method that chooses methods: it reads a model's structure, plans, and spends time where the bracket gains.

A magnet with a formula, or one that can be drawn on the plane, is solved at once. Otherwise evidence and zeros come
first, then an elimination order; the cheapest exact route is taken if it fits the memory and the time (after a first
bracket, if it takes more than a moment). Else bounds from above and below take turns, by predicted gain per second
(schedule.py), until the gap, the deadline or all methods are exhausted. **Proves** whatever the methods it runs prove.
`answer.plan` says what was chosen and why.
"""

import dataclasses
from collections.abc import Generator, Iterator
from typing import Any, ClassVar, NamedTuple

from calipers.auto.bounds import VAST, deterministic, first_bracket, planless, statistical, stream
from calipers.auto.continuous import answers_continuous, plan_continuous
from calipers.auto.routes import Route, closed_form, counting_route, elimination_route, magnet_routes, tiny
from calipers.auto.schedule import alternate
from calipers.core.answer import Answer
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractContinuousModel, AbstractDiscreteModel
from calipers.exact.elimination import SECONDS_PER_CELL
from calipers.exact.ordering import Order, best_order
from calipers.exact.probing import probed, time_box
from calipers.models.conjugate_model import ConjugateModel
from calipers.models.ising import Ising
from calipers.models.recognition import as_ising
from calipers.models.reduction import Reduced, as_reduced
from calipers.models.streamed import StreamedPosterior
from calipers.variational.conjugate_vi import ConjugateVI
from calipers.variational.stochastic_vi import StochasticVI

_MOMENT = 14.0  # log2 of joint entries that are summed sooner than anything better is found
_BRIEF = 0.1  # seconds of elimination beside which no other exact route is looked for
_PROBED = 22.0  # log2 of joint entries from which it may pay to probe for states that zeros forbid
_AT_ONCE = 2.0  # seconds of exact work that are not worth a bracket beforehand, if they are a small share of the time
_SHARE = 0.15
_HOPELESS = 46.0  # log2 of joint entries beyond which elimination is not thought of, in slices or not
_COUNTED = 0.4  # of the time left, for model counting
_CHANCE = 0.5  # of the time left, for importance sampling where δ is granted
_MOST = 0.7  # of the time left, that exact work may take
_LARGE = 20_000  # spins from which bounds over pairs come first: building larger tables takes a while
_HUGE = 300_000  # spins from which they are all there is: structure work a factor at a time takes too long


class Auto(AbstractMethod):
    """Chooses and combines methods by the model's structure and the limits.

    **Proves** both sides; which methods moved them is on the answer.
    """

    proves: ClassVar[Proves] = Proves.BOTH

    def plan(self, model: AbstractDiscreteModel | AbstractContinuousModel, limits: Limits = Limits()) -> Plan:
        """Looks for an exact route, reduces the model, finds an elimination order, and says what will be done."""
        if (by_rows := _by_rows(model)) is not None:
            return dataclasses.replace(by_rows.plan(model, limits), structure=model)
        if isinstance(model, AbstractContinuousModel):
            return plan_continuous(model, limits)
        if (known := closed_form(model, limits)) is not None:
            return _exactly("", known, limits, known.model)
        if (few := tiny(model, limits)) is not None:
            return _exactly("", few, limits, few.model)
        if isinstance(model, Ising) and model.n > _LARGE:
            routes = magnet_routes(model, model, limits)
            return _exactly("", routes[0], limits, model) if _affordable(routes, limits) else _vast(model, limits)
        reduced = as_reduced(model)
        order = _order(reduced, limits, seconds=0.0)
        if order.log2_total > _PROBED:
            reduced = probed(reduced, time_box(limits), backbone=False)
        order, routes = _routes(model, reduced, order, limits)
        text = (
            f"{reduced.describe()} The best elimination order found ({order.heuristic}) has a largest table of "
            f"2^{order.log2_largest:.1f} entries, about {_seconds(order):.2g} s of work. "
        )
        if _affordable(routes, limits):
            return _exactly(text, routes[0], limits, _Situation(model, reduced, order))
        text += "No exact route fits, so bounds from both sides take turns, by what each gains a second."
        return Plan(text, _Situation(model, reduced, order), order.log2_largest, limits=limits)

    def answers(
        self, model: AbstractDiscreteModel | AbstractContinuousModel, plan: Plan, key: Any = None
    ) -> Iterator[Answer]:
        """Exact at once if cheap; else a first bracket, exact if affordable, else both sides in turn."""
        limits = plan.limits
        if (by_rows := _by_rows(plan.structure)) is not None:
            yield from by_rows.answers(plan.structure, by_rows.plan(plan.structure, limits), key)
            return
        match plan.structure:
            case AbstractContinuousModel():
                yield from answers_continuous(plan.structure, plan, key)
            case _Exact(route, otherwise):
                begun = False
                if isinstance(otherwise, _Situation) and not _at_once(route, limits):
                    begun = True
                    yield from first_bracket(otherwise.reduced, limits, key)
                reason = yield from _solved(route)
                if reason is None:
                    return
                yield Answer(stats={"exact": reason})
                yield from _otherwise(otherwise, limits, key, begun)
            case otherwise:
                yield from _otherwise(otherwise, limits, key, False)


def _by_rows(model: Any) -> AbstractMethod | None:
    """The one method for a model of rows, which come in minibatches; None for other models."""
    match model:
        case StreamedPosterior():
            return StochasticVI()
        case ConjugateModel():
            return ConjugateVI()
    return None


class _Situation(NamedTuple):
    """What the bounds work on: the model as given, reduced, and its best elimination order so far."""

    model: AbstractDiscreteModel
    reduced: Reduced
    order: Order


class _Exact(NamedTuple):
    """An affordable exact route, and what to fall back on when it refuses after all."""

    route: Route
    otherwise: _Situation | Ising


def _exactly(text: str, route: Route, limits: Limits, otherwise: _Situation | Ising) -> Plan:
    later = isinstance(otherwise, _Situation) and not _at_once(route, limits)
    text += f"So log Z is computed exactly{', after a first bracket' if later else ''}. {route.plan}"
    return Plan(text, _Exact(route, otherwise), route.plan.log2_size, route.plan.cells, route.plan.bytes, limits)


def _vast(model: Ising, limits: Limits) -> Plan:
    text = (
        f"{model.n} spins are too many for wide tables at once: independent spins bound log Z from below (mean field), "
        "pairs of spins from above (Hölder)"
    )
    text += ", and nothing wider fits." if model.n > _HUGE else "; then wider regions, in turn."
    return Plan(text, model, limits=limits)


def _routes(
    model: AbstractDiscreteModel, reduced: Reduced, order: Order, limits: Limits
) -> tuple[Order, list[Route]]:  # fmt: skip
    """The order, or a better one; and exact routes, cheapest first: what one does in a moment needs no other."""
    along = _along(reduced, order, limits) if _seconds(order) < _BRIEF else None
    magnets: list[Route] = []
    if along is None or not _at_once(along, limits):
        found = model if isinstance(model, Ising) else reduced
        magnet = model if isinstance(model, Ising) else as_ising(reduced.model)
        magnets = magnet_routes(found, magnet, limits)
    if order.log2_total > _MOMENT and not (magnets and _at_once(magnets[0], limits)):
        order = _order(reduced, limits)
        along = _along(reduced, order, limits)
    return order, sorted([*magnets, *([along] if along is not None else [])], key=lambda r: r.seconds)


def _along(reduced: Reduced, order: Order, limits: Limits) -> Route | None:
    return elimination_route(reduced, order, limits) if order.log2_total < _HOPELESS else None


def _affordable(routes: list[Route], limits: Limits, share: float = _MOST) -> bool:
    return bool(routes) and routes[0].seconds < share * limits.seconds_left() and routes[0].plan.bytes < limits.memory


def _at_once(route: Route, limits: Limits) -> bool:
    return route.seconds < min(_AT_ONCE, _SHARE * limits.seconds_left())


def _seconds(order: Order) -> float:
    return 2.0 ** min(order.log2_total, 1000.0) * SECONDS_PER_CELL


def _order(reduced: Reduced, limits: Limits, seconds: float = 1.0, share: float = 0.05, seed: int = 0) -> Order:
    seconds = min(seconds, share * max(limits.seconds_left(), 0.0))
    return best_order(reduced.model.domains, list(reduced.model.scopes), seconds=seconds, seed=seed)


def _solved(route: Route) -> Generator[Answer, None, str | None]:
    """The exact answer; the reason, if the method refuses after all."""
    try:
        yield from planless(route.method.answers(route.model, route.plan))
    except (Refusal, MemoryError) as reason:
        return str(reason) or "memory ran out"
    return None


def _searched(situation: _Situation, limits: Limits, key: Any) -> Iterator[Answer]:
    """Looks longer for an order when a better one could make elimination affordable; then bounds."""
    if situation.order.log2_total < _HOPELESS:
        found = _order(situation.reduced, limits, 10.0, 0.1, seed=1)
        order = min(situation.order, found, key=lambda o: o.log2_total)
        along = elimination_route(situation.reduced, order, limits)
        if along is not None and _affordable([along], limits, 0.8) and (yield from _solved(along)) is None:
            return
        situation = situation._replace(order=order)
    counting = counting_route(situation.reduced, limits, _COUNTED)
    if counting is not None and not limits.beliefs:
        reason = yield from _solved(counting)
        if reason is None:
            return
        yield Answer(stats={"ModelCounting": reason})
    yield from _bounds(situation, limits, key)


def _otherwise(what: _Situation | Ising, limits: Limits, key: Any, begun: bool) -> Iterator[Answer]:
    """Without the exact route: bounds, after a first bracket, unless that has been `begun`."""
    if isinstance(what, Ising):
        yield from _bounds_of_vast(what, limits, key)
        return
    if not begun:
        yield from first_bracket(what.reduced, limits, key)
    yield from _searched(what, limits, key)


def _bounds(situation: _Situation, limits: Limits, key: Any) -> Iterator[Answer]:
    model, reduced, order = situation
    chances = statistical(model, reduced, limits, key)
    if chances:  # one long step after another: the wider its tables, the fewer samples are needed
        yield from chances[0].alone(_CHANCE * limits.seconds_left())
    yield from alternate([*chances, *deterministic(model, reduced, order.log2_largest, limits, key)])


def _bounds_of_vast(model: Ising, limits: Limits, key: Any) -> Iterator[Answer]:
    """Vectorised bounds first; wider regions if the spins are few enough to lay them out."""
    yield from alternate([stream(method, model, limits, key) for method in VAST])
    if model.n <= _HUGE:
        reduced = as_reduced(model)
        yield from alternate(deterministic(model, reduced, float("inf"), limits, key))
