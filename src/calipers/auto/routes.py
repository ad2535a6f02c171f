"""The exact routes to log Z that are open for a model, cheapest first.

Each route is a method whose plan did not refuse, with the seconds it predicts. Closed forms and planar drawings are
looked for in magnets, also in those found inside a factor graph; elimination is tried on everything.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from calipers.core.method import AbstractMethod, Limits, Plan, Refusal
from calipers.exact.closed_form import ClosedForm
from calipers.exact.counting import ModelCounting
from calipers.exact.elimination import Elimination, plan_order
from calipers.exact.enumeration import Enumeration
from calipers.exact.feasible import has_zeros
from calipers.exact.ordering import Order
from calipers.exact.planar import Planar
from calipers.exact.transfer_matrix import TransferMatrix
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.models.reduction import Reduced

_ELIMINATION, _ENUMERATION = Elimination(), Enumeration(limit=1024, beliefs=False)
_FACTORS, _VARIABLES = 24, 24  # of a model that is enumerated at once
_DRAWN = 2_000_000  # spins up to which a drawing on the plane is looked for
_SWEPT, _NARROW = 20_000, 26  # spins up to which a transfer matrix is, and the side of a lattice that may be longer


class Route(NamedTuple):
    """An exact method, the model in the form it takes, its plan, and the seconds it predicts."""

    method: AbstractMethod
    model: Any
    plan: Plan

    @property
    def seconds(self) -> float:
        return self.plan.seconds


def closed_form(model: Any, limits: Limits) -> Route | None:
    """A formula, if the magnet has one; it gives no marginals."""
    return None if limits.beliefs or not isinstance(model, Ising) else _route(ClosedForm(), model, limits)


def tiny(model: Any, limits: Limits) -> Route | None:
    """One table of all configurations, where they and the factors are so few that nothing need be looked for."""
    if (
        limits.beliefs
        or not isinstance(model, FactorGraph)
        or len(model.tables) > _FACTORS
        or model.n > _VARIABLES
        or model.beta != 1.0
    ):
        return None
    return _route(_ENUMERATION, model, limits)


def magnet_routes(model: Any, magnet: Ising | None, limits: Limits) -> list[Route]:
    """Routes for magnets: `model` is one, or is recognised as the `magnet`."""
    if magnet is None:
        return []
    found = []
    if magnet.n <= _DRAWN and np.count_nonzero(magnet.fields) <= 8.0 * math.sqrt(magnet.n):  # around a face, at most
        found.append(_route(Planar(), model, limits))
    if isinstance(model, Ising) and (magnet.n <= _SWEPT or _narrow(magnet)):
        found.append(_route(TransferMatrix(), model, limits))
    return sorted((route for route in found if route is not None), key=lambda r: r.seconds)


def _narrow(magnet: Ising) -> bool:
    return magnet.lattice is not None and len(magnet.lattice.shape) == 2 and min(magnet.lattice.shape) <= _NARROW


def elimination_route(reduced: Reduced, order: Order, limits: Limits) -> Route | None:
    """Elimination along `order`, unless it is refused."""
    try:
        return Route(_ELIMINATION, reduced, plan_order(reduced, order, limits))
    except Refusal:
        return None


def counting_route(reduced: Reduced, limits: Limits, share: float) -> Route | None:
    """Model counting for a share of the time left, where tables are constraints; how long it takes nobody knows."""
    if not has_zeros(reduced.model):
        return None
    until = limits.deadline - (1.0 - share) * limits.seconds_left()
    return _route(ModelCounting(), reduced, limits, until)


def _route(method: AbstractMethod, model: Any, limits: Limits, deadline: float = math.inf) -> Route | None:
    """The route by `method`; without a deadline, whether it is affordable is for the caller to say."""
    try:
        return Route(method, model, method.plan(model, dataclasses.replace(limits, deadline=deadline)))
    except Refusal:
        return None
