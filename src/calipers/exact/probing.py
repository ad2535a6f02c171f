"""Probing: states that zeros forbid, though plain propagation does not see it.

Two looks, within a time box: a state whose assumption leads unit propagation into a contradiction (a *failed literal*;
docs/theorems.md, Theorem 4, shaving), and a state that no configuration of positive weight has (the complement of the
*backbone*, by a SAT solver). Dropping them changes nothing about log Z. **Proves** equality; the second on the solver's
word, taken as exact. **Cost** one propagation or one solver call a state, usually microseconds. **Fails** by running
out of time, with what it has.
**Source** Li & Anbulagan (1997) for failed literals; Janota, Lynce & Marques-Silva (2015) for backbones.
"""

import time
from typing import Any

import numpy as np

from calipers.core.method import Limits
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.feasible import encode, has_zeros
from calipers.models.reduction import Reduced, as_reduced, restrict

_SHARE = 0.03  # of the time left, for each look
_BUDGET = 20_000  # conflicts of one call of the solver


def sharpened(model: AbstractDiscreteModel | Reduced, limits: Limits, backbone: bool = False) -> Reduced:
    """The reduced form of a model, probed for a small share of the time; a `Reduced` is returned as it is.

    **Arguments:** `backbone`, as in `probed`: sides that rest on it cannot be certified from above.
    """
    if isinstance(model, Reduced):
        return model
    return probed(as_reduced(model), time_box(limits), backbone)


def time_box(limits: Limits) -> float:
    """Seconds that each look may take."""
    return min(5.0, _SHARE * limits.seconds_left())


def probed(reduced: Reduced, seconds: float, backbone: bool = True) -> Reduced:
    """The same log Z on fewer states.

    **Arguments:** `seconds` for each of the two looks; `backbone`, whether to ask the solver too; without it the
    dropped states are those that a checker can refute by propagation alone.

    **Returns:** `reduced` itself when nothing was found.
    """
    if not has_zeros(reduced.model) or seconds <= 0.0:
        return reduced
    from pysat.solvers import Solver

    clauses, first = encode(reduced.model)
    if not all(clauses):
        return restrict(reduced.original, [np.zeros(0, np.int64)] * len(reduced.states))
    with Solver(name="glucose4", bootstrap_with=clauses) as solver:
        last = int(max((abs(x) for clause in clauses for x in clause), default=0))
        true: set[int] = set()
        possible = _failed_literals(solver, last, true, time.monotonic() + seconds)
        if possible and backbone:
            possible = _backbone(solver, last, true, time.monotonic() + seconds)
    if not possible:
        return restrict(reduced.original, [np.zeros(0, np.int64)] * len(reduced.states))
    return _without(reduced, first, true) if true else reduced


def _failed_literals(solver: Any, last: int, true: set[int], until: float) -> bool:
    """Finds the literals whose negation fails, and what follows from them; False if everything is refuted."""
    again = True
    while again:
        again = False
        for v in range(1, last + 1):
            if v in true or -v in true:
                continue
            if time.monotonic() > until:
                return True
            failed = [x for x in (v, -v) if not solver.propagate([x])[0]]
            if len(failed) == 2:
                return False
            if failed:
                true.update([-failed[0], *solver.propagate([-failed[0]])[1]])
                solver.add_clause([-failed[0]])
                again = True
    return True


def _backbone(solver: Any, last: int, true: set[int], until: float) -> bool:
    """Finds the literals that all solutions share; False if there is no solution."""
    found = _solve(solver, [], until)
    if not found:
        return found is None
    candidates = {x for x in solver.get_model() if abs(x) <= last and x not in true}
    while candidates:
        literal = candidates.pop()
        found = _solve(solver, [-literal], until)
        if found is None:
            return True
        if found:
            candidates.intersection_update(solver.get_model())
        else:
            true.add(literal)
            solver.add_clause([literal])
    return True


def _solve(solver: Any, assumptions: list[int], until: float) -> bool | None:
    """Whether the assumptions can hold; None when the time is up."""
    while time.monotonic() < until:
        solver.conf_budget(_BUDGET)
        answer = solver.solve_limited(assumptions=assumptions)
        if answer is not None:
            return answer
    return None


def _without(reduced: Reduced, first: np.ndarray, true: set[int]) -> Reduced:
    """The model without the states whose literals are known to be false."""
    states = list(reduced.states)
    for i, v in enumerate(reduced.variables.tolist()):
        size, start = reduced.model.sizes[i], int(first[i])
        if size == 2:
            kept = [x for x in (0, 1) if (-start if x else start) not in true]
        else:
            kept = [x for x in range(size) if -(start + x) not in true]
        if len(kept) < size:
            states[v] = reduced.states[v][np.array(kept, np.int64)]
    return restrict(reduced.original, states)
