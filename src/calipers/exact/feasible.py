"""A configuration of positive weight, found by a SAT solver, or the proof that there is none.

The zeros of each table are covered by cubes ("x_1 = a, x_2 = b is impossible, whatever x_3"), each cube a clause.
A binary variable is one literal (state 1 = true); a larger domain has one literal a state, exactly one of them true.
**Proves** log Z = −∞ when the formula is unsatisfiable (the solver's word, taken as exact). **Cost** usually
milliseconds; the worst case is exponential, so the search runs in budgets that can be interrupted between.
**Source** Eén & Sörensson, *An extensible SAT-solver* (2003); Audemard & Simon, Glucose (2009); PySAT (Ignatiev 2018).
"""

from collections.abc import Iterable, Iterator

import numpy as np

from calipers.models.factor_graph import FactorGraph

_BUDGET = 5_000  # conflicts between two looks at the signals: well under half a second


def has_zeros(model: FactorGraph) -> bool:
    """Whether any table of the model has a zero."""
    return bool(np.isneginf(np.concatenate([np.zeros(0), *[t.reshape(-1) for t in model.tables]])).any())


def feasible(model: FactorGraph, *, phases: np.ndarray | None = None, seed: int = 0) -> np.ndarray | None:
    """A configuration of positive weight.

    **Arguments:** `model`, whose evidence is taken into account; `phases`, preferred states, shape (n,), which the
    search tries first wherever it is free to choose; `seed` draws random phases when there are none (0: state 0).

    **Returns:** states, shape (n,), or None when it is *proved* that every configuration has weight zero.
    """
    return next(feasible_points(model, [_phases(model, phases, seed)]))


def feasible_points(model: FactorGraph, phases: Iterable[np.ndarray]) -> Iterator[np.ndarray | None]:
    """One configuration of positive weight for each vector of preferred states; a single None if there is none at all.

    The solver keeps what it learned from one to the next; `phases` are asked for one at a time.
    """
    from pysat.solvers import Solver

    clauses, first = encode(model)
    if not all(clauses):  # an empty clause: some table has only zeros, and solvers differ on it
        yield None
        return
    with Solver(name="glucose4", bootstrap_with=clauses) as solver:
        for wanted in phases:
            solver.set_phases(_literals(model.sizes, first, wanted))
            found = None
            while found is None:
                solver.conf_budget(_BUDGET)
                found = solver.solve_limited()
            if not found:
                yield None
                return
            yield _decode(model.sizes, first, solver.get_model() or [])


def encode(model: FactorGraph) -> tuple[list[list[int]], np.ndarray]:
    """The clauses of a model, and the first SAT variable of each model variable, shape (n,)."""
    literals = np.array([1 if k == 2 else k for k in model.sizes], np.int64)
    first = 1 + np.cumsum(literals) - literals
    clauses: list[list[int]] = []
    for k, start in zip(model.sizes, first.tolist(), strict=True):
        if k != 2:
            clauses.append(list(range(start, start + k)))
            clauses.extend([-a, -b] for a in range(start, start + k) for b in range(a + 1, start + k))
    clauses.extend([_is(model.sizes[v], int(first[v]), x)] for v, x in model.evidence)
    covers: dict[tuple[tuple[int, ...], bytes], list[list[tuple[int, int, bool]]]] = {}
    for scope, table in zip(model.scopes, model.tables, strict=True):
        zero = np.isneginf(table)
        if zero.any():
            key = (zero.shape, zero.tobytes())
            if key not in covers:
                covers[key] = list(cover(zero))
            where = [(model.sizes[v], int(first[v])) for v in scope]
            for cube in covers[key]:
                clauses.append([_is(*where[p], x) if wanted else -_is(*where[p], x) for p, x, wanted in cube])
    return clauses, first


def cover(zero: np.ndarray) -> Iterator[list[tuple[int, int, bool]]]:
    """Clauses (position, state, is it / is it not) that together forbid exactly the True entries of a mask.

    Each entry not yet forbidden grows into a cube, free of every axis on which nothing depends. One that cannot grow is
    read with its line along one axis: "if the others are so, this one must be in a state that the line allows".
    """
    left, axes = np.array(zero), range(zero.ndim)
    along = min(axes, key=lambda i: int(zero.any(axis=i).sum()), default=0)
    while True:
        place = np.unravel_index(int(left.argmax()), left.shape)
        if not left[place]:
            return
        cube: list[int | slice] = [int(x) for x in place]
        for i in axes:
            cube[i], kept = slice(None), cube[i]
            if not zero[tuple(cube)].all():
                cube[i] = kept
        allowed: list[int] = []
        if zero.ndim and not any(isinstance(x, slice) for x in cube):
            cube[along] = slice(None)
            allowed = np.flatnonzero(~zero[tuple(cube)]).tolist()
        left[tuple(cube)] = False
        yield [(p, x, False) for p, x in enumerate(cube) if not isinstance(x, slice)] + [
            (along, x, True) for x in allowed
        ]


def _is(size: int, first: int, state: int) -> int:
    """The literal that says: this variable is in this state."""
    if size == 2:
        return first if state == 1 else -first
    return first + state


def _literals(sizes: tuple[int, ...], first: np.ndarray, states: np.ndarray) -> list[int]:
    wanted = []
    for k, start, x in zip(sizes, first.tolist(), np.asarray(states).tolist(), strict=True):
        wanted += [_is(2, start, x)] if k == 2 else [start + y if y == x else -start - y for y in range(k)]
    return wanted


def _decode(sizes: tuple[int, ...], first: np.ndarray, model: list[int]) -> np.ndarray:
    true = np.zeros(int(first[-1]) + sizes[-1] + 1 if sizes else 1, bool)
    literals = np.array(model, np.int64)
    true[literals[literals > 0]] = True
    states = [
        int(true[s]) if k == 2 else int(np.argmax(true[s : s + k])) for k, s in zip(sizes, first.tolist(), strict=True)
    ]
    return np.array(states, np.int64)


def _phases(model: FactorGraph, phases: np.ndarray | None, seed: int) -> np.ndarray:
    if phases is not None:
        return np.asarray(phases, np.int64)
    if seed == 0:
        return np.zeros(model.n, np.int64)
    return np.random.default_rng(seed).integers(0, model.domains)
